/** The pool against a real server, whose workers are killed and whose connections are cut: where HOLDFAST names its binary. */
import { afterEach, describe, expect, it } from 'vitest';
import { HoldfastPool, type Gap, type PoolOptions, type Published } from '../src/pool/pool.js';
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

function poolOf(url: string | readonly string[], options: PoolOptions = {}): HoldfastPool {
  const made = new HoldfastPool(url, options);
  ends.push(() => made.close());
  made.on('problem', ({ error }) => void error);
  return made;
}

/** Follow them; what came, by channel. */
async function follow(pool: HoldfastPool, names: readonly string[], gaps: Gap[]): Promise<Map<string, number[]>> {
  const got = new Map<string, number[]>();
  pool.on('gap', (gap) => gaps.push(gap));
  await Promise.all(
    names.map((name) => {
      const list: number[] = [];
      got.set(name, list);
      return pool.subscribe(name, (message) => list.push(message.payload as number)).ready();
    }),
  );
  return got;
}

const names = [...Array(8).keys()].map((i) => `room:${i}`);
const perName = 75;
const expected = (room: number): number[] => [...Array(perName).keys()].map((i) => i * names.length + room);

/** Publish to all of them in turn, and do something to the pool between. */
async function publishAll(pool: HoldfastPool, harm: (round: number) => Promise<void>): Promise<Published[]> {
  const results: Promise<Published>[] = [];
  for (let i = 0; i < perName * names.length; i++) {
    results.push(pool.publish(names[i % names.length] as string, i));
    if (i % 3 === 0) await new Promise((resolve) => setImmediate(resolve));
    if (i % 100 === 50) await harm(Math.floor(i / 100));
  }
  return Promise.all(results);
}

const allUp = (pool: HoldfastPool): Promise<void> => until(() => pool.statistics().all.connected === pool.members.length, 'all members are connected');

describe.skipIf(holdfast === undefined).each(['binary', 'json'] as const)('a pool and a real server, in %s', (encoding) => {
  it('loses nothing, doubles nothing and keeps the order of each channel, however often its connections are cut', async () => {
    const server = await serve();
    // Each of the first four has a way of its own, so that one can be cut alone.
    const proxies = [await through(server), await through(server), await through(server), await through(server)];
    const pool = poolOf(proxies.map(({ url }) => url), { encoding, connections: 4 });
    const gaps: Gap[] = [];
    const got = await follow(pool, names, gaps);
    await allUp(pool);
    const published = await publishAll(pool, async (round) => {
      const { reconnects } = pool.statistics().all;
      proxies[round % proxies.length]?.cut();
      await until(() => pool.statistics().all.reconnects > reconnects, 'the member is back');
    });
    expect(published.map(({ publishId }) => publishId)).toEqual([...published.keys()].map((i) => i + 1));
    await until(() => names.every((name) => got.get(name)?.length === perName), 'all messages');
    names.forEach((name, room) => expect(got.get(name), name).toEqual(expected(room)));
    expect(gaps).toEqual([]);
    expect(pool.statistics().all).toMatchObject({ acknowledged: perName * names.length, refused: 0, uncertain: 0, queued: 0, replaced: 0, reconnects: 6 });
  });

  it('goes on where workers are killed', async () => {
    const server = await serve();
    const pool = poolOf(server.url, { encoding, connections: 4 });
    const gaps: Gap[] = [];
    const got = await follow(pool, names, gaps);
    await allUp(pool);
    let breaks = 0;
    pool.on('disconnected', () => breaks++);
    await publishAll(pool, async (round) => {
      const before = breaks;
      // Which worker has how many of the members is up to the system; both together have all.
      const slots = round % 3 === 2 ? [0, 1] : [round % 2];
      const pids = slots.map((slot) => server.workerPid(slot));
      for (const pid of pids) process.kill(pid, 'SIGKILL');
      await until(() => slots.every((slot, i) => server.workerPid(slot) !== pids[i]), 'there are new workers');
      if (slots.length === 2) await until(() => breaks >= before + 4, 'all breaks are seen');
      await allUp(pool);
    });
    expect(breaks).toBeGreaterThanOrEqual(8);
    await until(() => names.every((name) => got.get(name)?.length === perName), 'all messages');
    names.forEach((name, room) => expect(got.get(name), name).toEqual(expected(room)));
    expect(gaps).toEqual([]);
    expect(pool.statistics().all).toMatchObject({ acknowledged: perName * names.length, refused: 0, uncertain: 0, queued: 0, replaced: 0 });
  });

  it('answers, and says goodbye in all sessions', async () => {
    const server = await serve();
    const pool = poolOf(server.url, { encoding });
    await allUp(pool);
    const subscription = pool.subscribe('a');
    const { epoch } = await subscription.ready();
    expect(await pool.publish('a', { text: 'ä😀' }, { id: 'own' })).toEqual({ channel: 'a', offset: 1, publishId: 1 });
    expect(await pool.history('a')).toMatchObject({ epoch, head: 1, messages: [{ id: 'own', payload: { text: 'ä😀' } }] });
    expect((await subscription.history()).head).toBe(1);
    for (const member of [0, 1, 2]) expect(await pool.ping(member)).toBeLessThan(20_000);
    expect(new Set(pool.members.map(({ session }) => session)).size).toBe(3);
    await pool.drain();
    await pool.close();
    expect(pool.members.map(({ state }) => state)).toEqual(['ended', 'ended', 'ended']);
  });

  it("moves channels to members with room where the server's own limit of a session is reached", async () => {
    const server = await serve(['--set', 'session.subscriptions=2']);
    const pool = poolOf(server.url, { encoding });
    await allUp(pool);
    const many = [...Array(7).keys()].map((i) => pool.subscribe(`f${i}`));
    const outcomes = await Promise.allSettled(many.map((each) => each.ready()));
    expect(outcomes.filter(({ status }) => status === 'fulfilled').length).toBe(6);
    expect(outcomes.find(({ status }) => status === 'rejected')).toMatchObject({ reason: { code: 'limit' } });
  });
});
