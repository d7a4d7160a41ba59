/** real_server.ts - a real `holdfast serve` for tests, its binary named by HOLDFAST, and a proxy before it that can cut, freeze and refuse. All on loopback, on ports that are free. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';

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
    await until(() => this.log.includes('event=ready') || child.exitCode !== null, 'the server is ready');
    if (child.exitCode !== null) throw new Error(`the server did not start:\n${this.log}`);
  }

  /** The process of a worker. */
  workerPid(slot: number): number {
    const lines = this.log.split('\n').filter((line) => line.includes(`event=worker_started slot=${slot}`));
    return Number(/pid=(\d+)/.exec(lines.at(-1) ?? '')?.[1]);
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
