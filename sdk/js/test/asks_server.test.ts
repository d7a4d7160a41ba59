/** Presence, calls and tokens, of clients and pools, against a real server whose workers are killed: where HOLDFAST names its binary. */
import { afterEach, describe, expect, it } from 'vitest';
import { Holdfast, type ClientEvents, type HoldfastOptions, type Member, type Subscription } from '../src/index.node.js';
import { HoldfastPool, type PoolOptions } from '../src/pool/pool.js';
import { Backend, GivenFile, holdfast, RealServer, TokenKey, until } from './real_server.js';

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

function keyOf(): TokenKey {
  const key = new TokenKey();
  ends.push(() => key.remove());
  return key;
}

async function backendOf(answer: ConstructorParameters<typeof Backend>[0]): Promise<Backend> {
  const backend = await new Backend(answer).start();
  ends.push(() => backend.stop());
  return backend;
}

function client(server: RealServer, options: HoldfastOptions): Holdfast {
  const made = new Holdfast(server.url, options);
  ends.push(() => made.close());
  made.on('problem', ({ error }) => void error);
  return made;
}

function poolOf(server: RealServer, options: PoolOptions): HoldfastPool {
  const made = new HoldfastPool(server.url, options);
  ends.push(() => made.close());
  made.on('problem', ({ error }) => void error);
  return made;
}

/** Who is there, as a subscription tells it: lists, and changes to them. */
class Watcher {
  readonly heard: string[] = [];
  lists = 0;
  private readonly members = new Map<string, Member>();

  constructor(subscription: Subscription) {
    subscription.on('members', ({ members, error }) => {
      expect(error).toBeNull();
      this.lists++;
      this.members.clear();
      for (const member of members) this.members.set(member.session, member);
    });
    subscription.on('join', ({ user, session, info }) => {
      // Behind a break, and before the next list, a server that is new to the channel may tell what is in that list.
      if (!this.members.has(session)) this.heard.push(`join ${user}`);
      this.members.set(session, { user, session, info });
    });
    subscription.on('leave', ({ user, session }) => {
      if (this.members.has(session)) this.heard.push(`leave ${user}`);
      this.members.delete(session);
    });
  }

  get users(): string[] {
    return usersOf([...this.members.values()]);
  }
}

function usersOf(members: readonly Member[]): string[] {
  return members.map(({ user }) => user).sort();
}

const sameUsers = (watcher: Watcher, users: string): Promise<void> => until(() => watcher.users.join() === users, `${users} are there`);

