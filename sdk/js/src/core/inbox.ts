/**
 * inbox.ts - where a client stands in one channel: what of it has been delivered to the application (src/session/inbox.h).
 * It judges each message and gap that the server sends, so that the application sees every offset once and in order, or is told by a gap which ones it cannot have.
 */
import { isLabel } from './message.js';

export type Place =
  /** Nothing is known: the server's answer will say. */
  | 'nowhere'
  /** `last` n was asked: the first message tells where it begins. */
  | 'floating'
  /** The position holds. */
  | 'placed'
  /** The position holds, and the server has been asked to send again from there. */
  | 'syncing';

export type Verdict =
  /** Give it to the application; the inbox has moved behind it. */
  | 'deliver'
  /** Had already. */
  | 'duplicate'
  /** Offsets are missing and no gap told so: send `sync_request` for the position. */
  | 'sync'
  /** Of no use: a sync_request is under way, or it belongs to no position. */
  | 'ignore'
  /** The server named an epoch that cannot be one. */
  | 'broken';

export class Inbox {
  place: Place = 'nowhere';
  epoch = '';
  /** What the last judged gap leaves after what the inbox has is taken off it. */
  gapFrom = 0;
  gapTo = 0;
  /** The next one to deliver, 1 … */
  private next = 0;
  /** Told to the server on any connection. */
  private acked = 0;

  /** latest: "What `latest` skips is no gap" (PROTOCOL.md, gap) */
  constructor(readonly latest: boolean) {}

  /** Stand behind an offset of an epoch (`since`). */
  placeAt(epoch: string, offset: number): void {
    this.epoch = epoch;
    this.next = offset + 1;
    this.acked = offset;
    this.place = 'placed';
  }

  /** Begin with the first message that comes (`last`). */
  float(): void {
    this.place = 'floating';
    this.next = 0;
    this.acked = 0;
  }

  /** Whether there is a position to ask `since`. */
  get placed(): boolean {
    return this.place === 'placed' || this.place === 'syncing';
  }

  /** The last offset that the application has, 0: none. */
  get position(): number {
    return this.next === 0 ? 0 : this.next - 1;
  }

  /** Judge a message. */
  data(offset: number): Verdict {
    if (this.place === 'nowhere' || offset === 0) return 'ignore';
    if (this.place !== 'floating') {
      if (offset < this.next) return 'duplicate';
      if (offset > this.next && !this.latest) return this.askAgain();
    }
    this.standBehind(offset);
    return 'deliver';
  }

  /** Judge a gap of offsets. "it counts only above the client's own position" (PROTOCOL.md, gap). */
  gap(from: number, to: number): Verdict {
    if (this.place === 'nowhere' || from === 0 || from > to) return 'ignore';
    if (this.place !== 'floating') {
      if (to < this.next) return 'duplicate';
      if (from > this.next && !this.latest) return this.askAgain();
      from = Math.max(from, this.next);
    }
    this.gapFrom = from;
    this.gapTo = to;
    this.standBehind(to);
    return 'deliver';
  }

  /**
   * Judge a gap of code `epoch`: "the channel was begun anew, `epoch` is the new one …, delivery goes on from its offset 1" (PROTOCOL.md, gap). One that the inbox has
   * already comes again after a resume, when nothing of the new epoch had been acknowledged.
   */
  newEpoch(epoch: string): Verdict {
    if (this.place !== 'nowhere' && epoch === this.epoch) return 'duplicate';
    if (!isLabel(epoch, true)) return 'broken';
    this.epoch = epoch;
    this.standBehind(0);
    this.acked = 0;
    return 'deliver';
  }

  /**
   * The answer to a subscribe: the channel's epoch and head. `deliver` where the epoch is not the one that was asked for and no gap told so: report the new epoch.
   */
  subscribed(epoch: string, head: number): Verdict {
    const verdict = this.enterEpoch(epoch);
    if (verdict !== 'duplicate') return verdict;
    if (this.place === 'nowhere' && this.latest) this.place = 'floating'; // "the newest value at once": it has the head's offset, and follows.
    if (this.place === 'nowhere') {
      this.standBehind(head);
      this.acked = head;
    }
    return 'ignore';
  }

  /**
   * The session was resumed, and the server goes on behind `offset`. As subscribed(), or `sync` where that is beyond what the inbox has: a gap or a new epoch was told on
   * the lost connection only.
   */
  resumed(epoch: string, offset: number): Verdict {
    this.lost(); // The next hole asks anew.
    const verdict = this.enterEpoch(epoch);
    if (verdict !== 'duplicate') return verdict;
    if (this.latest) {
      if (!this.placed) this.place = 'floating';
      return 'ignore';
    }
    if (!this.placed) this.standBehind(offset);
    if (offset > this.position) return this.askAgain();
    this.acked = offset; // What the server knows; an acknowledgement above it was lost.
    return 'ignore';
  }

  /** The session is gone; a sync_request that was under way has no answer. */
  lost(): void {
    if (this.place === 'syncing') this.place = 'placed';
  }

  /** Whether there is something to acknowledge. */
  get unacked(): boolean {
    return this.placed && this.position > this.acked;
  }

  ackedAll(): void {
    this.acked = this.position;
  }

  private standBehind(offset: number): void {
    this.next = offset + 1;
    this.place = 'placed';
  }

  private askAgain(): Verdict {
    if (this.place === 'syncing') return 'ignore';
    this.place = 'syncing';
    return 'sync';
  }

  /** Take over the epoch that the server names; a change is to be reported where the application had a position in the old one. */
  private enterEpoch(epoch: string): Verdict {
    if (this.placed) return this.newEpoch(epoch);
    if (!isLabel(epoch, true)) return 'broken';
    this.epoch = epoch;
    return 'duplicate';
  }
}
