/** outbox_indexeddb.test.ts - the outbox in IndexedDB: what it promises, through every failure that a test can make, and whole clients whose page dies. */
import { IDBFactory as FakeFactory, IDBKeyRange } from 'fake-indexeddb';
import { beforeEach, describe, expect, it } from 'vitest';
import { wholeParts } from '../src/client/whole.js';
import { HoldfastClient } from '../src/holdfast.js';
import { indexedDbOutbox, type IndexedDbOutboxOptions } from '../src/outbox_indexeddb.js';
import { HubStore } from '../src/shared/hub_store.js';
import type { OutboxStore, StoredState } from '../src/types.js';
import { FakeLocks } from './fake_locks.js';
import { Page, until } from './page.js';
import { TinyServer } from './tiny_server.js';

Object.assign(globalThis, { IDBKeyRange });
let indexedDB: IDBFactory;
let locks: FakeLocks;

beforeEach(() => {
  indexedDB = new FakeFactory();
  locks = new FakeLocks();
});

function outbox(page: string, options: IndexedDbOutboxOptions = {}): OutboxStore {
  return indexedDbOutbox({ indexedDB, locks: locks.of(page), wait: 50, ...options });
}

/** Of the publishes, as they lie there. */
function keysThere(): Promise<readonly number[]> {
  return new Promise((resolve) => {
    const request = indexedDB.open('holdfast-outbox:default');
    request.onupgradeneeded = () => request.transaction?.abort(); // It is not there yet, and not ours to make.
    request.onerror = () => resolve([]);
    request.onsuccess = () => {
      const db = request.result;
      db.transaction('publishes').objectStore('publishes').getAllKeys().onsuccess = (event) => {
        resolve((event.target as IDBRequest<number[]>).result);
        db.close();
      };
    };
  });
}

/** Wait until a publish lies there: it is accepted, whatever becomes of its page. Or until something else holds. */
async function keptThere(publishId: number, or = (): boolean => false): Promise<void> {
  while (!or() && !(await keysThere()).includes(publishId)) await new Promise((resolve) => setTimeout(resolve, 1));
}

const publish = (publishId: number, payload = `${publishId}`) => ({ publishId, channel: 'demo', id: undefined, payload });
const state = (firstId: number, sentId: number, ticket = 't'): StoredState => ({ firstId, sentId, seqBase: 0, attempts: 64, ticket });

/** As a browser does it whose user clears the site's data. */
function deleted(name = 'holdfast-outbox:default'): Promise<void> {
  return new Promise((resolve, reject) => {
    const request = indexedDB.deleteDatabase(name);
    request.onsuccess = () => resolve();
    request.onerror = () => reject(request.error as DOMException);
  });
}

/** The next transaction that writes a publish fails, as on a full disk. */
function failOnce(factory: IDBFactory): { readonly failures: number } {
  const told = { failures: 0 };
  const open = factory.open.bind(factory);
  factory.open = (name, version) => {
    const request = open(name, version);
    request.addEventListener('success', () => {
      const db = request.result;
      const transaction = db.transaction.bind(db);
      db.transaction = (names, mode, options) => {
        const tx = transaction(names, mode, options);
        const objectStore = tx.objectStore.bind(tx);
        tx.objectStore = (store) => {
          if (mode === 'readwrite' && store === 'publishes' && told.failures === 0) {
            const real = objectStore(store);
            real.put = () => {
              told.failures++;
              throw new DOMException('the disk is full', 'QuotaExceededError');
            };
            return real;
          }
          return objectStore(store);
        };
        return tx;
      };
    });
    return request;
  };
  return told;
}

