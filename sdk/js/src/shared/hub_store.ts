/**
 * hub_store.ts - the outbox of a leader: beside each publish it keeps which tab's it is, and beside the outbox what each tab's publishes have come to. A publish is taken from a tab, and its
 * result noted, in the same transaction that puts it into the outbox, or forgets it there: whenever the leader dies, the next one knows both or neither.
 */
import { IndexedDbOutbox, type IndexedDbOutboxOptions } from '../outbox_indexeddb.js';
import type { StoredPublish } from '../types.js';
import type { Origin, TabPublish, TabRecord } from './wire.js';

/** After writing failed, and nothing else is to be written. */
const writeAgainMs = 1000;

export class HubStore extends IndexedDbOutbox {
  /** Whose publish is being put. */
  origin: Origin | null = null;
  /** As they were read. */
  tabs: readonly TabRecord[] = [];
  /** As they are to be there. */
  private readonly records = new Map<string, TabRecord>();
  private changed = new Map<string, TabRecord | null>();
  /** Who waits for what was noted to be there. */
  private waiting: (() => void)[] = [];
  private isLeft = false;

  constructor(options: IndexedDbOutboxOptions) {
    super(options);
  }

  /** Whose the publishes in the outbox are, by their ids. */
  origins(): Map<number, Origin> {
    const origins = new Map<number, Origin>();
    for (const [publishId, { record }] of this.kept) {
      const { origin } = record as TabPublish;
      if (origin !== undefined) origins.set(publishId, origin);
    }
    return origins;
  }

  /** To be written with what is written next, which is soon. null: it is forgotten. */
  note(tab: string, record: TabRecord | null): void {
    this.changed.set(tab, record);
    if (record === null) this.records.delete(tab);
    else this.records.set(tab, record);
    this.planFlush();
  }

  /** `call` is called once what has been noted until now is there: in the order of these calls. What cannot be written is tried again until it can. */
  flushed(call: () => void): void {
    this.waiting.push(call);
    this.planFlush();
  }

  override close(): void {
    this.isLeft = true;
    super.close();
  }

  protected override recordOf(publish: StoredPublish): StoredPublish {
    const record = super.recordOf(publish);
    return this.origin === null ? record : ({ ...record, origin: this.origin } as TabPublish);
  }

  protected override hasMore(): boolean {
    return this.changed.size > 0 || this.waiting.length > 0;
  }

  protected override writeMore(tx: IDBTransaction): void {
    const store = tx.objectStore('tabs');
    for (const [tab, record] of this.changed) {
      if (record === null) store.delete(tab);
      else store.put(record);
    }
    const { changed: written, waiting: told } = this;
    this.changed = new Map();
    this.waiting = [];
    tx.addEventListener('complete', () => {
      for (const call of told) call();
    });
    tx.addEventListener('abort', () => {
      // What has changed since is newer.
      this.changed = new Map([...written, ...this.changed]);
      this.waiting = [...told, ...this.waiting];
    });
  }

  protected override rewriteMore(tx: IDBTransaction): void {
    for (const record of this.records.values()) tx.objectStore('tabs').put(record);
  }

  protected override write(...what: Parameters<IndexedDbOutbox['write']>): Promise<void> {
    const written = super.write(...what);
    written.catch(() => {
      if (!this.isLeft && this.waiting.length > 0) setTimeout(() => this.planFlush(), writeAgainMs);
    });
    return written;
  }

  protected override readMore(tx: IDBTransaction): Promise<void> {
    return new Promise((resolve, reject) => {
      const request = tx.objectStore('tabs').getAll() as IDBRequest<TabRecord[]>;
      request.onsuccess = () => {
        this.tabs = request.result;
        for (const record of this.tabs) this.records.set(record.tab, record);
        resolve();
      };
      request.onerror = () => reject(request.error as DOMException);
    });
  }

  /** Who leads has it: the group's own lock says who that is. */
  protected override lock(): Promise<void> {
    return Promise.resolve();
  }
}
