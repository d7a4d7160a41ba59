/** shared.test.ts - tabs that share one connection: they come and go, are closed, killed and frozen, the leader among them. No message is lost or doubled, and every publish is applied once. */
import { IDBFactory as FakeFactory, IDBKeyRange } from 'fake-indexeddb';
import { beforeEach, describe, expect, it } from 'vitest';
import { HoldfastError, PublishRefused, PublishUncertain } from '../src/errors.js';
import type { Hub } from '../src/shared/hub.js';
import type { HubClient } from '../src/shared/hub_client.js';
import type { HubStore } from '../src/shared/hub_store.js';
import { SharedHoldfast } from '../src/shared/shared_holdfast.js';
import type { Message } from '../src/types.js';
import { FakeBroadcasts } from './fake_broadcast.js';
import { FakeLocks } from './fake_locks.js';
import { Page, until } from './page.js';
import { TinyServer } from './tiny_server.js';

Object.assign(globalThis, { IDBKeyRange });

interface Tab {
  readonly page: Page;
  readonly client: SharedHoldfast;
  readonly got: unknown[];
  readonly gaps: unknown[];
}

let server: TinyServer;
let locks: FakeLocks;
let broadcasts: FakeBroadcasts;
let indexedDB: IDBFactory;
let count = 0;

beforeEach(() => {
  server = new TinyServer();
  locks = new FakeLocks();
  broadcasts = new FakeBroadcasts();
  indexedDB = new FakeFactory();
});

function open(speed = 1): Tab {
  const page = new Page(`tab ${++count}`, speed);
  page.whenKilled(() => locks.kill(page.name));
  const client = new SharedHoldfast('ws://tiny/ws', {
    indexedDB,
    locks: locks.of(page.name),
    openBroadcast: broadcasts.of(page),
    platform: page.platform(server.transport),
    heartbeat: 'fixed',
  });
  const got: unknown[] = [];
  const gaps: unknown[] = [];
  client.on('message', ({ payload }) => got.push(payload));
  client.on('gap', (gap) => gaps.push(gap));
  client.on('problem', () => undefined);
  return { page, client, got, gaps };
}

async function opened(speed = 1): Promise<Tab> {
  const tab = open(speed);
  await tab.client.connected();
  return tab;
}

async function following(options = {}): Promise<Tab> {
  const tab = await opened();
  await tab.client.subscribe('demo', options).ready();
  return tab;
}

/** The hub of the tab that leads, and its client: what no tab can bring about is done here. */
function hubOf({ client }: Tab): { readonly hub: Hub; readonly upstream: HubClient } {
  const { hub } = (client as unknown as { readonly group: { readonly hub: Hub } }).group;
  return { hub, upstream: (hub as unknown as { readonly client: HubClient }).client };
}

/** Wait until so many publishes lie in the shared outbox. */
async function keptThere(publishes: number): Promise<void> {
  for (let found = 0; found < publishes; )
    found = await new Promise<number>((resolve) => {
      indexedDB.open('holdfast-outbox:shared:default').onsuccess = ({ target }) => {
        const db = (target as IDBOpenDBRequest).result;
        db.transaction('publishes').objectStore('publishes').count().onsuccess = (event) => {
          resolve((event.target as IDBRequest<number>).result);
          db.close();
        };
      };
    });
}

const numbers = (from: number, to: number): number[] => Array.from({ length: to - from + 1 }, (_, i) => from + i);
const applied = (): unknown[] => server.payloads('demo');

