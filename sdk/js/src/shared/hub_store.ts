/**
 * hub_store.ts - the outbox of a leader: beside each publish it keeps which tab's it is, and beside the outbox what each tab's publishes have come to. A publish is taken from a tab, and its
 * result noted, in the same transaction that puts it into the outbox, or forgets it there: whenever the leader dies, the next one knows both or neither.
 */
import { IndexedDbOutbox, type IndexedDbOutboxOptions } from '../outbox_indexeddb.js';
import type { StoredPublish } from '../types.js';
import type { Origin, TabPublish, TabRecord } from './wire.js';

export class HubStore extends IndexedDbOutbox {
  /** Whose publish is being put. */
  origin: Origin | null = null;
  /** As they were read. */
  tabs: readonly TabRecord[] = [];
  private changed = new Map<string, TabRecord | null>();

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
    this.planFlush();
  }

  /** What was noted is there, or could not be written and will be with the next. */
  async flushed(): Promise<void> {
    await Promise.resolve();
    await this.last;
  }

  protected override recordOf(publish: StoredPublish): StoredPublish {
    const record = super.recordOf(publish);
    return this.origin === null ? record : ({ ...record, origin: this.origin } as TabPublish);
  }

  protected override hasMore(): boolean {
    return this.changed.size > 0;
  }

  protected override writeMore(tx: IDBTransaction): void {
    const store = tx.objectStore('tabs');
    for (const [tab, record] of this.changed) {
      if (record === null) store.delete(tab);
      else store.put(record);
    }
    const written = this.changed;
    this.changed = new Map();
    tx.addEventListener('abort', () => {
      // What has changed since is newer.
      this.changed = new Map([...written, ...this.changed]);
    });
  }

  protected override readMore(tx: IDBTransaction): Promise<void> {
    return new Promise((resolve, reject) => {
      const request = tx.objectStore('tabs').getAll() as IDBRequest<TabRecord[]>;
      request.onsuccess = () => {
        this.tabs = request.result;
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
