/** publishing.ts - a session's publishes, their answers, and what the outbox's store must know (src/session/client_session_publish.c, _store.c). */
import { closedError, HoldfastError } from '../errors.js';
import type { StoredState } from '../types.js';
import * as has from '../features.js';
import { isChannelName, isHeaderToken, isLabel, isNumber, utf8Length, type ErrorMessage, type Of, type Raw } from './message.js';
import { itemBytes, Outbox, type OutboxItem } from './outbox.js';
import type { SessionCore } from './session_core.js';

/** More publishes are put out when the socket has taken what lies there: one write's worth. */
const belowBytes = 64 * 1024;
/** After saving failed. */
const saveAgainMs = 1000;
/** So many attempts are saved at once. */
const attemptsAhead = 64;
const ticketMax = 512;

function size(payload: Raw): number {
  return typeof payload === 'string' ? utf8Length(payload) : payload.length;
}

function lostCount(s: SessionCore): void {
  s.fail('the server has lost count of our publishes');
}

export class Publishing {
  readonly outbox: Outbox;
  /** The server's maxMessage; 0: not known yet. */
  payloadBytesMax = 0;
  /** Saving failed, and is tried again then; Infinity: it did not. @only keepsOutbox */
  saveAgainAt = Infinity;
  /** Publishes up to settleSeq are done; which of them were refused is known with the pong. */
  private settling = false;
  private settleSeq = 0;
  /** "after 1009 takes its oldest unanswered publish for refused" */
  private oldestIsRefused = false;
  /** What the store knows. @only keepsOutbox */
  private kept: StoredState = { firstId: 1, sentId: 0, seqBase: 0, attempts: 0, ticket: '' };
  /** Ticket or numbers are not what the store knows: no publish may be written. @only keepsOutbox */
  private unsaved = false;
  /** Saves under way, in their order. @only keepsOutbox */
  private saving: StoredState[] = [];
  /** @only keepsOutbox */
  private failureTold = false;

  constructor(private readonly s: SessionCore) {
    const { outboxMessages, outboxBytes, window } = s.config;
    this.outbox = new Outbox(outboxMessages, outboxBytes, window);
    if (has.keepsOutbox) this.load();
  }

  /* --- what the application asks for --- */

  /** Throws: see Client.publish(). The answer is the publish id. */
  publish(channel: string, payload: Raw, id: string | undefined): number {
    if (this.s.closing) throw closedError();
    if (!isChannelName(channel))
      throw new HoldfastError('invalid', `"${channel}" names no channel: 1 to 255 bytes of UTF-8 without control characters do`);
    if (id !== undefined && !isLabel(id, true)) throw new HoldfastError('invalid', 'the id is longer than 255 bytes');
    const payloadBytes = size(payload);
    if (payloadBytes < 0) throw new HoldfastError('invalid', 'the payload holds half a surrogate pair');
    // "A client refuses locally what is above it" (PROTOCOL.md, maxMessage).
    if (this.payloadBytesMax > 0 && payloadBytes > this.payloadBytesMax)
      throw new HoldfastError(
        'too_large',
        `the payload has ${payloadBytes} bytes, and the server takes ${this.payloadBytesMax}: send it in parts`,
      );
    const bytes = itemBytes + utf8Length(channel) + payloadBytes + (id === undefined ? 0 : utf8Length(id));
    const room = this.outbox.room(bytes);
    if (room === 'too_large')
      throw new HoldfastError('too_large', 'the publish is larger than the whole outbox: see the option "outboxBytes"');
    if (room === 'full')
      throw new HoldfastError(
        'outbox_full',
        `${this.outbox.count} publishes wait for their answers: publish again when one has settled, or see the options "outboxMessages" and "outboxBytes"`,
      );
    const item = this.outbox.add(channel, id, payload, bytes);
    if (has.keepsOutbox) this.keep(item);
    return item.publishId;
  }

  /** @only keepsOutbox */
  private keep({ publishId, channel, id, payload }: OutboxItem): void {
    try {
      this.s.config.store?.put({ publishId, channel, id, payload });
    } catch (error) {
      this.outbox.takeBack();
      throw error;
    }
  }

