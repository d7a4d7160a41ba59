/** The client in Node, through npm `ws`, against a real server: where HOLDFAST names its binary. */
import { afterEach, describe, expect, it } from 'vitest';
import WebSocket from 'ws';
import { Holdfast, HoldfastError, webSocketTransport, type Gap, type HoldfastOptions } from '../src/index.node.js';
import { holdfast, Proxy, RealServer, until } from './real_server.js';

const ends: (() => unknown)[] = [];

afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

async function serve(options: readonly string[] = []): Promise<RealServer> {
  const server = new RealServer(options);
  ends.push(() => server.stop('SIGKILL'));
  await server.start();
  return server;
}

async function through(server: RealServer): Promise<Proxy> {
  const proxy = new Proxy(() => server.port);
  ends.push(() => proxy.stop());
  await proxy.start();
  return proxy;
}

function client(url: string, options: HoldfastOptions = {}): Holdfast {
  const made = new Holdfast(url, options);
  ends.push(() => made.close());
  made.on('problem', ({ error }) => void error);
  return made;
}

describe.skipIf(holdfast === undefined).each(['binary', 'json'] as const)('a real server, in %s', (encoding) => {
  it('greets, delivers, answers', async () => {
    const server = await serve();
    const one = client(server.url, { encoding });
    const encodings: string[] = [];
    one.on('connected', (event) => encodings.push(event.encoding));
    const got: unknown[] = [];
    const subscription = one.subscribe('räume/1', (message) => got.push([message.offset, message.id, message.payload]));
    const { epoch } = await subscription.ready();
    const published = await one.publish('räume/1', { text: 'ä😀', n: 1.5 });
    await one.publish('räume/1', [], { id: 'own' });
    await until(() => got.length === 2, 'both messages');
    expect(published).toEqual({ channel: 'räume/1', offset: 1, publishId: 1 });
    expect(got).toEqual([
      [1, `${epoch}-1`, { text: 'ä😀', n: 1.5 }],
      [2, 'own', []],
    ]);
    expect(encodings).toEqual([encoding]);
    expect(await one.history('räume/1', { limit: 1, reverse: true })).toMatchObject({ head: 2, epoch, messages: [{ id: 'own', offset: 2 }] });
    expect(await one.history('not there')).toMatchObject({ head: 0, messages: [] });
    expect(await one.ping()).toBeLessThan(5000);
    await subscription.unsubscribe();
    await one.close();
    expect(one.state).toBe('ended');
  });

  it('loses nothing and doubles nothing, however often the connection is cut', async () => {
    const server = await serve();
    const proxy = await through(server);
    const publisher = client(proxy.url, { encoding });
    const reader = client(proxy.url, { encoding });
    const got: number[] = [];
    const gaps: Gap[] = [];
    const subscription = reader.subscribe('burst', (message) => got.push(message.payload as number));
    subscription.on('gap', (gap) => gaps.push(gap));
    await subscription.ready();
    let breaks = 0;
    publisher.on('disconnected', () => breaks++);
    reader.on('disconnected', () => breaks++);
    const results: Promise<unknown>[] = [];
    for (let i = 0; i < 600; i++) {
      results.push(publisher.publish('burst', i));
      if (i % 3 === 0) await new Promise((resolve) => setImmediate(resolve));
      if (i % 100 === 50) {
        const before = breaks;
        proxy.cut();
        await until(() => breaks === before + 2 && publisher.state === 'live' && reader.state === 'live', 'both are back');
      }
    }
    await Promise.all(results);
    await until(() => got.length >= 600, 'all messages');
    expect(gaps).toEqual([]);
    expect(got).toEqual([...Array(600).keys()]);
    expect(breaks).toBe(12);
  });

  it('goes on where a worker dies', async () => {
    const server = await serve();
    const one = client(server.url, { encoding });
    const got: number[] = [];
    let breaks = 0;
    one.on('disconnected', () => breaks++);
    await one.subscribe('crash', (message) => got.push(message.payload as number)).ready();
    for (let i = 0; i < 30; i++) {
      await one.publish('crash', i);
      if (i % 10 === 5) {
        const before = breaks;
        const pids = [0, 1].map((slot) => server.workerPid(slot));
        for (const pid of pids) process.kill(pid, 'SIGKILL');
        await until(() => breaks > before, 'the break is seen');
        await until(() => pids.every((pid, slot) => server.workerPid(slot) !== pid), 'there are new workers, which can be killed');
      }
    }
    await until(() => got.length >= 30, 'all messages');
    expect(got).toEqual([...Array(30).keys()]);
  });

  it('has what followed a position, from the log', async () => {
    const server = await serve();
    const one = client(server.url, { encoding });
    for (let i = 1; i <= 5; i++) await one.publish('log', i);
    const first = one.subscribe('log', { last: 2 });
    const got: unknown[] = [];
    for await (const item of first) {
      if (item.type === 'message') got.push(item.payload);
      if (got.length === 2) break;
    }
    expect(got).toEqual([4, 5]);
    const { position } = first;
    expect(position?.offset).toBe(5);
    const two = client(server.url, { encoding });
    const later: unknown[] = [];
    const since = position === null ? {} : { since: { ...position, offset: 3 } };
    await two.subscribe('log', since, (message) => later.push(message.payload)).ready();
    await until(() => later.length === 2, 'what followed');
    expect(later).toEqual([4, 5]);
  });
});

