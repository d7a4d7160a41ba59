/** queue.ts - what lies between a channel and a loop over it: bounded, with one of two answers at the bound (IterateOptions.overflow). */
import { HoldfastError } from './errors.js';
import type { Delivery, Gap, IterateOptions } from './types.js';

/** The first and last offset that an item stands for; null: it is a new epoch, of which nobody knows how much it skips. */
function range<P>(item: Delivery<P>): readonly [number, number] | null {
  if (item.type === 'message') return [item.offset, item.offset];
  return item.from === null || item.to === null ? null : [item.from, item.to];
}

export class DeliveryQueue<P> implements AsyncIterableIterator<Delivery<P>> {
  private items: Delivery<P>[] = [];
  private head = 0;
  /** Dropped since the loop took something; it comes before what is left. */
  private dropped: Gap | null = null;
  private waiting: { resolve(result: IteratorResult<Delivery<P>>): void; reject(error: unknown): void }[] = [];
  private over = false;
  /** Told once, behind what is left. */
  private error: HoldfastError | null = null;
  private readonly limit: number;
  private readonly fails: boolean;

  /** onEnd: nobody asks any more. */
  constructor(
    options: IterateOptions,
    private readonly onEnd: () => void,
  ) {
    this.limit = options.limit ?? 1000;
    this.fails = options.overflow === 'fail';
    if (!Number.isSafeInteger(this.limit) || this.limit < 1) throw new HoldfastError('invalid', '"limit" is no number from 1 on');
  }

  /** End with this signal, which may have been given already. Not in the constructor: onEnd() may need the queue. */
  obey(signal: AbortSignal | undefined): void {
    if (signal?.aborted === true) this.end();
    else signal?.addEventListener('abort', () => this.end(), { once: true });
  }

  push(item: Delivery<P>): void {
    if (this.over) return;
    const first = this.waiting.shift();
    if (first !== undefined) {
      first.resolve({ done: false, value: item });
      return;
    }
    this.items.push(item);
    if (this.items.length - this.head <= this.limit) return;
    if (this.fails) {
      this.items = [];
      this.head = 0;
      this.end(new HoldfastError('overflow', `the loop over "${item.channel}" is ${this.limit} messages behind: make it faster, or raise "limit"`));
    } else {
      this.drop(this.take());
    }
  }

  /** What is left is still given. */
  end(error: HoldfastError | null = null): void {
    if (this.over) return;
    this.over = true;
    this.error = error;
    this.onEnd();
    for (const each of this.waiting.splice(0)) this.finish(each);
  }

  next(): Promise<IteratorResult<Delivery<P>>> {
    const item = this.dropped ?? this.take();
    if (this.dropped !== null) this.dropped = null;
    if (item !== undefined) return Promise.resolve({ done: false, value: item });
    return new Promise((resolve, reject) => {
      if (this.over) this.finish({ resolve, reject });
      else this.waiting.push({ resolve, reject });
    });
  }

  return(): Promise<IteratorResult<Delivery<P>>> {
    this.items = [];
    this.head = 0;
    this.dropped = null;
    this.end();
    return Promise.resolve({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  private finish(each: { resolve(result: IteratorResult<Delivery<P>>): void; reject(error: unknown): void }): void {
    const { error } = this;
    this.error = null;
    if (error === null) each.resolve({ done: true, value: undefined });
    else each.reject(error);
  }

  private take(): Delivery<P> | undefined {
    const item = this.items[this.head];
    if (item === undefined) return undefined;
    this.head++;
    if (this.head >= 64 && this.head * 2 >= this.items.length) {
      this.items = this.items.slice(this.head);
      this.head = 0;
    }
    return item;
  }

  /** A gap grows over what is dropped; a new epoch begins another, and what was missing of the old one goes with it. */
  private drop(item: Delivery<P> | undefined): void {
    if (item === undefined) return;
    const { channel, epoch } = item;
    const span = range(item);
    if (span === null) {
      this.dropped = item as Gap;
      return;
    }
    const [from, to] = span;
    const before = this.dropped;
    if (before === null) this.dropped = { type: 'gap', channel, epoch, from, to, code: 'overflow' };
    else if (before.from !== null) this.dropped = { ...before, to };
    else this.dropped = { ...before, to: null };
  }
}