  /* --- towards the server --- */

  /** Put out what the window and the output have room for. */
  put(now: number): void {
    const { outbox, s } = this;
    // Which one that is, and so the numbers of all others, is known when the old ones are settled.
    if (this.oldestIsRefused) return;
    if (outbox.written === 0 && outbox.next() !== undefined && s.heartbeat.sending(now)) s.doubt('sent_after_silence', now);
    const last = has.keepsOutbox ? this.save(now) : Infinity;
    while (s.outBytes < belowBytes && s.failed === null) {
      const item = outbox.next();
      if (item === undefined || item.publishId > last) return;
      const { channel, payload, id } = item;
      const seq = outbox.seq(item);
      s.put({ type: 'data', channel, payload, seq, ...(id === undefined ? {} : { id }) });
      outbox.wrote();
      s.awaitingAnswer(now);
    }
  }

  disconnected(): void {
    this.outbox.disconnected();
    this.settling = false;
  }

  /* --- answers --- */

  onAck(message: Of<'ack'>, now: number): void {
    const { seq, offsets = [] } = message;
    if (seq === undefined) return; // Of a publish without a number: this client makes none.
    if (seq > this.outbox.seqSent || offsets.length > seq) {
      this.s.fail('the server acknowledged what it was not sent');
      return;
    }
    // "A `nack` comes before the ack that covers it": there is none to come.
    if (this.settling && seq >= this.settleSeq) this.settling = false;
    // "The last of `offsets` belongs to `seq`, the one before to `seq`-1, and so on back to the ack before …"
    this.settle(seq - offsets.length);
    offsets.forEach((offset, i) => {
      const item = this.outbox.pop(seq - offsets.length + i + 1);
      if (item !== undefined) this.done(item, offset ?? 0);
    });
    this.dropRefused();
    this.refuseOldest();
    this.s.answered(now);
  }

  onNack(message: Of<'nack'>, now: number): void {
    if (message.seq === undefined) {
      this.s.emitError(message.code, message.reason);
      return;
    }
    const item = this.outbox.find(message.seq);
    if (item === undefined || item.told) return; // "a client drops those that it knows" (PROTOCOL.md, welcome)
    item.refusal = message.code;
    this.s.backoff.progressed();
    // Before the application is told: what was told as refused is never sent in another session.
    if (has.keepsOutbox && item.publishId > this.outbox.firstId) this.s.config.store?.refuse(item.publishId, message.code);
    this.emitRefused(item, message.code, message.reason);
    this.dropRefused();
    this.s.answered(now);
  }

  /**
   * "one beyond the next by `error bad_seq` with `expected`, not applied" (PROTOCOL.md, data). On one connection that cannot happen to us; so something is broken that a resume mends,
   * unless the server has lost count of what it acknowledged: then the session is lost.
   */
  onBadSeq(message: ErrorMessage): void {
    this.s.forgetSession = message.expected === undefined || this.outbox.find(message.expected) === undefined;
    lostCount(this.s);
  }

  /** The connection was closed with 1009. */
  refuseOldestLater(): void {
    this.oldestIsRefused = true;
  }

  /* --- what a welcome says --- */

  /** False: it cannot be, and the connection fails. */
  resumed(lastSeq: number | null): boolean {
    if (lastSeq !== null && !this.outbox.resumed(lastSeq)) {
      this.s.forgetSession = true;
      lostCount(this.s);
      return false;
    }
    // "a `nack` follows for each of the session's last 32 refusals": until our ping is answered nothing is known as accepted.
    this.settling = lastSeq !== null && this.outbox.written > 0;
    this.settleSeq = lastSeq ?? 0;
    if (!this.settling) this.refuseOldest();
    return true;
  }

  /** All nacks that follow a welcome have come: what lastSeq covers is settled. */
  settled(now: number): void {
    if (!this.settling) return;
    this.settling = false;
    this.settle(this.settleSeq);
    this.dropRefused();
    this.refuseOldest();
    this.s.answered(now);
  }