describe.skipIf(holdfast === undefined).each(['binary', 'json'] as const)('presence, calls and tokens, in %s', (encoding) => {
  it('tells who is there, who comes and who goes, and a break is neither', async () => {
    const key = keyOf();
    const server = await serve(key.options());
    const user = (name: string, claims = {}): Holdfast => client(server, { encoding, token: key.sign(name, 3600, claims) });
    const ann = user('ann');
    const bob = user('bob', { info: { city: 'Köln' } });
    const room = ann.subscribe('room');
    const watcher = new Watcher(room);
    await room.ready();
    await sameUsers(watcher, 'ann');
    await bob.subscribe('room').ready();
    await sameUsers(watcher, 'ann,bob');
    expect(watcher.heard).toEqual(['join bob']);
    const members = await bob.presence('room');
    expect(usersOf(members)).toEqual(['ann', 'bob']);
    expect(members.find(({ user: name }) => name === 'bob')).toEqual({ session: bob.session, user: 'bob', info: { city: 'Köln' } });
    expect(await ann.presence('nobody is here')).toEqual([]);

    let breaks = 0;
    for (const each of [ann, bob]) each.on('disconnected', () => breaks++);
    const { lists } = watcher;
    await server.killWorkers();
    await until(() => breaks >= 2 && ann.state === 'live' && bob.state === 'live' && watcher.lists > lists, 'both are back, and the list has been asked for anew');
    const carl = user('carl');
    const his = carl.subscribe('room');
    await his.ready();
    await sameUsers(watcher, 'ann,bob,carl');
    await his.unsubscribe();
    await sameUsers(watcher, 'ann,bob');
    await bob.close();
    await sameUsers(watcher, 'ann');
    expect(watcher.heard).toEqual(['join bob', 'join carl', 'leave carl', 'leave bob']);
    expect(usersOf(await room.presence())).toEqual(['ann']);
  });

  it('is told of presence from when somebody listens until nobody does, and keeps its place in the channel', async () => {
    const server = await serve();
    const one = client(server, { encoding });
    const other = client(server, { encoding });
    const room = one.subscribe('room', { last: 3 });
    const got: unknown[] = [];
    room.on('message', ({ payload }) => got.push(payload));
    const joins: string[] = [];
    room.on('join', ({ session }) => joins.push(session));
    await room.ready();
    await one.publish('room', 1);
    let lists = 0;
    const off = room.on('members', () => lists++);
    await until(() => lists === 1, 'the list');
    await other.subscribe('room').ready();
    await until(() => joins.length === 1, 'the other one is there');
    off();
    await one.ping(); // Behind which the server knows that.
    const third = client(server, { encoding });
    await third.subscribe('room').ready();
    await third.publish('room', 2);
    await until(() => got.length === 2, 'both messages');
    // Whoever came would have been told within a twentieth of a second by now, and is behind the next list.
    room.on('members', () => lists++);
    await until(() => lists === 2, 'the next list');
    expect(joins).toEqual([other.session]);
    expect(got).toEqual([1, 2]);
  });

  it('is refused presence where a namespace has none, and the subscription stands', async () => {
    const config = new GivenFile('holdfast.yaml', 'namespaces:\n  "*":\n    allow: {subscribe: all, publish: all}\n');
    ends.push(() => config.remove());
    const server = await serve(['--config', config.path]);
    const one = client(server, { encoding });
    const got: unknown[] = [];
    const room = one.subscribe('room', (message) => got.push(message.payload));
    await room.ready();
    const answers: unknown[] = [];
    room.on('members', ({ members, error }) => answers.push([members, error?.code]));
    await until(() => answers.length > 0, 'the refusal');
    expect(answers[0]).toEqual([[], 'forbidden']);
    await one.publish('room', 1);
    await until(() => got.length === 1, 'the message');
    expect(room.state).toBe('active');
    await expect(one.presence('room')).rejects.toMatchObject({ code: 'forbidden' });
  });

  it('calls the backend, and says where it broke that nobody knows', async () => {
    let release: (answer: object) => void = () => undefined;
    const held = new Promise<object>((resolve) => (release = resolve));
    const backend = await backendOf(({ method, payload }) =>
      method === 'echo' ? { payload: { got: payload } } : method === 'slow' ? held : { code: 'name_taken', reason: 'somebody else has this name' },
    );
    ends.push(() => release({ payload: null }));
    const server = await serve([...backend.options('call'), '--set', 'hooks.call.timeout=60s']);
    const one = client(server, { encoding });
    expect(await one.call('echo', { text: 'ä😀', n: 1.5 })).toEqual({ got: { text: 'ä😀', n: 1.5 } });
    await expect(one.call('rename', 'ann')).rejects.toMatchObject({ serverCode: 'name_taken', message: 'somebody else has this name' });
    expect(backend.asked).toMatchObject([{ hook: 'call', method: 'echo', session: one.session }, { method: 'rename', payload: 'ann' }]);
    const slow = expect(one.call('slow')).rejects.toMatchObject({ code: 'uncertain' });
    await until(() => backend.asked.length === 3, 'the backend is asked');
    await server.killWorkers();
    await slow;
    expect(await one.call('echo', 2)).toEqual({ got: 2 });
  });

  it('comes back with another token when its own has ended, and has lost nothing', async () => {
    const key = keyOf();
    const server = await serve(key.options());
    const reasons: string[] = [];
    const one = client(server, {
      encoding,
      getToken: (reason) => {
        reasons.push(reason);
        return key.sign('ann', reasons.length === 1 ? 3 : 3600);
      },
    });
    const closeCodes: number[] = [];
    const connected: boolean[] = [];
    one.on('disconnected', ({ closeCode }) => closeCodes.push(closeCode));
    one.on('connected', ({ resumed }) => connected.push(resumed));
    const got: unknown[] = [];
    await one.subscribe('room', (message) => got.push(message.payload)).ready();
    const other = client(server, { encoding, token: key.sign('bob', 3600) });
    let published = 0;
    while (connected.length < 2) {
      await other.publish('room', ++published);
      await one.publish('room', ++published);
    }
    await other.publish('room', ++published);
    await until(() => got.length >= published, 'all messages');
    expect(got).toEqual([...Array(published).keys()].map((i) => i + 1));
    expect(closeCodes).toEqual([4002]);
    expect(connected).toEqual([false, true]);
    expect(reasons).toEqual(['first', 'expired']);
  });
});

