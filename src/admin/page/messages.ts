/** messages.ts - the messages of a channel that the page has, newest first and without a hole. Bounded. Pure. */
import type { History, Message } from './types.js';

export const messagesMax = 500;

export class Messages {
  epoch: string | null = null;
  list: readonly Message[] = [];
  /** There may be older ones at the server, and room for them here. */
  olderThere = false;

  get newest(): number {
    return this.list[0]?.offset ?? 0;
  }

  get oldest(): number {
    return this.list.at(-1)?.offset ?? 0;
  }

  /** An answer from the newest down: all that there was is let go of. */
  begin(history: History): void {
    this.epoch = history.epoch;
    this.list = history.messages;
    this.olderThere = this.oldest > 1;
  }

  /** An answer with what follows the newest, oldest first, of at most `limit`. Returns false where it does not follow, or there may be more: then begin() anew. */
  takeNext(history: History, limit: number): boolean {
    const { messages } = history;
    if (history.epoch !== this.epoch || messages.length >= limit) return false;
    if (messages.length > 0 && messages[0]?.offset !== this.newest + 1) return false;
    this.list = [...[...messages].reverse(), ...this.list];
    if (this.list.length <= messagesMax) return true;
    this.list = this.list.slice(0, messagesMax);
    this.olderThere = false;
    return true;
  }

  /** An answer with what lies before the oldest, from the newest down. */
  takeOlder(history: History): void {
    if (history.epoch !== this.epoch) return;
    const older = history.messages.filter(({ offset }) => offset < this.oldest);
    this.list = [...this.list, ...older].slice(0, messagesMax);
    this.olderThere = older.length > 0 && this.oldest > 1 && this.list.length < messagesMax;
  }
}