  /**
   * "The client drops what `lastSeq` covers … if `lastSeq` is null though publishes had been sent unacknowledged, those are *uncertain*: the application is told, and decides"
   * (PROTOCOL.md "Resume" 3).
   */
  renewed(lastSeq: number | null, refusals: readonly { seq: number; code: string; reason: string }[]): void {
    if (lastSeq !== null) {
      // The outbox still has the old session's numbers. A successor is told the same, until the new session is saved: nothing need be noted.
      for (const { seq, code, reason } of refusals) {
        const item = this.outbox.find(seq);
        if (item === undefined || item.told) continue;
        item.refusal = code;
        this.s.backoff.progressed();
        this.emitRefused(item, code, reason);
      }
      this.settle(lastSeq);
      this.dropRefused();
      this.refuseOldest();
    } else {
      for (let item = this.outbox.pop(Infinity); item !== undefined; item = this.outbox.pop(Infinity)) {
        const { publishId, channel, id, payload } = item;
        if (item.refusal === undefined) this.s.emit({ type: 'uncertain', publishId, channel, id, payload });
        else if (has.keepsOutbox) this.tellInherited(item);
      }
    }
    this.oldestIsRefused = false;
    if (has.keepsOutbox) this.s.inherited = false;
    if (has.keepsOutbox) this.unsaved = true;
    this.outbox.renewed();
    this.dropRefused();
  }

  /* --- what a successor must know --- */

  /** Let the store know what it must before publishes are written. The answer is the publish id up to which they may be. @only keepsOutbox */
  save(now: number): number {
    if (this.s.config.store === null) return Infinity;
    const ahead = Math.max(this.sentId, this.outbox.ahead(belowBytes));
    if (!this.unsaved && this.kept.firstId === this.outbox.firstId && ahead <= this.kept.sentId) {
      this.saveAgainAt = Infinity;
      return this.kept.sentId;
    }
    const waits = this.saving.length > 0 || (this.saveAgainAt !== Infinity && now < this.saveAgainAt);
    if (!waits) this.saveState(this.stateNow(ahead), now);
    return this.unsaved ? 0 : this.kept.sentId;
  }

  /** The store has what was given first of what it has not told about, or has not. @only keepsOutbox */
  saved(ok: boolean, now: number): void {
    const state = this.saving.shift();
    if (state === undefined) return;
    if (!ok) {
      this.saveFailed(now);
      return;
    }
    this.kept = state;
    this.saveAgainAt = Infinity;
    this.failureTold = false;
    if (state.ticket === this.s.ticket && state.seqBase === this.outbox.seqBase) this.unsaved = false;
  }

  /** A successor whose attempts are not above ours would be refused with 409: no more than a delay, so that a failure is no matter. @only keepsOutbox */
  saveAttempt(now: number): void {
    const { config, ticket, attempts } = this.s;
    if (config.store === null || ticket === '' || this.unsaved || attempts <= this.kept.attempts) return;
    this.saveState(this.stateNow(Math.max(this.sentId, this.kept.sentId)), now);
  }

  /**
   * What was answered is not asked again, and what was saved ahead of its being sent, and was not, is not uncertain where the session is gone. Should that fail, it is asked, and its
   * answer is as good the second time.
   * @only keepsOutbox
   */
  saveLast(now: number): void {
    const { kept, saving, sentId } = this;
    if (this.s.config.store === null) return;
    // What is still being saved was saved ahead.
    if (this.unsaved || saving.length > 0 || kept.firstId !== this.outbox.firstId || kept.sentId !== sentId) this.saveState(this.stateNow(sentId), now);
  }

  /** @only keepsOutbox */
  private saveState(state: StoredState, now: number): void {
    const result = this.s.config.store?.save(state);
    if (result === 'failed') {
      this.saveFailed(now);
      return;
    }
    this.saving.push(state);
    if (result === 'kept') this.saved(true, now);
  }

