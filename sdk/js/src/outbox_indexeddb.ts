/**
 * outbox_indexeddb.ts - keeps an outbox in IndexedDB, so that a publish made offline, or just before a reload or a crash, is sent by the next page, once. It is its own entry point, so that
 * who does not use it does not load it:
 *
 *     import { indexedDbOutbox } from 'holdfast-client/outbox';
 *     const holdfast = new Holdfast(url, { storage: { outbox: indexedDbOutbox() } });
 *
 * One client at a time has an outbox: a Web Lock says which. The next one presents the ticket that it finds there, and sends again what the server has not (docs/outbox.md of the project).
 */
import { HoldfastError } from './errors.js';
import type { OutboxStore, StoredPublish, StoredState } from './types.js';

/** What is used of the Web Locks API. */
export interface Locks {
  /** As `navigator.locks.request()`. */
  request(name: string, options: { signal?: AbortSignal; steal?: boolean }, callback: () => Promise<void>): Promise<unknown>;
}

/** What can be chosen for an outbox. Everything has a default. */
export interface IndexedDbOutboxOptions {
  /** Outboxes of one origin have different names; default `default`. What two servers, or two users, are to get belongs into two. */
  name?: string;
  /** `strict`: what was accepted outlives the machine's crash as well, and each step waits for the disk. Default `relaxed`: it outlives the page and the browser. */
  durability?: 'relaxed' | 'strict';
  /** How long to wait for another page to let go of the outbox, in ms; default 5,000. A page that is being reloaded does at once. Infinity: as long as it takes. */
  wait?: number;
  /** In place of the platform's. */
  indexedDB?: IDBFactory;
  /** In place of the platform's Web Locks. */
  locks?: Locks;
}

/** A publish as it lies there. `kept`: it is known to be there; `writing`: it will, or will not. @hidden */
export interface Kept {
  readonly record: StoredPublish;
  progress: 'new' | 'writing' | 'kept';
}

/** Fences of owners before this one that are kept. */
const fencesMax = 64;
const newState: StoredState = { firstId: 1, sentId: 0, seqBase: 0, attempts: 0, ticket: '' };
const stores = ['publishes', 'state', 'fences', 'tabs'] as const;
/** The object stores of an outbox. @hidden */
export type StoreName = (typeof stores)[number];

function unusable(what: string, error?: unknown): HoldfastError {
  return new HoldfastError('outbox', error instanceof Error ? `${what}: ${error.message}` : what);
}

function asked<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error as DOMException);
  });
}

/** What `indexedDbOutbox()` makes; within this package others build on it. @hidden */
export class IndexedDbOutbox implements OutboxStore {
  protected readonly name: string;
  protected readonly locks: Locks | undefined;
  private readonly indexedDB: IDBFactory | undefined;
  private readonly durability: 'relaxed' | 'strict';
  private readonly waitMs: number;
  /** Nobody else has this one. */
  private readonly owner = `${Date.now().toString(36)}-${Math.random().toString(36).slice(2)}`;
  /** Who had it before, and in which order: none of them may write any more. */
  private earlier: readonly { readonly at: number; readonly owner: string }[] = [];
  private db: IDBDatabase | null = null;
  private opening: Promise<IDBDatabase> | null = null;
  private releaseLock: (() => void) | null = null;
  private isClosed = false;
  /** What should be there, in the order of the ids: written anew where the database was taken away. */
  protected readonly kept = new Map<number, Kept>();
  private state = newState;
  private flushPlanned = false;
  /** The last transaction's end, good or bad. */
  protected last: Promise<unknown> = Promise.resolve();

  constructor(options: IndexedDbOutboxOptions = {}) {
    this.name = `holdfast-outbox:${options.name ?? 'default'}`;
    this.indexedDB = options.indexedDB ?? (globalThis as { indexedDB?: IDBFactory }).indexedDB;
    this.locks = options.locks ?? (globalThis as { navigator?: { locks?: Locks } }).navigator?.locks;
    this.durability = options.durability ?? 'relaxed';
    this.waitMs = options.wait ?? 5000;
  }

  async load(): Promise<{ state: StoredState; publishes: readonly StoredPublish[] }> {
    await this.lock();
    try {
      return await this.read();
    } catch (error) {
      this.releaseLock?.();
      throw error instanceof HoldfastError ? error : unusable('the outbox cannot be read', error);
    }
  }

  put(publish: StoredPublish): void {
    if (this.isClosed) throw unusable('the outbox is closed');
    this.kept.set(publish.publishId, { record: this.recordOf(publish), progress: 'new' });
    this.planFlush();
  }