describe('tabs', () => {
  it('share one connection, and hear each other', async () => {
    const tabs = [await following(), await following(), await following()];
    await until(() => tabs.every(({ client }) => client.upstream === 'live'));
    expect(tabs.map(({ client }) => client.leads)).toEqual([true, false, false]);
    for (let n = 1; n <= 9; n++) await tabs[n % 3]!.client.publish('demo', n);
    await until(() => tabs.every(({ got }) => got.length === 9));
    for (const { got, gaps } of tabs) expect([got, gaps]).toEqual([numbers(1, 9), []]);
    expect(server.connections).toBe(1);
  });

  it('begin where they ask, also where others are already', async () => {
    for (let n = 1; n <= 5; n++) server.publish('demo', n);
    const first = await following({ since: { epoch: 'e', offset: 3 } });
    await until(() => first.got.length === 2);
    const all = await following({ since: { epoch: 'e', offset: 0 } });
    const newest = await following({ last: 2 });
    const latest = await following({ mode: 'latest' });
    const live = await following();
    server.publish('demo', 6);
    await until(() => [first, all, newest, latest, live].every(({ got }) => got.includes(6)));
    expect(first.got).toEqual([4, 5, 6]);
    expect(all.got).toEqual([1, 2, 3, 4, 5, 6]);
    expect(newest.got).toEqual([4, 5, 6]);
    expect(latest.got).toEqual([5, 6]);
    expect(live.got).toEqual([6]);
  });

  it('ask for history, members, pings and calls through it', async () => {
    for (let n = 1; n <= 3; n++) server.publish('demo', n);
    await opened();
    const { client } = await opened();
    const history = await client.history('demo', { limit: 2 });
    expect(history.messages.map((message: Message) => message.payload)).toEqual([1, 2]);
    expect(history.head).toBe(3);
    expect(await client.presence('demo')).toEqual([{ session: expect.any(String), user: 'ann' }]);
    expect(await client.call('echo', { a: 1 })).toEqual({ a: 1 });
    const pings = server.pings;
    expect(await client.ping()).toBeGreaterThanOrEqual(0);
    expect(server.pings).toBe(pings + 1); // Its own go to the leader only.
  });

  it('pass bytes on as bytes', async () => {
    const bytes = Uint8Array.from([0, 1, 2, 255]);
    await opened();
    const tab = await following();
    await tab.client.publish('demo', bytes);
    await until(() => tab.got.length === 1);
    expect(tab.got).toEqual([bytes]);
    expect((await tab.client.history('demo')).messages[0]?.payload).toEqual(bytes);
    expect(await tab.client.call('echo', bytes)).toEqual(bytes);
  });

  it('hear a channel that the backend has subscribed them to, and may follow it', async () => {
    const tabs = [await opened(), await opened()];
    await until(() => tabs[0]!.client.upstream === 'live');
    const [wire] = server.wires;
    wire?.tell({ type: 'subscribed', channel: 'back', epoch: 'e', offset: 3, recovered: true });
    wire?.tell({ type: 'data', channel: 'back', offset: 4, id: 'e-4', timestamp: 1, payload: 4 });
    await until(() => tabs.every(({ got }) => got.length === 1));
    const late = await opened();
    expect((await late.client.subscribe('back').ready()).offset).toBe(4);
    wire?.tell({ type: 'data', channel: 'back', offset: 5, id: 'e-5', timestamp: 1, payload: 5 });
    await until(() => [...tabs, late].every(({ got }) => got.includes(5)));
    expect([...tabs, late].map(({ got }) => got)).toEqual([[4, 5], [4, 5], [5]]);
  });

  it('leave a channel one by one, and the server with the last', async () => {
    const one = await following();
    const other = await following();
    await one.client.subscription('demo')?.unsubscribe();
    server.publish('demo', 1);
    await until(() => other.got.length === 1);
    expect(one.got).toEqual([]);
    await other.client.subscription('demo')?.unsubscribe();
    await until(() => !server.isFollowed('demo'));
    const again = await one.client.subscribe('demo').ready();
    expect(again.offset).toBe(1);
    server.publish('demo', 2);
    await until(() => one.got.length === 1);
    expect(other.got).toEqual([1]);
  });

  it('are told what was refused, and what nobody knows', async () => {
    await opened();
    const { client } = await opened();
    server.forbidden.add('demo');
    await expect(client.publish('demo', 1)).rejects.toThrow(PublishRefused);
    server.forbidden.clear();
    server.losesAcks = true;
    const lost = client.publish('demo', { two: 2 }, { id: 'x' });
    await until(() => applied().length === 1);
    server.losesAcks = false;
    server.forgetSessions();
    const error = (await lost.catch((reason: unknown) => reason)) as PublishUncertain;
    expect(error).toBeInstanceOf(PublishUncertain);
    expect([error.id, error.payload]).toEqual(['x', { two: 2 }]);
    expect((await client.publish('demo', 3)).offset).toBe(2);
  });

  it('are told of each publish that the leader refuses, also where others are answered meanwhile', async () => {
    const leader = await opened();
    await until(() => leader.client.upstream === 'live');
    const { client } = await opened();
    const { upstream } = hubOf(leader);
    const publishRaw = upstream.publishRaw.bind(upstream);
    let count = 0;
    upstream.publishRaw = (...what) => {
      if (++count <= 30) throw new HoldfastError('outbox_full', 'full');
      return publishRaw(...what);
    };
    const results = await Promise.allSettled(numbers(1, 60).map((n) => client.publish('demo', n)));
    expect(results.flatMap(({ status }, i) => (status === 'fulfilled' ? [i + 1] : []))).toEqual(applied());
    expect(applied()).toHaveLength(30);
  });

  it('begin a session of their own where the leader has lost count, and lose nothing in it', async () => {
    const leader = await opened();
    await until(() => leader.client.upstream === 'live');
    const tab = await opened();
    for (let n = 1; n <= 5; n++) await tab.client.publish('demo', n);
    const { hub } = hubOf(leader);
    const name = (tab.client as unknown as { readonly group: { readonly tab: string } }).group.tab;
    const { tabs, drop } = hub as unknown as { tabs: Map<string, Record<string, unknown>>; drop(connection: unknown, code: number): void };
    const known = tabs.get(name) as Record<string, unknown>;
    known['lastSeq'] = known['settled'] = known['accepted'] = 2; // As an older note has it.
    const begun = new Promise((resolve) => tab.client.on('connected', ({ resumed }) => resumed || resolve(resumed)));
    drop.call(hub, known['connection'], 1001);
    await begun;
    const offsets = await Promise.all([6, 7, 8].map(async (n) => (await tab.client.publish('demo', n)).offset));
    expect([offsets, applied()]).toEqual([[6, 7, 8], numbers(1, 8)]);
  });

  it('do not take the answers of an earlier session for those of a later one', async () => {
    const leader = await opened();
    await until(() => leader.client.upstream === 'live');
    const tab = await opened();
    server.isDown = true;
    server.cutAll();
    await until(() => leader.client.upstream !== 'live');
    const early = tab.client.publish('demo', 'early').catch((error: unknown) => error);
    await keptThere(1);
    const { session } = (tab.client as unknown as { driver: { session: { ticket: string } } }).driver;
    session.ticket = '';
    const { hub } = hubOf(leader);
    const { tabs, drop } = hub as unknown as { tabs: Map<string, { connection: unknown }>; drop(connection: unknown, code: number): void };
    const name = (tab.client as unknown as { readonly group: { readonly tab: string } }).group.tab;
    drop.call(hub, tabs.get(name)?.connection, 1001);
    expect(await early).toBeInstanceOf(PublishUncertain);
    server.forbidden.add('late');
    const late = tab.client.publish('late', 'late').catch((error: unknown) => error);
    await keptThere(2);
    leader.page.kill(); // The next leader reads whose each is.
    server.isDown = false;
    expect(await late).toBeInstanceOf(PublishRefused);
    expect(applied()).toEqual(['early']);
  });

  it('hear that a publish is accepted when the next leader would know it', async () => {
    const leader = await opened();
    await until(() => leader.client.upstream === 'live');
    const tab = await opened();
    const { store } = (hubOf(leader).hub as unknown as { options: { store: HubStore } }).options;
    const flushed = store.flushed.bind(store);
    const held: (() => void)[] = [];
    store.flushed = (call) => void held.push(call);
    let isTold = false;
    const told = tab.client.publish('demo', 1).then(() => (isTold = true));
    await until(() => held.length === 1);
    for (let turn = 0; turn < 10; turn++) await new Promise((resolve) => setTimeout(resolve));
    expect(isTold).toBe(false);
    for (const call of held) flushed(call);
    await told;
  });

  it('leave while they wait for an answer, and nobody minds', async () => {
    const leader = await opened();
    await until(() => leader.client.upstream === 'live');
    const problems: string[] = [];
    leader.client.on('problem', ({ error }) => problems.push(error.message));
    const { hub, upstream } = hubOf(leader);
    const { requests } = hub as unknown as { requests: Map<number, unknown> };
    const asking = await opened();
    asking.client.history('demo').catch(() => undefined);
    await until(() => requests.size === 1);
    void asking.client.close();
    const { tabs } = hub as unknown as { tabs: Map<string, { connection: unknown }> };
    const { drop } = hub as unknown as { drop(connection: unknown, code: number): void };
    for (const { connection } of [...tabs.values()].slice(1)) drop.call(hub, connection, 0);
    await until(() => requests.size === 0);
    expect(problems).toEqual([]);
    expect(Reflect.get(Reflect.get(upstream, 'driver').session, 'busy')).toBe(0);
    await leader.client.publish('demo', 1);
  });

  it('are served on where the leader fails at one event', async () => {
    const leader = await opened();
    await until(() => leader.client.upstream === 'live');
    const problems: string[] = [];
    leader.client.on('problem', ({ error }) => problems.push(error.message));
    const { hub, upstream } = hubOf(leader);
    const { request } = hub as unknown as { request(what: object, told: () => void): void };
    request.call(hub, { type: 'ping' }, () => {
      throw new Error('planted');
    });
    await until(() => problems.length === 1);
    expect(problems[0]).toMatch(/failed to pass on "pong".*planted/);
    expect(Reflect.get(Reflect.get(upstream, 'driver').session, 'busy')).toBe(0);
    await leader.client.publish('demo', 1);
  });

  it('end when the server ends the session', async () => {
    const tabs = [await opened(), await opened()];
    const ended = tabs.map(({ client }) => new Promise((resolve) => client.on('ended', resolve)));
    await until(() => server.wires.length === 1);
    for (const wire of server.wires) wire.cut(4003);
    await Promise.all(ended);
  });
});