describe.skipIf(holdfast === undefined)('a real server', () => {
  it('passes bytes between both encodings', async () => {
    const server = await serve();
    const binary = client(server.url, { encoding: 'binary' });
    const json = client(server.url, { encoding: 'json' });
    const got: unknown[] = [];
    await binary.subscribe('bytes', (message) => got.push(message.payload)).ready();
    await json.subscribe('bytes', (message) => got.push(message.payload)).ready();
    await binary.publish('bytes', Uint8Array.of(0, 1, 254, 255));
    await until(() => got.length === 2, 'both have it');
    await json.publish('bytes', Uint8Array.of(7));
    await until(() => got.length === 4, 'both have it');
    expect(got).toEqual([Uint8Array.of(0, 1, 254, 255), Uint8Array.of(0, 1, 254, 255), Uint8Array.of(7), Uint8Array.of(7)]);
  });

  it('finds out that the network is dead, and is back within seconds when it lives', async () => {
    const server = await serve();
    const proxy = await through(server);
    const one = client(proxy.url);
    const causes: string[] = [];
    one.onState(({ to, cause }) => causes.push(`${to} ${cause}`));
    const got: unknown[] = [];
    await one.subscribe('x', (message) => got.push(message.payload)).ready();
    proxy.freeze();
    const published = one.publish('x', 'through the dead');
    await until(() => one.state === 'connecting', 'the death is seen');
    expect(causes.slice(2, 4)).toEqual(['doubtful answer_late', 'connecting heartbeat_missed']);
    proxy.thaw();
    await published;
    await until(() => got.length === 1, 'the message');
    expect(got).toEqual(['through the dead']);
  });

  it('tells of a server that was restarted: the channel is another, what it held is gone', async () => {
    const server = await serve();
    const one = client(server.url);
    const got: string[] = [];
    const subscription = one.subscribe('room', (message) => got.push(String(message.payload)));
    subscription.on('gap', (gap) => got.push(`gap ${gap.code}`));
    await subscription.ready();
    await one.publish('room', 'before');
    await until(() => got.length === 1, 'the message');
    await server.stop('SIGKILL');
    await server.start();
    await one.publish('room', 'after');
    await until(() => got.includes('after'), 'the message behind');
    expect(got).toEqual(['before', 'gap epoch', 'after']);
  });

  it('sees the HTTP status of a refusal', async () => {
    const server = await serve();
    // A platform's own WebSocket, as Node has one from version 22 on, does not tell it.
    const one = client(server.url.replace('/ws', '/nothing'), { transport: webSocketTransport(WebSocket) });
    const statuses: number[] = [];
    one.on('ended', (event) => statuses.push(event.httpStatus));
    await expect(one.connected()).rejects.toThrow(HoldfastError);
    expect(statuses).toEqual([404]);
  });

  it('takes npm ws where it is given', async () => {
    const server = await serve();
    const one = client(server.url, { transport: webSocketTransport(WebSocket) });
    await one.connected();
    expect(one.state).toBe('live');
  });

  it('finds the server again that was drained and started anew', async () => {
    const server = await serve(['--set', 'drain.timeout=2s']);
    const proxy = await through(server);
    const one = client(proxy.url);
    await one.connected();
    let breaks = 0;
    one.on('disconnected', () => breaks++);
    await server.stop('SIGTERM');
    await until(() => breaks > 0, 'the end is seen');
    await server.start();
    await one.connected();
    expect((await one.publish('x', 1)).offset).toBe(1);
  });
});
