/** The pool: its core by itself, then all of it against the small server of world.ts, in virtual time. */
import { describe, expect, it } from 'vitest';
import { randomFrom } from '../src/core/random.js';
import { HoldfastError, HoldfastPool, PublishRefused, PublishUncertain, type Gap, type PoolEvents, type PoolOptions, type Published } from '../src/pool/pool.js';
import { memberOf, PoolCore } from '../src/pool/pool_core.js';
import { FakeServer, flush, seeded, World, type ServerConnection } from './world.js';

/* --- which member takes what --- */

interface CoreWorld {
  core: PoolCore<string>;
  /** All that can go at that time, as "item>member". */
  all: (now: number) => string;
}

function coreWorld(members = 3): CoreWorld {
  const core = new PoolCore<string>(members, 100, randomFrom(seeded(7)), 1000);
  for (let i = 0; i < members; i++) {
    expect(core.due(i, 1000)).toBe(true);
    core.replaced(i);
  }
  const all = (now: number): string => {
    const got: string[] = [];
    for (let next = core.next(now); next !== undefined; next = core.next(now)) got.push(`${next.item}>${next.member}`);
    return got.join(' ');
  };
  return { core, all };
}

describe("the pool's core", () => {
  it('has the same member for a key as the pool in C', () => {
    // (h ^ h >> 32) % members of FNV-1a in 64 bits, computed with whole numbers of any size.
    for (const [key, ...expected] of [
      ['', 0, 1, 0, 6, 1],
      ['EURUSD', 0, 1, 0, 6, 49],
      ['räume/1', 0, 1, 0, 4, 11],
      ['room:lobby', 0, 1, 2, 1, 13],
      ['東京', 0, 0, 2, 0, 30],
    ] as const)
      expect([1, 2, 3, 7, 64].map((members) => memberOf(key, members)), key).toEqual(expected);
    const counts = [0, 0, 0];
    for (let i = 0; i < 3000; i++) (counts[memberOf(`user-${i}`, 3)] as number)++;
    for (const count of counts) expect(Math.abs(count - 1000)).toBeLessThan(150);
  });

  it('gives what has no key to the connected members in turn', () => {
    const { core, all } = coreWorld();
    for (const i of [0, 1, 2]) core.connected(i, 1000);
    for (const item of ['a', 'b', 'c', 'd']) core.put(item, null, 1000);
    expect(all(1000)).toBe('a>0 b>1 c>2 d>0');
    core.disconnected(1, 1000);
    for (const item of ['e', 'f', 'g']) core.put(item, null, 1000);
    expect(all(1000)).toBe('e>2 f>0 g>2');
  });

  it('leaves a key at its member while that is away, and keeps it while it is vacant', () => {
    const { core, all } = coreWorld();
    for (const i of [0, 1, 2]) core.connected(i, 1000);
    core.disconnected(1, 1000);
    core.put('a', 1, 1000);
    expect(all(1000)).toBe('a>1');
    core.ended(1, 1000);
    core.put('b', 1, 1000);
    core.put('c', 1, 1000);
    core.put('other', 2, 1000);
    core.giveBack(['never sent 1', 'never sent 2'], 1, 1000);
    expect(all(1000)).toBe('other>2');
    core.replaced(1);
    expect(all(1000)).toBe('never sent 1>1 never sent 2>1 b>1 c>1');
  });

  it('gives a full member nothing until it has room, and in order then', () => {
    const { core, all } = coreWorld(2);
    for (const i of [0, 1]) core.connected(i, 1000);
    core.put('a', 0, 1000);
    core.put('b', 0, 1000);
    core.put('c', 1, 1000);
    expect(core.next(1000)).toEqual({ item: 'a', member: 0 });
    core.full('a', 0, 0);
    expect(all(1000)).toBe('c>1');
    core.room(0);
    expect(all(1000)).toBe('a>0 b>0');
  });

  it('shares what gathered in an outage among all members that came back by the next look', () => {
    const { core, all } = coreWorld();
    for (const item of ['a', 'b', 'c']) core.put(item, null, 1040);
    expect(core.deadline()).toBe(Infinity); // It can find nothing.
    core.connected(0, 1100);
    expect(core.deadline()).toBe(1140);
    core.connected(1, 1110);
    core.connected(2, 1120);
    expect(all(1139)).toBe('');
    expect(all(1140)).toBe('a>0 b>1 c>2');
    expect(core.deadline()).toBe(Infinity);
    core.put('d', null, 1150);
    expect(all(1150)).toBe('d>0');
  });

  it('replaces a session at once that was stable, and others after growing pauses', () => {
    const { core } = coreWorld();
    core.connected(0, 1000);
    expect(core.ended(0, 11_000)).toBe(0);
    expect(core.due(0, 11_000)).toBe(true);
    const pauses: number[] = [];
    for (let i = 0; i < 9; i++) {
      core.replaced(0);
      pauses.push(core.ended(0, 20_000));
    }
    pauses.forEach((pause, i) => {
      const full = Math.min(30_000, 500 * 2 ** i);
      expect(pause).toBeGreaterThanOrEqual(full / 2);
      expect(pause).toBeLessThanOrEqual(full);
    });
    expect(new Set(pauses).size).toBe(pauses.length);
    core.close();
    expect(core.deadline()).toBe(Infinity);
  });

  it('keeps the order of many that come and go', () => {
    const { core } = coreWorld(1);
    core.connected(0, 1000);
    const got: number[] = [];
    const random = seeded(3);
    let put = 0;
    while (got.length < 2000) {
      for (let n = Math.floor(random() * 9); n > 0; n--) core.put(String(put++), 0, 1000);
      for (let n = Math.floor(random() * 9); n > 0; n--) {
        const next = core.next(1000);
        if (next === undefined) break;
        if (random() < 0.3) {
          core.full(next.item, 0, 0);
          core.room(0);
        } else got.push(Number(next.item));
      }
    }
    expect(got).toEqual([...got.keys()]);
  });
});