  /** @only keepsOutbox */
  private saveFailed(now: number): void {
    this.saveAgainAt = now + saveAgainMs;
    if (this.failureTold) return;
    this.failureTold = true;
    this.s.emitError('outbox', 'the outbox cannot be kept; nothing is sent until it can');
  }

  /** @only keepsOutbox */
  private get sentId(): number {
    return this.outbox.firstId + this.outbox.sent - 1;
  }

  /** @only keepsOutbox */
  private stateNow(sentId: number): StoredState {
    const { firstId, seqBase } = this.outbox;
    return { firstId, sentId, seqBase, attempts: this.s.attempts + attemptsAhead, ticket: this.s.ticket };
  }

  /** What a predecessor left. @only keepsOutbox */
  private load(): void {
    const { stored } = this.s.config;
    if (stored === null) return;
    const { state, publishes } = stored;
    const { firstId, sentId, seqBase, attempts, ticket } = state;
    const valid =
      [firstId, sentId, seqBase, attempts].every(isNumber) &&
      seqBase < firstId &&
      sentId + 1 >= firstId &&
      sentId + 1 - firstId <= publishes.length &&
      (ticket === '' || isHeaderToken(ticket, ticketMax));
    if (!valid) throw new HoldfastError('outbox', 'what the outbox has kept cannot be: it is damaged, or of something else');
    this.outbox.firstId = firstId;
    this.outbox.seqBase = seqBase;
    for (const { publishId, channel, id, payload, refusal } of publishes) {
      if (publishId !== this.outbox.nextId || !isChannelName(channel))
        throw new HoldfastError('outbox', 'what the outbox has kept cannot be: publishes are missing, or damaged');
      this.outbox.add(channel, id, payload, itemBytes + utf8Length(channel) + size(payload), refusal);
    }
    this.outbox.sent = sentId + 1 - firstId;
    // Of a session that got nothing without an answer, nothing is wanted: a new one is cheaper, and nobody's subscriptions are in it.
    this.s.ticket = this.outbox.sent === 0 ? '' : ticket;
    this.s.inherited = this.s.ticket !== '';
    this.s.attempts = attempts;
    this.kept = state;
  }

  /* --- within --- */

  /** A publish has left the outbox. */
  private done(item: OutboxItem, offset: number): void {
    const { publishId, channel } = item;
    this.s.backoff.progressed();
    if (item.refusal === undefined) this.s.emit({ type: 'acked', publishId, channel, offset });
    else if (has.keepsOutbox) this.tellInherited(item);
  }

  private settle(seq: number): void {
    for (let item = this.outbox.pop(seq); item !== undefined; item = this.outbox.pop(seq)) this.done(item, 0);
  }

  private emitRefused(item: OutboxItem, code: string, reason: string): void {
    item.told = true;
    this.s.emit({ type: 'refused', publishId: item.publishId, channel: item.channel, code, reason });
  }

  /** The page that was told died before it noted the result, or before its application heard of it. @only keepsOutbox */
  private tellInherited(item: OutboxItem): void {
    if (!item.told) this.emitRefused(item, item.refusal ?? '', 'the server told a page before this one');
  }

  /** Publishes at the front that were refused leave. Of those that another page was told of the application is told now. */
  private dropRefused(): void {
    for (let item = this.outbox.popRefused(); item !== undefined; item = this.outbox.popRefused()) this.done(item, 0);
    for (let item = this.outbox.popUnnumbered(); item !== undefined; item = this.outbox.popUnnumbered()) {
      if (has.keepsOutbox) this.unsaved = true; // The others have moved up.
      this.done(item, 0);
    }
  }

  private refuseOldest(): void {
    if (!this.oldestIsRefused || this.settling) return;
    this.oldestIsRefused = false;
    this.dropRefused();
    const item = this.outbox.popUnused();
    if (item === undefined) return;
    if (has.keepsOutbox) this.unsaved = true; // The others have moved up.
    this.emitRefused(item, 'too_large', 'the server ended the connection over it');
    this.dropRefused();
  }
}