describe('when the leader goes', () => {
  for (const how of ['closes', 'dies'] as const)
    it(`that ${how}, another goes on with its session`, async () => {
      const leader = await following();
      const others = [await following(), await following()];
      await until(() => leader.client.upstream === 'live');
      server.losesAcks = true; // A session that owes no answer is not gone on with.
      const publishes = numbers(1, 30).map((n) => others[n % 2]!.client.publish('demo', n));
      await until(() => applied().length >= 10);
      server.isDown = true;
      if (how === 'closes') void leader.client.close();
      else leader.page.kill();
      await until(() => others.some(({ client }) => client.leads));
      server.losesAcks = server.isDown = false;
      const results = await Promise.all(publishes);
      expect(results).toHaveLength(30);
      await until(() => others.every(({ got }) => got.length === 30));
      expect([...applied()].sort((a, b) => Number(a) - Number(b))).toEqual(numbers(1, 30));
      for (const { got, gaps } of others) expect([got, gaps]).toEqual([applied(), []]);
      await until(() => others.some(({ client }) => client.leads));
      expect(others.filter(({ client }) => client.leads)).toHaveLength(1);
      expect(server.sessionCount).toBe(1);
    });

  it('the answers that it took with it come from the next', async () => {
    const leader = await opened();
    const { client } = await opened();
    await until(() => leader.client.upstream === 'live');
    server.losesAcks = true;
    const publishes = [1, 2, 3].map((n) => client.publish('demo', n));
    await until(() => applied().length === 3);
    const closes: number[] = [];
    client.on('disconnected', ({ closeCode }) => closes.push(closeCode));
    server.isDown = true;
    leader.page.kill();
    await until(() => client.leads && client.state === 'live');
    for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setTimeout(resolve));
    server.losesAcks = server.isDown = false;
    expect(await Promise.all(publishes)).toHaveLength(3);
    expect(closes).toEqual([1001]); // What was sent again is no news to the next leader.
    expect(applied()).toEqual([1, 2, 3]);
  });

  it('and its own publishes are not lost with it', async () => {
    const leader = await opened();
    const { client } = await opened();
    await until(() => leader.client.upstream === 'live');
    server.isDown = true;
    server.cutAll();
    await until(() => leader.client.upstream !== 'live');
    const own = [1, 2, 3].map((n) => leader.client.publish('demo', n).catch(() => undefined));
    const others = [4, 5].map((n) => client.publish('demo', n));
    await keptThere(5);
    leader.page.kill();
    server.isDown = false;
    expect(await Promise.all(others)).toHaveLength(2);
    await until(() => applied().length === 5);
    expect([...applied()].sort()).toEqual([1, 2, 3, 4, 5]);
    expect(own).toHaveLength(3);
  });

  it('a refusal stays a refusal', async () => {
    const leader = await opened();
    const { client } = await opened();
    await until(() => leader.client.upstream === 'live');
    server.forbidden.add('demo');
    const refused = client.publish('demo', 1).catch((error: unknown) => error);
    expect(await refused).toBeInstanceOf(PublishRefused);
    server.forbidden.clear();
    leader.page.kill();
    await client.publish('demo', 2);
    expect(applied()).toEqual([2]);
  });

  it('that is frozen, it is relieved, and finds out when it wakes', async () => {
    const leader = await opened(20);
    await leader.client.subscribe('demo').ready();
    const other = await opened(20);
    await other.client.subscribe('demo').ready();
    await until(() => leader.client.upstream === 'live');
    leader.page.isFrozen = true;
    const published = other.client.publish('demo', 1);
    await published;
    expect(other.client.leads).toBe(true);
    leader.page.isFrozen = false;
    await until(() => !leader.client.leads);
    await leader.client.publish('demo', 2);
    await until(() => leader.got.length === 2 && other.got.length === 2);
    expect(applied()).toEqual([1, 2]);
    expect([leader.got, other.got]).toEqual([[1, 2], [1, 2]]);
  });
});