describe('the store', () => {
  it('gives back what it was given, and forgets what is answered', async () => {
    const first = outbox('a');
    expect(await first.load()).toEqual({ state: { firstId: 1, sentId: 0, seqBase: 0, attempts: 0, ticket: '' }, publishes: [] });
    for (const id of [1, 2, 3]) first.put(publish(id));
    await first.save(state(1, 2));
    first.put({ ...publish(4), id: 'order', payload: new Uint8Array([0, 255]) as never });
    await first.save(state(3, 2));
    first.close();
    await expect(keysThere()).resolves.toEqual([3, 4]);
    const second = outbox('b');
    const { state: kept, publishes } = await second.load();
    expect(kept).toEqual(state(3, 2));
    expect(publishes).toEqual([publish(3), { publishId: 4, channel: 'demo', id: 'order', payload: new Uint8Array([0, 255]) }]);
  });

  it('notes what was refused, in its place', async () => {
    const first = outbox('a');
    await first.load();
    for (const id of [1, 2, 3]) first.put(publish(id));
    await first.save(state(1, 3));
    first.refuse(2, 'forbidden');
    first.put(publish(4)); // In the same transaction.
    await keptThere(4);
    locks.kill('a');
    const { publishes } = await outbox('b').load();
    expect(publishes).toEqual([publish(1), { ...publish(2), refusal: 'forbidden' }, publish(3), publish(4)]);
  });

  it('keeps a publish without any save', async () => {
    const first = outbox('a');
    await first.load();
    first.put(publish(1));
    await keptThere(1);
    locks.kill('a');
    expect((await outbox('b').load()).publishes).toEqual([publish(1)]);
  });

  it('belongs to one at a time, and says so to the others', async () => {
    const first = outbox('a');
    await first.load();
    await expect(outbox('b').load()).rejects.toThrow(/another page has the outbox/);
    const third = outbox('c', { wait: Infinity }).load();
    first.close();
    expect((await third).publishes).toEqual([]);
    await outbox('d', { name: 'other' }).load();
  });

  it('writes again with the save what could not be put', async () => {
    const told = failOnce(indexedDB);
    const first = outbox('a');
    await first.load();
    first.put(publish(1));
    await until(() => told.failures === 1);
    await first.save(state(1, 1));
    first.close();
    expect((await outbox('b').load()).publishes).toEqual([publish(1)]);
  });

  it('rejects a save that fails, and takes it again', async () => {
    const told = failOnce(indexedDB);
    const first = outbox('a');
    await first.load();
    first.put(publish(1));
    const save = first.save(state(1, 1)); // The microtask of the put comes behind it, and finds nothing to do.
    await expect(save).rejects.toThrow(/the outbox cannot be written/);
    expect(told.failures).toBe(1);
    await first.save(state(1, 1));
    first.close();
    expect((await outbox('b').load()).state.sentId).toBe(1);
  });

  it('writes all again where the database was taken away', async () => {
    const first = outbox('a');
    await first.load();
    first.put(publish(1));
    first.put(publish(2));
    await first.save(state(1, 2));
    await deleted();
    first.put(publish(3));
    await first.save(state(2, 3));
    first.close();
    const { state: kept, publishes } = await outbox('b').load();
    expect(kept).toEqual(state(2, 3));
    expect(publishes).toEqual([publish(2), publish(3)]);
  });

  it('writes all again, also where that fails at first', async () => {
    const first = outbox('a');
    await first.load();
    for (const id of [1, 2]) first.put(publish(id));
    await first.save(state(1, 2));
    await deleted();
    failOnce(indexedDB);
    first.put(publish(3));
    await expect(first.save(state(1, 3))).rejects.toThrow(/cannot be written/);
    await first.save(state(1, 3));
    first.close();
    const { state: kept, publishes } = await outbox('b').load();
    expect([kept, publishes]).toEqual([state(1, 3), [publish(1), publish(2), publish(3)]]);
  });

  it('writes again what a leading tab knows of the others', async () => {
    const options = { indexedDB, name: 'hub' };
    const first = new HubStore(options);
    await first.load();
    const records = ['x', 'y'].map((tab) => ({ tab, session: `${tab}1`, lastSeq: 3, refused: [] }));
    for (const record of records) first.note(record.tab, record);
    first.note('z', { tab: 'z', lastSeq: 1, refused: [] });
    first.note('z', null);
    await new Promise<void>((resolve) => first.flushed(resolve));
    await deleted('holdfast-outbox:hub');
    first.put(publish(1));
    await first.save(state(1, 1));
    first.close();
    const next = new HubStore(options);
    await next.load();
    expect(next.tabs).toEqual(records);
  });

  it('is lost to a page that slept while another took it', async () => {
    const first = outbox('a');
    await first.load();
    first.put(publish(1));
    await first.save(state(1, 1, 'first'));
    locks.kill('a'); // It lives on, and does not know.
    const second = outbox('b');
    await second.load();
    await second.save(state(1, 1, 'second'));
    first.put(publish(2, '"stale"'));
    await expect(first.save(state(1, 2, 'first'))).rejects.toThrow();
    second.close();
    const { state: kept, publishes } = await outbox('c').load();
    expect(kept.ticket).toBe('second');
    expect(publishes).toEqual([publish(1)]);
  });

  it('is lost to a page that slept through several owners', async () => {
    const first = outbox('a');
    await first.load();
    first.put(publish(1));
    await first.save(state(1, 1, 'first'));
    locks.kill('a');
    for (const page of ['b', 'c', 'd']) {
      const next = outbox(page);
      await next.load();
      await next.save(state(1, 1, page));
      next.close();
    }
    await expect(first.save(state(1, 1, 'first'))).rejects.toThrow(/cannot be written/);
    expect((await outbox('e').load()).state.ticket).toBe('d');
  });

  it('says what is missing', async () => {
    await expect(indexedDbOutbox({ indexedDB }).load()).rejects.toThrow(/Web Locks API.*https/);
    await expect(indexedDbOutbox({ locks: locks.of('a') }).load()).rejects.toThrow(/no IndexedDB/);
    indexedDB.open = () => {
      throw new DOMException('private browsing', 'SecurityError');
    };
    await expect(outbox('b').load()).rejects.toThrow(/cannot be read: private browsing/);
    indexedDB = new FakeFactory();
    await outbox('c').load(); // The lock was let go.
  });
});

