/**
 * listing.ts - a list of the server's, page by page, with a search. A page may be short and have a next one all the same, because the server looks at only so many for one answer; then
 * the next one is asked for, up to a bound.
 */
import type { Stage } from './stage.js';

export interface Page<T, Place> {
  readonly items: readonly T[];
  /** Where the next page begins; undefined: there is none. */
  readonly next: Place | undefined;
}

export interface ListingOptions<T, Place> {
  ask(search: string, after: Place | undefined, limit: number, signal: AbortSignal): Promise<Page<T, Place>>;
  show(state: ListingState<T>): void;
  failed(error: unknown): void;
}

export interface ListingState<T> {
  readonly items: readonly T[];
  readonly more: boolean;
  readonly asking: boolean;
}

const pageItems = 50;
/** A million sessions are some sixteen answers. */
const asksMax = 24;
/** A list that takes more answers than that is not asked for again by itself. */
const cheapAsks = 2;
const refreshMs = 2000;

export class Listing<T, Place> {
  private items: readonly T[] = [];
  private next: Place | undefined;
  private asks = 0;
  private pages = 0;
  private asking: AbortController | null = null;
  private search: string;

  constructor(
    stage: Stage,
    private readonly options: ListingOptions<T, Place>,
    search: string,
  ) {
    this.search = search;
    stage.onLeave(() => this.asking?.abort());
    stage.poll(
      refreshMs,
      async () => {
        if (!this.asking && this.pages <= 1 && this.asks <= cheapAsks) await this.load(false);
      },
      (error) => options.failed(error),
    );
  }

  find(search: string): void {
    this.search = search;
    this.items = [];
    this.next = undefined;
    void this.try(false);
  }

  more(): void {
    void this.try(true);
  }

  private async try(more: boolean): Promise<void> {
    try {
      await this.load(more);
    } catch (error) {
      this.options.failed(error);
    }
  }

  /** Whatever was under way is given up for it. */
  private async load(more: boolean): Promise<void> {
    this.asking?.abort();
    const mine = (this.asking = new AbortController());
    // A refresh of what is there is not worth a word.
    if (more || this.items.length === 0) this.tell();
    try {
      const found: T[] = [];
      let after = more ? this.next : undefined;
      let asks = 0;
      do {
        const page = await this.options.ask(this.search, after, pageItems - found.length, mine.signal);
        found.push(...page.items);
        after = page.next;
        asks++;
      } while (after !== undefined && found.length < pageItems && asks < asksMax);
      this.items = more ? [...this.items, ...found] : found;
      this.next = after;
      this.pages = more ? this.pages + 1 : 1;
      this.asks = asks;
    } catch (error) {
      if (!mine.signal.aborted) throw error;
    } finally {
      if (this.asking === mine) {
        this.asking = null;
        this.tell();
      }
    }
  }

  private tell(): void {
    this.options.show({ items: this.items, more: this.next !== undefined, asking: this.asking !== null });
  }
}
