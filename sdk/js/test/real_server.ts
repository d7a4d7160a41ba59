/** real_server.ts - a real `holdfast serve` for tests, its binary named by HOLDFAST, a proxy before it that can cut, freeze and refuse, a backend behind it, and a key for tokens. All on loopback, on ports that are free. */
import { spawn, type ChildProcess } from 'node:child_process';
import { createHmac, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer as createHttpServer, type Server as HttpServer, type ServerResponse } from 'node:http';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export const holdfast = process.env['HOLDFAST'];

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

/** Until it holds; a test's own limit ends it otherwise. */
export async function until(holds: () => boolean, what: string, ms = 20_000): Promise<void> {
  const end = Date.now() + ms;
  while (!holds()) {
    if (Date.now() > end) throw new Error(`not within ${ms} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

export class RealServer {
  port = 0;
  log = '';
  private child: ChildProcess | null = null;

  constructor(private readonly options: readonly string[] = []) {}

  get url(): string {
    return `ws://127.0.0.1:${this.port}/ws`;
  }

  async start(): Promise<void> {
    if (this.port === 0) this.port = await freePort();
    const args = ['serve', '--listen', `127.0.0.1:${this.port}`, '--api', 'none', '--workers', '2', ...this.options];
    const child = spawn(holdfast ?? '', args, { stdio: ['ignore', 'pipe', 'pipe'] });
    this.child = child;
    this.log = '';
    const add = (data: Buffer): void => void (this.log += data.toString());
    child.stdout.on('data', add);
    child.stderr.on('data', add);
    // The workers tell of themselves beside that, and may be later: tests want to know whom to kill.
    const isReady = (): boolean => this.log.includes('event=ready') && [0, 1].every((slot) => this.workerPid(slot) > 0);
    await until(() => isReady() || child.exitCode !== null, 'the server is ready');
    if (child.exitCode !== null) throw new Error(`the server did not start:\n${this.log}`);
  }

  /** The process of a worker. */
  workerPid(slot: number): number {
    const lines = this.log.split('\n').filter((line) => line.includes(`event=worker_started slot=${slot}`));
    return Number(/pid=(\d+)/.exec(lines.at(-1) ?? '')?.[1]);
  }

  /** kill -9 for all of them, and until there are others. */
  async killWorkers(): Promise<void> {
    const pids = [0, 1].map((slot) => this.workerPid(slot));
    for (const pid of pids) process.kill(pid, 'SIGKILL');
    await until(() => pids.every((pid, slot) => this.workerPid(slot) !== pid), 'there are new workers');
  }

  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    const { child } = this;
    this.child = null;
    if (child === null || child.exitCode !== null) return;
    const ended = once(child, 'exit');
    child.kill(signal);
    await ended;
  }
}

export class Proxy {
  port = 0;
  /** What comes from either side stays here, and nobody is told. */
  frozen = false;
  connections = 0;
  private readonly server: Server;
  private readonly sockets = new Set<Socket>();

  constructor(private readonly target: () => number) {
    this.server = createServer((client) => this.pass(client));
  }

  get url(): string {
    return `ws://127.0.0.1:${this.port}/ws`;
  }

  async start(): Promise<void> {
    this.server.listen(0, '127.0.0.1');
    await once(this.server, 'listening');
    this.port = (this.server.address() as AddressInfo).port;
  }

  /** All connections end without a word. */
  cut(): void {
    for (const socket of this.sockets) socket.destroy();
  }

  freeze(): void {
    this.frozen = true;
    for (const socket of this.sockets) socket.pause();
  }

  /** New connections pass; those that were frozen never do again. */
  thaw(): void {
    this.frozen = false;
  }

  stop(): void {
    this.cut();
    this.server.close();
  }

  private pass(client: Socket): void {
    const server = connect(this.target(), '127.0.0.1');
    this.connections++;
    for (const [from, to] of [
      [client, server],
      [server, client],
    ] as const) {
      this.sockets.add(from);
      from.on('error', () => undefined);
      from.on('close', () => {
        this.sockets.delete(from);
        to.destroy();
      });
      from.on('data', (data) => to.write(data));
      if (this.frozen) from.pause();
    }
  }
}

/** A program in the application's place, for the server's hooks: it answers what the test says, when the test says. */
export class Backend {
  port = 0;
  /** What it was asked, in order. */
  readonly asked: Readonly<Record<string, unknown>>[] = [];
  private readonly server: HttpServer;

  constructor(private readonly answer: (request: Readonly<Record<string, unknown>>) => object | Promise<object>) {
    this.server = createHttpServer((request, response) => {
      let text = '';
      request.setEncoding('utf8').on('data', (part: string) => (text += part));
      request.on('end', () => void this.respond(JSON.parse(text) as Record<string, unknown>, response));
    });
  }

  async start(): Promise<this> {
    this.server.listen(0, '127.0.0.1');
    await once(this.server, 'listening');
    this.port = (this.server.address() as AddressInfo).port;
    return this;
  }

  stop(): void {
    this.server.closeAllConnections();
    this.server.close();
  }

  /** What makes a server ask here. */
  options(hook: string): string[] {
    return ['--set', 'hooks.secret=a-secret-of-these-tests', '--set', `hooks.${hook}.url=http://127.0.0.1:${this.port}/`];
  }

  private async respond(request: Record<string, unknown>, response: ServerResponse): Promise<void> {
    this.asked.push(request);
    const body = JSON.stringify(await this.answer(request));
    response.writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) }).end(body);
  }
}

/** A file that a server is given, in a folder of its own. */
export class GivenFile {
  private readonly folder = mkdtempSync(join(tmpdir(), 'holdfast-test-'));
  readonly path: string;

  constructor(name: string, text: string) {
    this.path = join(this.folder, name);
    writeFileSync(this.path, text, { mode: 0o600 });
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** A key file, and tokens that are signed with it (HS256). */
export class TokenKey {
  private readonly secret = randomBytes(32).toString('hex');
  private readonly file = new GivenFile('token.key', `${this.secret}\n`);

  /** What makes a server take them, to the second. */
  options(): string[] {
    return ['--set', `auth.keys=HS256:${this.file.path}`, '--set', 'auth.leeway=0'];
  }

  /** For so many seconds from now, which are rounded down to the second's begin. */
  sign(user: string, seconds: number, claims: object = {}): string {
    const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
    const exp = Math.floor(Date.now() / 1000) + seconds;
    const body = `${part({ alg: 'HS256', typ: 'JWT' })}.${part({ sub: user, exp, ...claims })}`;
    return `${body}.${createHmac('sha256', this.secret).update(body).digest('base64url')}`;
  }

  remove(): void {
    this.file.remove();
  }
}