  refuse(publishId: number, refusal: string): void {
    const kept = this.kept.get(publishId);
    if (kept === undefined || kept.record.refusal !== undefined) return;
    this.kept.set(publishId, { record: { ...kept.record, refusal }, progress: 'new' });
    this.planFlush();
  }

  /** What is published in one go is one transaction, which has begun before the page can be left. */
  protected planFlush(): void {
    if (this.flushPlanned) return;
    this.flushPlanned = true;
    queueMicrotask(() => {
      this.flushPlanned = false;
      const news = [...this.kept.values()].filter(({ progress }) => progress === 'new');
      // A failure is that of the save behind it, which writes them again.
      if (news.length > 0 || this.hasMore()) this.write(news, (tx) => this.writeMore(tx)).catch(() => undefined);
    });
  }

  save(state: StoredState): Promise<void> {
    const { firstId, sentId, seqBase, attempts, ticket } = state;
    for (const publishId of this.kept.keys()) {
      if (publishId >= firstId) break;
      this.kept.delete(publishId);
    }
    this.state = { firstId, sentId, seqBase, attempts, ticket };
    // Those that are being written, too: should that fail, this says that they are there.
    return this.write([...this.kept.values()].filter(({ progress }) => progress !== 'kept'), (tx) => {
      this.writeState(tx);
      this.writeMore(tx);
    });
  }

  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    void this.last.finally(() => {
      this.db?.close();
      this.db = null;
      this.releaseLock?.();
    });
  }

  /* --- for who keeps more than this --- */

  protected recordOf({ publishId, channel, id, payload }: StoredPublish): StoredPublish {
    return { publishId, channel, id, payload };
  }

  /** More to be written with the rest, in the same transaction; and whether there is some. */
  protected writeMore(_tx: IDBTransaction): void {
    return;
  }

  protected hasMore(): boolean {
    return false;
  }

  /** All of it, changed or not: the database is a new one. */
  protected rewriteMore(_tx: IDBTransaction): void {
    return;
  }

  private writeState(tx: IDBTransaction): void {
    tx.objectStore('state').put(this.state, 'state');
    if (this.state.firstId > 1) tx.objectStore('publishes').delete(IDBKeyRange.upperBound(this.state.firstId, true));
  }

  /** Who has it, and who has it no more. */
  private writeFences(tx: IDBTransaction): void {
    tx.objectStore('state').put(this.owner, 'owner');
    for (const { at, owner } of this.earlier) tx.objectStore('fences').put(at, owner);
  }

  /** More to be read with the rest, in the same transaction. */
  protected readMore(_tx: IDBTransaction): Promise<void> {
    return Promise.resolve();
  }

  /** All of it or nothing, behind what was written before. */
  protected write(records: readonly Kept[], more: (tx: IDBTransaction) => void): Promise<void> {
    for (const each of records) each.progress = 'writing';
    const done = this.db === null ? this.reopened().then((db) => this.transact(db, records, more)) : this.transact(this.db, records, more);
    const told = done.then(
      () => {
        for (const each of records) each.progress = 'kept';
      },
      (error: unknown) => {
        for (const each of records) if (each.progress === 'writing') each.progress = 'new';
        throw error instanceof HoldfastError ? error : unusable('the outbox cannot be written', error);
      },
    );
    this.last = told.catch(() => undefined);
    return told;
  }

  /* --- the database --- */

  private transact(db: IDBDatabase, records: readonly Kept[], more: (tx: IDBTransaction) => void): Promise<void> {
    return new Promise((resolve, reject) => {
      const tx = db.transaction(stores, 'readwrite', { durability: this.durability });
      tx.oncomplete = () => resolve();
      tx.onabort = () => reject(tx.error ?? new Error('the transaction was ended'));
      try {
        // Fails where a successor has put up this fence (read()): this page was asleep, and has lost the outbox.
        tx.objectStore('fences').add(1, this.owner);
        tx.objectStore('fences').delete(this.owner);
        for (const { record } of records) if (this.kept.has(record.publishId)) tx.objectStore('publishes').put(record);
        more(tx);
        tx.commit?.(); // Nothing more is asked for, so that the page's end cannot take it back.
      } catch (error) {
        reject(error);
        tx.abort();
      }
    });
  }

  /** The browser has closed the database, because its user has cleared the site's data: all is written again. */
  private async reopened(): Promise<IDBDatabase> {
    if (this.isClosed) throw unusable('the outbox is closed');
    this.opening ??= this.restored().finally(() => (this.opening = null));
    return this.opening;
  }

  /** Until all is there the database is not ours to write to: what is written behind a failure would stand there alone. */
  private async restored(): Promise<IDBDatabase> {
    const db = await this.open();
    let isGone = false;
    db.addEventListener('versionchange', () => (isGone = true));
    db.addEventListener('close', () => (isGone = true));
    try {
      await this.transact(db, [...this.kept.values()], (tx) => {
        this.writeFences(tx);
        this.writeState(tx);
        this.rewriteMore(tx);
      });
      if (isGone) throw unusable('the database was taken away again');
    } catch (error) {
      db.close();
      for (const each of this.kept.values()) each.progress = 'new';
      throw error;
    }
    this.db = db;
    return db;
  }

  private open(): Promise<IDBDatabase> {
    const { indexedDB } = this;
    if (indexedDB === undefined) return Promise.reject(unusable('there is no IndexedDB here'));
    return new Promise((resolve, reject) => {
      const request = indexedDB.open(this.name, 1);
      request.onupgradeneeded = () => {
        request.result.createObjectStore('publishes', { keyPath: 'publishId' });
        request.result.createObjectStore('tabs', { keyPath: 'tab' });
        for (const name of ['state', 'fences']) request.result.createObjectStore(name);
      };
      request.onerror = () => reject(request.error as DOMException);
      request.onsuccess = () => {
        const db = request.result;
        const gone = (): void => {
          db.close();
          if (this.db === db) this.db = null;
        };
        db.onclose = gone;
        db.onversionchange = gone;
        resolve(db);
      };
    });
  }

  private async read(): Promise<{ state: StoredState; publishes: readonly StoredPublish[] }> {
    const db = await this.open();
    this.db = db;
    const tx = db.transaction(stores, 'readwrite');
    const [state, publishes, before, fences, owners] = await Promise.all([
      asked(tx.objectStore('state').get('state')) as Promise<StoredState | undefined>,
      asked(tx.objectStore('publishes').getAll()) as Promise<StoredPublish[]>,
      asked(tx.objectStore('state').get('owner')) as Promise<string | undefined>,
      asked(tx.objectStore('fences').getAll()) as Promise<number[]>,
      asked(tx.objectStore('fences').getAllKeys()),
      this.readMore(tx),
    ]);
    await new Promise<void>((resolve, reject) => {
      tx.oncomplete = () => resolve();
      tx.onabort = () => reject(tx.error ?? new Error('the transaction was ended'));
      // A page may sleep through several owners: the fences of earlier ones stay, oldest first.
      const earlier = fences.map((at, i) => ({ at, owner: String(owners[i]) })).sort((a, b) => a.at - b.at);
      if (before !== undefined) earlier.push({ at: (earlier.at(-1)?.at ?? 0) + 1, owner: before });
      for (const { owner } of earlier.splice(0, Math.max(0, earlier.length - fencesMax))) tx.objectStore('fences').delete(owner);
      this.earlier = earlier;
      this.writeFences(tx);
    });
    this.state = state ?? newState;
    const left = publishes.filter(({ publishId }) => publishId >= this.state.firstId);
    for (const record of left) this.kept.set(record.publishId, { record, progress: 'kept' });
    return { state: this.state, publishes: left };
  }

  /* --- who has it --- */

  protected lock(): Promise<void> {
    const { locks, waitMs } = this;
    if (locks === undefined)
      return Promise.reject(
        unusable('an outbox in IndexedDB needs the Web Locks API, which browsers have in secure contexts: serve the page by https, or from localhost'),
      );
    return new Promise((resolve, reject) => {
      const patience = new AbortController();
      const timer = waitMs === Infinity ? undefined : setTimeout(() => patience.abort(), waitMs);
      const held = (): Promise<void> =>
        new Promise((release) => {
          clearTimeout(timer);
          this.releaseLock = release;
          resolve();
        });
      locks.request(this.name, { signal: patience.signal }, held).catch((error: unknown) => {
        clearTimeout(timer);
        reject(
          patience.signal.aborted
            ? unusable(`another page has the outbox "${this.name}": give each its own name, or share one connection (holdfast-client/shared)`)
            : unusable('the outbox cannot be locked', error),
        );
      });
    });
  }
}

/** For the option `storage.outbox`. */
export function indexedDbOutbox(options?: IndexedDbOutboxOptions): OutboxStore {
  return new IndexedDbOutbox(options);
}