describe('a client with it', () => {
  let server: TinyServer;
  let count = 0;

  beforeEach(() => {
    server = new TinyServer();
  });

  function open(): { page: Page; client: HoldfastClient } {
    const page = new Page(`page ${++count}`);
    page.whenKilled(() => locks.kill(page.name));
    const storage = { outbox: outbox(page.name, { wait: 5000 }) };
    const client = new HoldfastClient('ws://tiny/ws', { storage, heartbeat: 'fixed' }, page.platform(server.transport), wholeParts);
    client.on('problem', () => undefined);
    return { page, client };
  }

  function publishAll(client: HoldfastClient, from: number, to: number): void {
    for (let n = from; n <= to; n++) client.publish('demo', n).catch(() => undefined);
  }

  const numbers = (to: number): number[] => Array.from({ length: to }, (_, i) => i + 1);

  it('sends what an earlier page published offline, once', async () => {
    server.isDown = true;
    const { page, client } = open();
    publishAll(client, 1, 5);
    await keptThere(5);
    page.kill();
    server.isDown = false;
    const next = open();
    publishAll(next.client, 6, 7);
    await until(() => server.payloads('demo').length === 7 && next.client.unanswered === 0);
    expect(server.payloads('demo')).toEqual(numbers(7));
  });

  it('resumes the session of a page that died with publishes under way, once', async () => {
    server.losesAcks = true;
    const { page, client } = open();
    await client.connected();
    publishAll(client, 1, 5);
    await until(() => server.payloads('demo').length === 5);
    page.kill();
    server.losesAcks = false;
    const next = open();
    await next.client.connected();
    publishAll(next.client, 6, 6);
    await until(() => next.client.unanswered === 0 && server.payloads('demo').length === 6);
    expect(server.payloads('demo')).toEqual(numbers(6));
  });

  it('tells as uncertain what may have been sent in a session that is not known any more', async () => {
    server.losesAcks = true;
    const { page, client } = open();
    await client.connected();
    publishAll(client, 1, 1);
    await until(() => server.payloads('demo').length === 1);
    page.kill();
    server.losesAcks = false;
    server.forgetSessions();
    const next = open();
    const problem = new Promise((resolve) => next.client.on('problem', ({ error }) => resolve(error.code)));
    expect(await problem).toBe('uncertain');
    publishAll(next.client, 2, 2);
    await until(() => server.payloads('demo').length === 2);
    expect(server.payloads('demo')).toEqual([1, 2]);
  });

  it('loses and doubles nothing, whenever a page dies', async () => {
    const rounds = 40;
    for (let round = 1; round <= rounds; round++) {
      const { page, client } = open();
      await client.connected();
      publishAll(client, 3 * round - 2, 3 * round);
      // Accepted is what has been put down: a page that dies in the same moment has not published.
      await keptThere(3 * round, () => server.payloads('demo').includes(3 * round));
      if (round % 3 === 0) server.cutAll();
      for (let turn = 0; turn < round % 8; turn++) await new Promise((resolve) => setTimeout(resolve));
      page.kill();
    }
    const last = open();
    await until(() => last.client.state === 'live' && last.client.unanswered === 0 && server.payloads('demo').length >= 3 * rounds);
    expect(server.payloads('demo')).toEqual(numbers(3 * rounds));
  });
});