/* --- all of it --- */

interface Setup {
  world: World;
  server: FakeServer;
  pool: HoldfastPool;
  /** The present connection of a member's. */
  of: (member: number) => ServerConnection;
  events: string[];
}

function setup(options: PoolOptions = {}, change: (server: FakeServer) => void = () => undefined): Setup {
  const world = new World();
  const server = new FakeServer(world);
  change(server);
  const pool = new HoldfastPool('ws://fake/ws', { transport: server.transport(), platform: world.platform(), ...options });
  const events: string[] = [];
  for (const event of ['connected', 'disconnected', 'memberEnded', 'caughtUp'] as const) pool.on(event, ({ member }) => events.push(`${event} ${member}`));
  pool.on('ended', () => events.push('ended'));
  const of = (member: number): ServerConnection => {
    const connection = server.sessions.get(pool.members[member]?.session ?? '')?.connection;
    if (connection === null || connection === undefined) throw new Error(`member ${member} has no connection`);
    return connection;
  };
  return { world, server, pool, of, events };
}

async function allUp({ world, pool }: Setup): Promise<void> {
  await world.until(() => pool.members.every(({ state }) => state === 'live'));
}

async function caught(promise: Promise<unknown>): Promise<HoldfastError> {
  try {
    await promise;
  } catch (error) {
    return error as HoldfastError;
  }
  throw new Error('it did not reject');
}

/** A channel's name whose key is that member's. */
function channelOf(member: number, members = 3): string {
  for (let i = 0; ; i++) if (memberOf(`c${i}`, members) === member) return `c${i}`;
}

function payloads(server: FakeServer, channel: string): unknown[] {
  return server.channel(channel).log.map(({ payload }) => payload);
}

