/** fake_locks.ts - Web Locks as pages see them, with pages that can be killed: a page's locks go with it. */
import type { Locks } from '../src/outbox_indexeddb.js';

interface Wish {
  readonly page: string;
  readonly callback: () => Promise<void>;
  readonly settle: (error?: unknown) => void;
}

export class FakeLocks {
  private readonly held = new Map<string, Wish>();
  private readonly waiting = new Map<string, Wish[]>();

  /** What a page of this name uses. */
  of(page: string): Locks {
    return {
      request: (name, { signal, steal = false }, callback) =>
        new Promise((resolve, reject) => {
          const wish: Wish = { page, callback, settle: (error) => (error === undefined ? resolve(undefined) : reject(error)) };
          const queue = this.waiting.get(name) ?? [];
          this.waiting.set(name, queue);
          signal?.addEventListener('abort', () => {
            if (!queue.includes(wish)) return;
            queue.splice(queue.indexOf(wish), 1);
            reject(signal.reason);
          });
          if (steal) {
            this.held.get(name)?.settle(new DOMException('the lock was stolen', 'AbortError'));
            this.held.delete(name);
            queue.unshift(wish);
          } else {
            queue.push(wish);
          }
          setTimeout(() => this.grant(name));
        }),
    };
  }

  /** Without a word: what it held is free, what it waited for it gets no more. */
  kill(page: string): void {
    for (const queue of this.waiting.values()) for (const wish of queue.filter((each) => each.page === page)) queue.splice(queue.indexOf(wish), 1);
    for (const [name, wish] of [...this.held])
      if (wish.page === page) {
        this.held.delete(name);
        setTimeout(() => this.grant(name));
      }
  }

  private grant(name: string): void {
    if (this.held.has(name)) return;
    const wish = this.waiting.get(name)?.shift();
    if (wish === undefined) return;
    this.held.set(name, wish);
    void wish.callback().finally(() => {
      if (this.held.get(name) !== wish) return;
      this.held.delete(name);
      wish.settle();
      this.grant(name);
    });
  }
}
