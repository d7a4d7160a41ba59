/** server.mjs - real `holdfast serve` processes, and a proxy in front of them that breaks connections as networks do. */
import { spawn } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import { CheckFailed, check, tails, until } from './tap.mjs';

const ports = (process.env.HF_PORTS ?? '').split(',').filter(Boolean).map(Number);

/** One of those that run.py has taken. */
export function freePort() {
  const port = ports.pop();
  if (!port) throw new CheckFailed('no port is left: run this by tests/browser/run.py, and see PORTS there');
  return port;
}

function statOf(pid) {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1).split(' ');
  } catch {
    return null; // It is gone.
  }
}

function childrenOf(parent) {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      const stat = statOf(pid);
      return stat !== null && Number(stat[1]) === parent && stat[0] !== 'Z' && stat[0] !== 'X';
    })
    .sort((a, b) => a - b);
}

/** One request on a connection of its own: another one may belong to a worker that has been killed since. Returns {status, text}. */
function request(port, method, path, body = '') {
  return new Promise((resolve, reject) => {
    const asked = http.request({ host: '127.0.0.1', port, method, path, agent: false, headers: { 'Content-Length': Buffer.byteLength(body) } }, (answer) => {
      let text = '';
      answer.setEncoding('utf8').on('data', (part) => (text += part));
      answer.on('end', () => resolve({ status: answer.statusCode, text })).on('error', reject);
    });
    asked.on('error', reject).end(body);
  });
}

export class Server {
  constructor({ workers = 2, options = [] } = {}) {
    this.port = freePort();
    this.apiPort = freePort();
    this.workers = workers;
    this.options = options;
    this.log = [];
    tails.push(() => [`--- log of the server on port ${this.port}:`, ...this.log.slice(-30)]);
  }

  get url() {
    return `ws://127.0.0.1:${this.port}/ws`;
  }

  get page() {
    return `http://127.0.0.1:${this.apiPort}/`;
  }

  /** ready: what its log says when it serves; else its API is asked. */
  async start({ ready } = {}) {
    const args = ['serve', '--listen', `127.0.0.1:${this.port}`, '--api', `127.0.0.1:${this.apiPort}`, '--workers', String(this.workers), ...this.options];
    this.process = spawn(process.env.HOLDFAST, args, { stdio: ['ignore', 'ignore', 'pipe'] });
    this.process.stderr.setEncoding('utf8').on('data', (text) => this.log.push(...text.trimEnd().split('\n')));
    this.ended = new Promise((resolve) => this.process.on('exit', resolve));
    await until('the server is ready', async () => {
      check(this.process.exitCode === null, `the server ended at start with status ${this.process.exitCode}`);
      if (ready) return this.log.some((line) => line.includes(ready));
      return request(this.apiPort, 'GET', '/readyz').then(({ status }) => status === 200, () => false);
    });
    return this;
  }

  workerPids() {
    return childrenOf(this.process.pid);
  }

  /** kill -9 for one worker, and wait until its successor is there. */
  async killWorker(pid) {
    process.kill(pid, 'SIGKILL');
    await until(`worker ${pid} is replaced`, () => {
      const pids = this.workerPids();
      return pids.length === this.workers && !pids.includes(pid);
    });
  }

  async api(path, body) {
    const { status, text } = await request(this.apiPort, 'POST', path, JSON.stringify(body));
    check(status === 200, `POST ${path}: HTTP ${status} ${text}`);
    return JSON.parse(text);
  }

  async publish(channel, payload) {
    return this.api('/api/publish', { channel, payload });
  }

  /** SIGTERM and its drain; what it must never have said. */
  async stop() {
    this.process.kill('SIGTERM');
    const status = await this.ended;
    check(status === 0, `the server ended with status ${status}`);
    const complaint = this.log.find((line) => /AddressSanitizer|LeakSanitizer|runtime error:|assertion/i.test(line));
    check(!complaint, `in the server's log: ${complaint}`);
  }

  async close() {
    if (this.process && this.process.exitCode === null && this.process.signalCode === null) {
      this.process.kill('SIGKILL');
      await this.ended;
    }
  }
}

/** TCP to a server, whose connections can be reset, frozen, or refused. */
export class Proxy {
  #pairs = new Set();
  #refuses = false;

  constructor(target) {
    this.target = target;
    this.port = freePort();
  }

  get url() {
    return `ws://127.0.0.1:${this.port}/ws`;
  }

  async start() {
    this.server = net.createServer((client) => this.#accept(client));
    await new Promise((resolve) => this.server.listen(this.port, '127.0.0.1', resolve));
    return this;
  }

  #accept(client) {
    if (this.#refuses) {
      client.on('error', () => undefined);
      client.resetAndDestroy();
      return;
    }
    const server = net.connect(this.target, '127.0.0.1');
    const pair = [client, server];
    this.#pairs.add(pair);
    for (const [from, to] of [pair, [server, client]]) {
      from.setNoDelay(true);
      from.pipe(to);
      from.on('error', () => undefined);
      from.on('close', () => {
        to.destroy();
        this.#pairs.delete(pair);
      });
    }
  }

  get connections() {
    return this.#pairs.size;
  }

  /** RST for all that stand. */
  reset() {
    for (const pair of this.#pairs) for (const socket of pair) socket.resetAndDestroy();
  }

  /** Not a byte goes through those that stand, and nobody is told. New ones are good. */
  freeze() {
    for (const [client, server] of this.#pairs) {
      client.unpipe(server);
      server.unpipe(client);
      client.pause();
      server.pause();
    }
  }

  /** From now on new connections are reset at once, or not any more. */
  refuse(refuses) {
    this.#refuses = refuses;
  }

  async close() {
    this.reset();
    await new Promise((resolve) => this.server.close(resolve));
  }
}