describe('tabs that come and go', () => {
  it('lose and double nothing', async () => {
    const watcher = await following();
    let published = 0;
    let settled = 0;
    const tabs: Tab[] = [];
    for (let round = 0; round < 40; round++) {
      const tab = await following();
      tabs.push(tab);
      const accepted = tab.client.publish('demo', ++published);
      accepted.then(() => settled++, () => undefined);
      if (round % 2 === 0) await accepted;
      if (round % 5 === 4) server.cutAll();
      if (round % 3 === 2) {
        // The oldest goes, which most likely leads.
        const [oldest] = tabs.splice(0, 1);
        if (round % 2 === 0) void oldest?.client.close();
        else if (oldest !== undefined && oldest.client.unanswered === 0) oldest.page.kill();
        else if (oldest !== undefined) tabs.unshift(oldest);
      }
    }
    await until(() => applied().length === published && watcher.got.length === published);
    expect([...applied()].sort((a, b) => Number(a) - Number(b))).toEqual(numbers(1, published));
    expect(watcher.got).toEqual(applied());
    for (const { got } of tabs) expect(got).toEqual(applied().slice(-got.length));
    await until(() => tabs.every(({ client }) => client.unanswered === 0));
    expect(settled).toBeGreaterThan(published / 2);
  });
});