describe('a pool', () => {
  it('has sessions of its own for its members, and says which one an event is about', async () => {
    const all = setup();
    await allUp(all);
    await all.world.run(500);
    expect(all.server.sessions.size).toBe(3);
    expect([...all.events].sort()).toEqual(['caughtUp 0', 'caughtUp 1', 'caughtUp 2', 'connected 0', 'connected 1', 'connected 2']);
    const states: string[] = [];
    all.pool.on('state', ({ member, to, cause }) => states.push(`${member} ${to} ${cause}`));
    all.of(1).close(1011);
    await all.world.run(50);
    expect(states[0]).toBe('1 waiting closed_by_server');
    expect(all.events).toContain('disconnected 1');
    expect(all.pool.members.map(({ url }) => url)).toEqual(['ws://fake/ws', 'ws://fake/ws', 'ws://fake/ws']);
  });

  it('takes the channel for the key: each channel goes by one member, in order, and all members have some', async () => {
    const all = setup({ connections: 4 });
    const { pool, server, world } = all;
    await allUp(all);
    const by = new Map<string, Set<string>>();
    server.intercept = (connection, message) => {
      if (message['type'] !== 'data') return false;
      const channel = String(message['channel']);
      by.set(channel, (by.get(channel) ?? new Set()).add(connection.session?.id ?? ''));
      return false;
    };
    const results: Promise<Published>[] = [];
    for (let i = 0; i < 200; i++) results.push(pool.publish(`room:${i % 20}`, i));
    await world.run(1000);
    const published = await Promise.all(results);
    expect(published.map(({ publishId }) => publishId)).toEqual([...Array(200).keys()].map((i) => i + 1));
    for (let room = 0; room < 20; room++) {
      expect(payloads(server, `room:${room}`)).toEqual([...Array(10).keys()].map((i) => i * 20 + room));
      expect(by.get(`room:${room}`)?.size).toBe(1);
    }
    expect(new Set([...by.values()].flatMap((sessions) => [...sessions])).size).toBe(4);
    expect(pool.unanswered).toBe(0);
  });

  it('keeps a key at one member over channels, and spreads what has none', async () => {
    const all = setup();
    const { pool, server, world } = all;
    await allUp(all);
    const by: string[] = [];
    server.intercept = (connection, message) => {
      if (message['type'] === 'data') by.push(connection.session?.id ?? '');
      return false;
    };
    for (let i = 0; i < 9; i++) void pool.publish(`x${i}`, i, { key: 'EURUSD' });
    await world.run(500);
    expect(new Set(by).size).toBe(1);
    by.length = 0;
    for (let i = 0; i < 9; i++) void pool.publish('x', i, { key: null });
    await world.run(500);
    expect(pool.members.map(({ session }) => by.filter((each) => each === session).length)).toEqual([3, 3, 3]);
  });

  it("keeps a channel's publishes at its member while that is away, and the others go on", async () => {
    const all = setup();
    const { pool, server, world, of } = all;
    await allUp(all);
    const mine = channelOf(1);
    const other = channelOf(2);
    of(1).close(1006);
    server.down = true;
    await world.run(25);
    const results = [1, 2, 3].map((i) => pool.publish(mine, i));
    const others = await Promise.all([pool.publish(other, 'x'), world.run(100)]);
    expect(others[0].offset).toBe(1);
    expect(payloads(server, mine)).toEqual([]);
    expect(pool.statistics().members.map(({ queued }) => queued)).toEqual([0, 3, 0]);
    server.down = false;
    await world.until(() => pool.unanswered === 0);
    await Promise.all(results);
    expect(payloads(server, mine)).toEqual([1, 2, 3]);
    expect(pool.statistics()).toMatchObject({ members: [{ reconnects: 0 }, { reconnects: 1, published: 3, acknowledged: 3 }, {}], all: { connected: 3, reconnects: 1, replaced: 0, acknowledged: 4, queued: 0 } });
  });

  it('applies each publish once and in order, however members are cut', async () => {
    const all = setup({ connections: 4, window: 5 });
    const { pool, server, world } = all;
    await allUp(all);
    const random = seeded(11);
    const got = new Map<string, unknown[]>();
    const gaps: Gap[] = [];
    pool.on('gap', (gap) => gaps.push(gap));
    const names = [...Array(8).keys()].map((i) => `room:${i}`);
    for (const name of names) {
      const list: unknown[] = [];
      got.set(name, list);
      pool.subscribe(name, ({ payload }) => list.push(payload));
    }
    await world.run(200);
    const results: Promise<Published>[] = [];
    for (let i = 0; i < 400; i++) {
      results.push(pool.publish(names[i % 8] as string, i));
      if (i % 3 === 0) await world.run(Math.floor(random() * 40));
      const standing = server.connections.filter(({ open, dead }) => open && !dead);
      if (i % 25 === 10) standing[Math.floor(random() * standing.length)]?.close(1006);
    }
    await world.until(() => pool.unanswered === 0);
    await world.until(() => names.every((name) => got.get(name)?.length === 50));
    await Promise.all(results);
    names.forEach((name, room) => {
      const expected = [...Array(50).keys()].map((i) => i * 8 + room);
      expect(payloads(server, name)).toEqual(expected);
      expect(got.get(name)).toEqual(expected);
    });
    expect(gaps).toEqual([]);
    expect(pool.statistics().all).toMatchObject({ acknowledged: 400, published: 400, refused: 0, uncertain: 0, queued: 0, replaced: 0 });
    expect(pool.statistics().all.reconnects).toBeGreaterThan(10);
  });

  it('takes so many publishes without a connection, then refuses, and shares them when members are back', async () => {
    const all = setup({ queueMax: 6 }, (server) => (server.down = true));
    const { pool, server, world } = all;
    const results = [1, 2, 3, 4, 5, 6].map((i) => pool.publish('x', i, { key: null }));
    const full = await caught(pool.publish('x', 7, { key: null }));
    expect(full.code).toBe('outbox_full');
    expect(full.message).toMatch(/no member is connected.*queueMax/);
    await world.run(1000);
    server.down = false;
    await world.until(() => pool.unanswered === 0);
    await Promise.all(results);
    expect(payloads(server, 'x').sort()).toEqual([1, 2, 3, 4, 5, 6]);
    expect((await Promise.all([pool.publish('x', 8), world.run(300)]))[0].publishId).toBe(7);
  });

  it('waits where an outbox is full, in order, and refuses at the bound of the queue', async () => {
    const all = setup({ connections: 2, outboxMessages: 4, connectedQueueMax: 5 });
    const { pool, server, world } = all;
    await allUp(all);
    const mine = channelOf(0, 2);
    const results = [...Array(9).keys()].map((i) => pool.publish(mine, i));
    const full = await caught(pool.publish(mine, 9));
    expect(full.code).toBe('outbox_full');
    expect(full.message).toMatch(/room in the members' outboxes/);
    expect(pool.statistics()).toMatchObject({ members: [{ queued: 4 }, { queued: 0 }], all: { queued: 9 } });
    await world.run(1000);
    await Promise.all(results);
    expect(payloads(server, mine)).toEqual([...Array(9).keys()]);
    // Bytes are bounded as well.
    const large = setup({ outboxBytes: 1000 });
    expect((await caught(large.pool.publish('x', 'y'.repeat(1000)))).code).toBe('too_large');
    void large.pool.publish('x', 'y'.repeat(700)).catch(() => undefined);
    expect((await caught(large.pool.publish('x', 'y'.repeat(700)))).code).toBe('outbox_full');
  });

  it('makes another session where one ends: what was sent is uncertain, the rest goes on in order, channels too', async () => {
    const all = setup({ window: 2 });
    const { pool, server, world, of, events } = all;
    await allUp(all);
    await world.run(11_000); // It has been stable.
    const mine = channelOf(1);
    const followed = [0, 1, 2].map((i) => {
      const list: unknown[] = [];
      const subscription = pool.subscribe(`f${i}`, ({ payload }) => list.push(payload));
      return { list, subscription };
    });
    await world.run(200);
    server.publish('f0', 'a');
    server.publish('f1', 'a');
    server.publish('f2', 'a');
    await world.run(100);
    const session = pool.members[1]?.session ?? '';
    server.intercept = (connection, message) => message['type'] === 'data' && connection.session?.id === session; // They vanish.
    const results = [1, 2, 3, 4].map((i) => pool.publish(mine, i, { id: `id-${i}` }));
    await world.run(30);
    const ended: PoolEvents['memberEnded'][] = [];
    const states: string[] = [];
    pool.on('memberEnded', (event) => ended.push(event));
    pool.on('state', ({ member, to }) => {
      if (to === 'ended') results.push(pool.publish(mine, 5)); // While it ends: behind the others.
      states.push(`${member} ${to}`);
    });
    of(1).close(4003);
    server.sessions.delete(session);
    await world.run(25);
    server.publish('f1', 'while it is away');
    results.push(pool.publish(mine, 6));
    const first = await caught(results[0] as Promise<unknown>);
    const second = await caught(results[1] as Promise<unknown>);
    for (const [error, i] of [[first, 1], [second, 2]] as const) {
      expect(error).toBeInstanceOf(PublishUncertain);
      expect(error).toMatchObject({ channel: mine, id: `id-${i}`, payload: i });
    }
    await world.until(() => pool.unanswered === 0);
    await Promise.all(results.slice(2));
    expect(payloads(server, mine)).toEqual([3, 4, 5, 6]);
    expect(ended).toMatchObject([{ member: 1, cause: 'ended_by_server', closeCode: 4003, nextAttempt: 0 }]);
    expect(states[0]).toBe('1 ended');
    expect(events.filter((event) => event.startsWith('memberEnded'))).toEqual(['memberEnded 1']);
    server.publish('f1', 'b');
    await world.run(100);
    expect(followed.map(({ list }) => list)).toEqual([['a'], ['a', 'while it is away', 'b'], ['a']]);
    expect(followed.map(({ subscription }) => subscription.state)).toEqual(['active', 'active', 'active']);
    expect(pool.statistics()).toMatchObject({ members: [{ replaced: 0 }, { replaced: 1, uncertain: 2, acknowledged: 4, published: 6 }, { replaced: 0 }], all: { uncertain: 2, queued: 0 } });
  });

  it('gives what has no key and was not sent to the members that are left', async () => {
    const all = setup({ window: 1, connections: 2 });
    const { pool, server, world, of } = all;
    await allUp(all);
    const session = pool.members[0]?.session ?? '';
    server.intercept = (connection, message) => message['type'] === 'data' && connection.session?.id === session;
    const results = [...Array(6).keys()].map((i) => pool.publish('x', i, { key: null }));
    await world.run(100);
    server.refusals.push(...Array.from({ length: 50 }, () => ({ status: 401, retryAfter: 0 }))); // No session in its place.
    of(0).close(4003);
    await world.run(200);
    expect((await caught(results[0] as Promise<unknown>)).code).toBe('uncertain');
    await Promise.all(results.slice(1));
    expect(payloads(server, 'x').sort()).toEqual([1, 2, 3, 4, 5]);
    expect(pool.unanswered).toBe(0);
  });

  it('tries the next URL where a session was never connected, after a pause', async () => {
    const world = new World();
    const server = new FakeServer(world);
    const transport = server.transport();
    const pool = new HoldfastPool(['ws://one/ws', 'ws://two/ws'], {
      connections: 3,
      platform: world.platform(),
      transport: {
        open: (request, events) => {
          if (request.url.includes('one')) return transport.open(request, events);
          world.after(20, () => events.refused(404, 0));
          return { send: () => undefined, bufferedAmount: 0, close: () => undefined };
        },
      },
    });
    const pauses: number[] = [];
    pool.on('memberEnded', ({ nextAttempt }) => pauses.push(nextAttempt));
    const urls = (): string[] => pool.members.map(({ url }) => new URL(url).hostname);
    expect(urls()).toEqual(['one', 'two', 'one']);
    await world.until(() => pool.statistics().all.connected === 3);
    expect(urls()).toEqual(['one', 'one', 'one']);
    expect(pauses.length).toBe(1);
    expect(pauses[0]).toBeGreaterThanOrEqual(250);
    expect(pool.statistics().members.map(({ replaced }) => replaced)).toEqual([0, 1, 0]);
  });

  it('spreads channels over the members: the next one to the member with the fewest', async () => {
    const all = setup();
    const { pool, server, world } = all;
    await allUp(all);
    const subscriptions = [...Array(7).keys()].map((i) => pool.subscribe(`f${i}`));
    await world.run(200);
    const counts = (): number[] => pool.members.map(({ session }) => server.sessions.get(session)?.cursors.size ?? 0);
    expect(counts()).toEqual([3, 2, 2]);
    await Promise.all([subscriptions[1]?.unsubscribe(), subscriptions[4]?.unsubscribe(), world.run(200)]);
    pool.subscribe('g');
    await world.run(200);
    expect(counts()).toEqual([3, 1, 2]);
    expect(() => pool.subscribe('g')).toThrow(expect.objectContaining({ code: 'exists' }) as Error);
    expect(pool.subscription('g')?.channel).toBe('g');
    expect(pool.subscription('f1')).toBeUndefined();
  });

  it('has room for as many channels as all members together, and says so at the limit', async () => {
    const all = setup({ subscriptions: 2 });
    const { pool, world } = all;
    await allUp(all);
    const six = [...Array(6).keys()].map((i) => pool.subscribe(`f${i}`));
    expect(() => pool.subscribe('one more')).toThrow(/each member follows as many channels as it may/);
    await world.run(200);
    expect(six.map(({ state }) => state)).toEqual(Array(6).fill('active'));
    void six[0]?.unsubscribe();
    await world.run(200);
    expect(pool.subscribe('one more').state).toBe('pending');
  });

  it("asks another member where the server's limit is reached, and ends the subscription where it is for all", async () => {
    const all = setup();
    const { pool, server, world } = all;
    await allUp(all);
    const room = [0, 3, 2]; // Of each member's session.
    server.intercept = (connection, message) => {
      const member = pool.members.findIndex(({ session }) => session === connection.session?.id);
      if (message['type'] !== 'subscribe' || (connection.session?.cursors.size ?? 0) < (room[member] ?? 0)) return false;
      connection.send({ type: 'error', code: 'limit', reason: 'this session follows as many as it may', re: 'subscribe', channel: message['channel'] });
      return true;
    };
    const six = [...Array(6).keys()].map((i) => pool.subscribe(`f${i}`));
    const errors: (string | undefined)[] = [];
    for (const each of six) each.on('unsubscribed', ({ error }) => errors.push(error?.code));
    await world.run(2000);
    expect(six.filter(({ state }) => state === 'active').length).toBe(5);
    expect(errors).toEqual(['limit']);
    expect(pool.members.map(({ session }) => server.sessions.get(session)?.cursors.size)).toEqual([0, 3, 2]);
  });

  it('follows a channel again that is just being left', async () => {
    const all = setup();
    const { pool, server, world } = all;
    await allUp(all);
    const got: unknown[] = [];
    const first = pool.subscribe('room', ({ payload }) => got.push(['first', payload]));
    await world.run(100);
    const left = first.unsubscribe();
    const second = pool.subscribe('room', ({ payload }) => got.push(['second', payload]));
    await world.run(200);
    await left;
    server.publish('room', 1);
    await world.run(100);
    expect([first.state, second.state]).toEqual(['ended', 'active']);
    expect(got).toEqual([['second', 1]]);
    const third = second.unsubscribe().then(() => 'over');
    const never = pool.subscribe('room');
    const neverLeft = never.unsubscribe();
    await world.run(200);
    expect(await third).toBe('over');
    await neverLeft;
    expect(pool.subscription('room')).toBeUndefined();
  });

  it('delivers once what the backend made every session of the user follow', async () => {
    const all = setup();
    const { pool, server, world } = all;
    const got: unknown[] = [];
    const made: string[] = [];
    pool.on('subscription', ({ channel }) => made.push(channel));
    pool.on('message', ({ payload }) => got.push(payload));
    await allUp(all);
    for (const session of server.sessions.values()) {
      session.cursors.set('user:me', { acked: 0, next: 1, latest: false });
      session.connection?.send({ type: 'subscribed', channel: 'user:me', epoch: server.channel('user:me').epoch, offset: 0, recovered: true });
    }
    server.publish('user:me', 'a');
    await world.run(200);
    server.publish('user:me', 'b');
    await world.run(200);
    expect(made).toEqual(['user:me']);
    expect(got).toEqual(['a', 'b']);
    expect([...server.sessions.values()].filter(({ cursors }) => cursors.has('user:me')).length).toBe(1);
  });

  it('asks the next member for history, and another where its connection breaks', async () => {
    const all = setup();
    const { pool, server, world, of } = all;
    await allUp(all);
    server.publish('log', 'x');
    const asked: string[] = [];
    let silent = true;
    server.intercept = (connection, message) => {
      if (message['type'] !== 'history') return false;
      asked.push(connection.session?.id ?? '');
      return silent;
    };
    const history = pool.history('log');
    await world.run(30);
    expect(asked).toEqual([pool.members[0]?.session]);
    silent = false;
    server.down = true; // The one that was asked does not come back.
    of(0).close(1006);
    await world.run(100);
    expect(await history).toMatchObject({ channel: 'log', head: 1, messages: [{ payload: 'x' }] });
    expect(asked).toEqual([pool.members[0]?.session, pool.members[1]?.session]);
    expect(await Promise.all([pool.presence('log'), pool.call('sum', [1]), world.run(200)])).toMatchObject([[{ user: 'me' }], { method: 'sum', got: [1] }, undefined]);
    const ping = pool.ping(0);
    await world.run(100);
    server.down = false;
    await world.until(() => pool.members[0]?.state === 'live');
    await world.run(100);
    expect(await ping).toBeGreaterThan(100);
    expect((await caught(pool.ping(3))).message).toMatch(/no member 3: they are numbered 0 to 2/);
  });

  it('asks the next session what the last one did not answer', async () => {
    const all = setup({ connections: 1 });
    const { pool, server, world, of } = all;
    await allUp(all);
    server.publish('log', 'x');
    const last = pool.members[0]?.session;
    server.intercept = (connection, message) => ['history', 'ping'].includes(String(message['type'])) && connection.session?.id === last;
    const answers = Promise.all([pool.history('log'), pool.ping(0)]);
    await world.run(30);
    of(0).close(4003);
    await world.until(() => pool.statistics().all.replaced === 1);
    await world.run(200);
    expect((await Promise.race([answers, Promise.resolve(undefined)]))?.[0]).toMatchObject({ head: 1, messages: [{ payload: 'x' }] });
  });

  it('waits with requests until a member is connected, and no longer than it may', async () => {
    const all = setup({}, (server) => (server.blackHole = true));
    const late = caught(all.pool.history('x'));
    await all.world.run(29_999);
    const history = all.pool.history('x');
    await all.world.run(1);
    expect(await late).toMatchObject({ code: 'timeout' });
    all.server.blackHole = false;
    await all.world.until(() => all.pool.statistics().all.connected > 0);
    await all.world.run(100);
    expect(await history).toMatchObject({ head: 0 });
  });

  it('does not repeat a call', async () => {
    const all = setup();
    const { pool, server, world, of } = all;
    await allUp(all);
    let calls = 0;
    server.intercept = (_, message) => message['type'] === 'call' && ++calls > 0;
    const call = caught(pool.call('pay'));
    await world.run(30);
    of(0).close(1006);
    await world.until(() => pool.statistics().all.reconnects === 1);
    await world.run(500);
    expect((await call).code).toBe('uncertain');
    expect(calls).toBe(1);
  });

  it('drains, and closes: then nothing is left', async () => {
    const all = setup();
    const { pool, server, world, events } = all;
    await allUp(all);
    const results = [...Array(30).keys()].map((i) => pool.publish(`x${i}`, i));
    let drained = false;
    void pool.drain().then(() => (drained = true));
    await flush();
    expect(drained).toBe(false);
    await world.until(() => drained);
    await Promise.all(results);
    await pool.drain();
    const subscription = pool.subscribe('x');
    await world.run(100);
    let closed = false;
    void pool.close().then(() => (closed = true));
    await world.until(() => closed, 3000);
    expect(server.sessions.size).toBe(0);
    expect(events.at(-1)).toBe('ended');
    expect(events.filter((event) => event.startsWith('memberEnded'))).toEqual([]);
    expect(subscription.state).toBe('ended');
    expect(pool.members.map(({ state }) => state)).toEqual(['ended', 'ended', 'ended']);
    for (const promise of [pool.publish('x', 1), pool.history('x'), pool.connected(), pool.ping(0)]) expect((await caught(promise)).code).toBe('closed');
    expect(() => pool.subscribe('y')).toThrow(expect.objectContaining({ code: 'closed' }) as Error);
    const before = server.attempts;
    await world.run(600_000);
    expect(server.attempts).toBe(before);
    await pool.close();
  });

  it('rejects what has no answer when it is closed: as uncertain what was sent, as closed the rest', async () => {
    const all = setup({ connections: 1, window: 1, outboxMessages: 2 });
    const { pool, server, world } = all;
    await allUp(all);
    server.intercept = (_, message) => message['type'] === 'data' || message['type'] === 'history' || message['type'] === 'bye';
    const codes = [1, 2, 3].map((i) => caught(pool.publish('x', i)).then(({ code }) => code));
    const history = caught(pool.history('x'));
    await world.run(100);
    const closed = pool.close();
    await world.run(2500);
    await closed;
    expect(await Promise.all(codes)).toEqual(['uncertain', 'closed', 'closed']);
    expect((await history).code).toBe('closed');
    expect(pool.unanswered).toBe(0);
    expect(pool.statistics().all).toMatchObject({ queued: 0, connected: 0 });
  });

  it('can be closed while a session is to be replaced, and before the first connection', async () => {
    const all = setup({ connections: 2 }, (server) => server.refusals.push({ status: 403, retryAfter: 0 }, { status: 403, retryAfter: 0 }));
    await all.world.until(() => all.events.length === 2);
    expect(all.events).toEqual(['memberEnded 0', 'memberEnded 1']);
    const publish = caught(all.pool.publish('x', 1));
    const waits = caught(all.pool.connected());
    await all.pool.close();
    expect((await publish).code).toBe('closed');
    expect((await waits).code).toBe('closed');
    const attempts = all.server.attempts;
    await all.world.run(100_000);
    expect(all.server.attempts).toBe(attempts);
    const early = setup();
    await Promise.all([early.pool.close(), early.world.run(3000)]);
    expect(early.server.sessions.size).toBe(0);
  });

  it('tells what was refused by the server, by its publish', async () => {
    const all = setup();
    const { pool, server, world } = all;
    await allUp(all);
    server.intercept = (connection, message) => {
      if (message['type'] !== 'data' || message['payload'] !== 'bad') return false;
      const { session } = connection;
      if (session !== null) session.lastSeq = message['seq'] as number;
      connection.send({ type: 'nack', seq: message['seq'], code: 'forbidden', reason: 'no' });
      return true;
    };
    const results = ['a', 'bad', 'b'].map((payload) => pool.publish('x', payload));
    const refused = caught(results[1] as Promise<unknown>);
    await world.run(500);
    const error = await refused;
    expect(error).toBeInstanceOf(PublishRefused);
    expect(error).toMatchObject({ code: 'forbidden', channel: 'x' });
    expect((await results[2])?.publishId).toBe(3);
    expect(pool.statistics().all).toMatchObject({ acknowledged: 2, refused: 1, queued: 0 });
  });

  it('says what is wrong with its arguments', async () => {
    const platform = new World().platform();
    for (const [url, options, text] of [
      ['http://x', {}, /is no URL/],
      [[], {}, /1 to 8 URLs/],
      ['ws://x', { connections: 0 }, /"connections" is no number from 1 to 64/],
      ['ws://x', { connections: 65 }, /"connections"/],
      ['ws://x', { queueMax: 0 }, /"queueMax"/],
      ['ws://x', { flushInterval: 60_001 }, /"flushInterval"/],
      ['ws://x', { window: 0 }, /"window"/],
      ['ws://x', { storage: { outbox: {} } as NonNullable<PoolOptions['storage']> }, /"storage.outbox" is for one session/],
    ] as const)
      expect(() => new HoldfastPool(url, { platform, transport: new FakeServer(new World()).transport(), ...options })).toThrow(text);
    const { pool } = setup();
    expect((await caught(pool.publish('', 1))).code).toBe('invalid');
    expect((await caught(pool.publish('x', undefined))).code).toBe('invalid');
    expect((await caught(pool.publish('x\ud800', 1))).code).toBe('invalid');
    expect((await caught(pool.publish('x', 1, { id: 'x'.repeat(256) }))).message).toMatch(/longer than 255/);
    expect((await caught(pool.call(''))).code).toBe('invalid');
    expect(() => pool.subscribe('\n')).toThrow(/names no channel/);
    expect(() => pool.subscribe('x', { last: -1 })).toThrow(/"last"/);
    expect(() => pool.setToken('no token')).toThrow(/the token is none/);
    expect(() => pool.setTolerance(0)).toThrow(/"tolerance"/);
    expect(pool.unanswered).toBe(0);
  });

  it('shows a token that it is given later, also in sessions that are made then', async () => {
    const all = setup({ connections: 2, token: 'old', autoConnect: false }, (server) => (server.goodToken = 'new'));
    const { pool, server, world } = all;
    await world.run(1000);
    expect(server.attempts).toBe(0);
    pool.setToken('new');
    pool.connect();
    await Promise.all([pool.connected(), world.run(500)]);
    await allUp(all);
    all.of(1).close(4003);
    await world.until(() => pool.statistics().members[1]?.replaced === 1 && pool.members[1]?.state === 'live');
    expect(server.connections.at(-1)?.request.protocols).toContain('hf.token.new');
  });
});
