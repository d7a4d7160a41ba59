/**
 * outbox.ts - a client's publishes, kept until the server has answered for them (src/session/outbox.h).
 * A publish has two numbers: its publish id, 1, 2, 3 … for as long as the outbox lives, which the application knows, and its `seq` in the present session, which is the publish id
 * less a base that changes with the session. Items leave at the front only, in order, so that both numbers stay contiguous.
 *
 *      |  covered, settling  |  written, unanswered  |  not written on this connection  |
 *    front                            written ^                                  front + count
 *      |  sent on some connection of this session ........ sent ^        |  never sent  |
 */
import type { Raw } from './message.js';

export interface OutboxItem {
  readonly publishId: number;
  readonly channel: string;
  readonly id: string | undefined;
  readonly payload: Raw;
  readonly bytes: number;
  /** A nack has come, with this code: it was never applied, so it is never sent in another session. */
  refusal: string | undefined;
  /** And the application has been told, by this page. */
  told: boolean;
}

/** What an item costs beside its texts; a guess. */
export const itemBytes = 96;

export class Outbox {
  /** Publish id of the item at the front, or the next one's where there is none. */
  firstId = 1;
  /** seq = publish id - seqBase */
  seqBase = 0;
  /** Items from the front that need not be written on this connection (any more). */
  written = 0;
  /** Items from the front that may have reached the server in this session. */
  sent = 0;
  private bytes = 0;
  /** The items from `head` on; what is before is gone, and cut off from time to time. */
  private items: (OutboxItem | undefined)[] = [];
  private head = 0;

  constructor(
    private readonly messagesMax: number,
    private readonly bytesMax: number,
    private readonly window: number,
  ) {}

  get count(): number {
    return this.items.length - this.head;
  }

  get nextId(): number {
    return this.firstId + this.count;
  }

  /** `full` for now; `too_large`: it would not fit into the empty outbox. */
  room(bytes: number): 'ok' | 'full' | 'too_large' {
    if (bytes > this.bytesMax) return 'too_large';
    return this.count >= this.messagesMax || this.bytes > this.bytesMax - bytes ? 'full' : 'ok';
  }

  /** Whatever the bounds say. */
  add(channel: string, id: string | undefined, payload: Raw, bytes: number, refusal?: string): OutboxItem {
    const item = { publishId: this.nextId, channel, id, payload, bytes, refusal, told: false };
    this.items.push(item);
    this.bytes += bytes;
    return item;
  }

  /** The newest item was not accepted after all. Nothing of it may have been written. @only keepsOutbox */
  takeBack(): void {
    this.bytes -= this.items.pop()?.bytes ?? 0;
  }

  /** The next item to write on this connection; undefined: nothing to write, the window is full, or it is one without a number. */
  next(): OutboxItem | undefined {
    return this.written >= this.window || this.isUnnumbered(this.written) ? undefined : this.at(this.written);
  }

  /** It has been put into the connection's output. */
  wrote(): void {
    this.written++;
    this.sent = Math.max(this.sent, this.written);
  }

  /** The publish id of the last item that might be written next within so many bytes of output. @only keepsOutbox */
  ahead(bytes: number): number {
    let i = this.written;
    for (let sum = 0; i < this.count && i < this.window && !this.isUnnumbered(i) && sum < bytes; i++) sum += this.at(i)?.bytes ?? 0;
    return this.firstId + i - 1;
  }

  seq(item: OutboxItem): number {
    return item.publishId - this.seqBase;
  }

  /** The highest seq that this session may have got; 0: none. */
  get seqSent(): number {
    return this.firstId + this.sent - 1 - this.seqBase;
  }

  /** The item with this seq, sent and not yet popped. */
  find(seq: number): OutboxItem | undefined {
    const index = seq - (this.firstId - this.seqBase);
    return index >= 0 && index < this.sent ? this.at(index) : undefined;
  }

  /** Take the item at the front, if it has been sent and its seq is not above `seq`. */
  pop(seq: number): OutboxItem | undefined {
    return this.sent === 0 || this.firstId - this.seqBase > seq ? undefined : this.popFront();
  }

  /** The same for an item at the front that has been refused: "counts as done" (PROTOCOL.md, nack). */
  popRefused(): OutboxItem | undefined {
    return this.sent === 0 || this.at(0)?.refusal === undefined ? undefined : this.popFront();
  }

  /** Take the item at the front, if it has no number in this session. Those behind it move up by one number: none of them has been sent. */
  popUnnumbered(): OutboxItem | undefined {
    if (this.sent > 0 || !this.isUnnumbered(0)) return undefined;
    this.seqBase++;
    return this.popFront();
  }

  /** The connection is gone: all that is left is to be written again, for the server drops what it knows. */
  disconnected(): void {
    this.written = 0;
  }

  /**
   * The next connection has resumed the session: what is not above lastSeq need not be written, it only waits to be popped. False: lastSeq contradicts what the server has
   * acknowledged, or what it was sent.
   */
  resumed(lastSeq: number): boolean {
    const answered = this.firstId - this.seqBase - 1;
    if (lastSeq < answered || lastSeq > this.seqSent) return false;
    this.written = lastSeq - answered;
    return true;
  }

  /**
   * A new session has begun: what is left gets the numbers 1, 2, 3 … and is written anew, but for what has been refused. The caller has popped before what the old session is known to have applied, and
   * what is uncertain.
   */
  renewed(): void {
    this.seqBase = this.firstId - 1;
    this.written = 0;
    this.sent = 0;
  }

  /**
   * Take the item at the front out of the numbering, its seq not having been used: for a publish that the server refused by ending the connection (close 1009). Nothing may be
   * written and unanswered.
   */
  popUnused(): OutboxItem | undefined {
    if (this.sent === 0) return undefined;
    this.seqBase++;
    return this.popFront();
  }

  /** The session is over for good: take the item at the front, whatever it is. */
  take(): OutboxItem | undefined {
    return this.count === 0 ? undefined : this.popFront();
  }

  /**
   * Whether it was refused behind others without an answer, in a session that has ended: in this one it has no number and is never sent, and nothing behind it is written until it has come
   * to the front and left.
   */
  private isUnnumbered(index: number): boolean {
    return index >= this.sent && this.at(index)?.refusal !== undefined;
  }

  /** The item with this publish id, while it is here. */
  byId(publishId: number): OutboxItem | undefined {
    return this.at(publishId - this.firstId);
  }

  private at(index: number): OutboxItem | undefined {
    return this.items[this.head + index];
  }

  private popFront(): OutboxItem | undefined {
    const item = this.items[this.head];
    this.items[this.head++] = undefined;
    if (this.head >= 64 && this.head * 2 >= this.items.length) {
      this.items = this.items.slice(this.head);
      this.head = 0;
    }
    this.firstId++;
    this.written = Math.max(0, this.written - 1);
    this.sent = Math.max(0, this.sent - 1);
    this.bytes -= item?.bytes ?? 0;
    return item;
  }
}