describe.skipIf(holdfast === undefined)('tokens', () => {
  it('are renewed on the connection that stands, of clients and of the members of a pool', async () => {
    const key = keyOf();
    const server = await serve(key.options());
    const reasons: Record<string, string[]> = { binary: [], json: [], pool: [] };
    // Renewed at half of their time, and not within five seconds.
    const source = (who: string): { getToken: NonNullable<HoldfastOptions['getToken']> } => ({
      getToken: (reason) => {
        reasons[who]?.push(reason);
        return key.sign('ann', reason === 'first' ? 14 : 3600);
      },
    });
    const binary = client(server, { encoding: 'binary', ...source('binary') });
    const json = client(server, { encoding: 'json', ...source('json') });
    const pool = poolOf(server, { connections: 2, ...source('pool') });
    let breaks = 0;
    for (const each of [binary, json]) each.on('disconnected', () => breaks++);
    pool.on('disconnected', () => breaks++);
    await Promise.all([binary.connected(), json.connected()]);
    await until(() => pool.statistics().all.connected === 2, 'both members are connected');
    const firstEnds = Date.now() + 14_000;
    await until(() => Object.values(reasons).flat().length === 8, 'all tokens are renewed', 60_000);
    // What the first tokens allowed is over then.
    await until(() => Date.now() > firstEnds + 1500, 'the first tokens have ended', 60_000);
    await Promise.all([binary.publish('x', 1), json.publish('x', 2), pool.publish('y', 3, { key: null }), pool.publish('y', 4, { key: null })]);
    expect(reasons).toEqual({ binary: ['first', 'renewal'], json: ['first', 'renewal'], pool: ['first', 'first', 'renewal', 'renewal'] });
    expect(breaks).toBe(0);
  });

  it('that the server does not know end a client that has no other, and are asked for again where there is a source', async () => {
    const key = keyOf();
    const foreign = keyOf();
    const server = await serve(key.options());
    const ended: ClientEvents['ended'][] = [];
    const one = client(server, { token: foreign.sign('ann', 3600) });
    one.on('ended', (event) => ended.push(event));
    await expect(one.connected()).rejects.toMatchObject({ code: 'closed' });
    expect(ended).toMatchObject([{ httpStatus: 401 }]);
    const reasons: string[] = [];
    const other = client(server, {
      getToken: (reason) => {
        reasons.push(reason);
        return (reasons.length < 2 ? foreign : key).sign('ann', 3600);
      },
    });
    await other.connected();
    expect(reasons).toEqual(['first', 'expired']);
  });
});

describe.skipIf(holdfast === undefined).each(['binary', 'json'] as const)('a pool, in %s', (encoding) => {
  it('tells who is there, and asks the backend, also where workers are killed', async () => {
    const key = keyOf();
    let release: (answer: object) => void = () => undefined;
    const held = new Promise<object>((resolve) => (release = resolve));
    const backend = await backendOf(({ method, payload }) => (method === 'slow' ? held : { payload }));
    ends.push(() => release({ payload: null }));
    const server = await serve([...key.options(), ...backend.options('call'), '--set', 'hooks.call.timeout=60s']);
    const pool = poolOf(server, { encoding, connections: 3, token: key.sign('robot', 3600) });
    const ann = client(server, { encoding, token: key.sign('ann', 3600) });
    const names = ['a', 'b', 'c'];
    const watchers = names.map((name) => new Watcher(pool.subscribe(name)));
    for (const watcher of watchers) await sameUsers(watcher, 'robot');
    for (const name of names) await ann.subscribe(name).ready();
    for (const watcher of watchers) await sameUsers(watcher, 'ann,robot');
    expect(usersOf(await pool.presence('b'))).toEqual(['ann', 'robot']);
    expect(await pool.call('echo', 1)).toBe(1);

    const lists = watchers.map((watcher) => watcher.lists);
    const slow = expect(pool.call('slow')).rejects.toMatchObject({ code: 'uncertain' });
    await until(() => backend.asked.length === 2, 'the backend is asked');
    await server.killWorkers();
    await slow;
    await until(() => watchers.every((watcher, i) => watcher.lists > (lists[i] as number)), 'the lists have been asked for anew');
    for (const name of names) await ann.subscription(name)?.unsubscribe();
    for (const watcher of watchers) await sameUsers(watcher, 'robot');
    expect(watchers.map(({ heard }) => heard)).toEqual(names.map(() => ['join ann', 'leave ann']));
    expect(await pool.call('echo', 2)).toBe(2);
  });
});
