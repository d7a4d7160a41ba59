/** channels.ts - a session's subscriptions and their messages (src/session/client_session_channel.c). */
import type { SubscribeOptions } from '../types.js';
import { closedError, HoldfastError } from '../errors.js';
import * as has from '../features.js';
import type { Verdict } from './inbox.js';
import { isChannelName, isLabel, isNumber, type ErrorMessage, type Of } from './message.js';
import type { SessionCore } from './session_core.js';
import { delivered } from './session_send.js';
import { isConnected } from './state.js';
import { Followed } from './subscriptions.js';

/** A subscribe that was refused for now is repeated after that, and a random part of as much again. */
const resubscribeMsMin = 500;
/** For the server to fill a hole; a guess. */
const syncMs = 10_000;

export const refusedForNow: readonly string[] = ['overloaded', 'unavailable', 'rate_limited', 'timeout'];

export function checkStart(channel: string, { since, last = 0, mode = 'all' }: SubscribeOptions): string | undefined {
  if (!isChannelName(channel)) return `"${channel}" names no channel: 1 to 255 bytes of UTF-8 without control characters do`;
  if (since !== undefined && !(isLabel(since.epoch, true) && isNumber(since.offset)))
    return '"since" is no position: give one as a subscription had it, {epoch, offset}';
  if (!isNumber(last)) return '"last" is no number of messages';
  return mode === 'all' || mode === 'latest' ? undefined : '"mode" is neither "all" nor "latest"';
}

export class Channels {
  /** Subscribes and unsubscribes without an answer. */
  asked = 0;
  /** A hole must be filled by then; Infinity: none. */
  syncUntil = Infinity;
  /** Deferred subscribes are due; Infinity: none. */
  resubscribeAt = Infinity;
  /** In the order of subscribing. */
  private readonly all = new Map<string, Followed>();

  constructor(private readonly s: SessionCore) {}

  find(channel: string): Followed | undefined {
    return this.all.get(channel);
  }

  /* --- what the application asks for --- */

  /** Throws: see Client.subscribe(). */
  subscribe(channel: string, options: SubscribeOptions, now: number): void {
    const wrong = checkStart(channel, options);
    if (wrong !== undefined) throw new HoldfastError('invalid', wrong);
    if (this.s.closing) throw closedError();
    const { since, last = 0, mode = 'all' } = options;
    const sub = this.add(channel, mode === 'latest');
    if (has.asks) sub.presence = options.presence === true;
    if (since !== undefined) {
      sub.inbox.placeAt(since.epoch, since.offset);
    } else {
      sub.last = last;
      if (last > 0 || mode === 'latest') sub.inbox.float();
    }
    this.putRequests(now);
  }

  /** No message of the channel comes after this call; `unsubscribed` follows. False: it is not followed. */
  unsubscribe(channel: string, now: number): boolean {
    const sub = this.all.get(channel);
    if (sub === undefined || sub.leaving || this.s.closing) return false;
    // Its answer is not waited for any more; that of the unsubscribe is.
    if (sub.state === 'asked' && this.asked > 0) this.asked--;
    if (has.asks) this.asked -= sub.watching;
    sub.move('leaving');
    this.putRequests(now);
    return true;
  }

  /**
   * Be told who comes and goes, or not any more, from now on. On a subscription that stands its cursor stays: "`mode` and `presence` are replaced" (PROTOCOL.md, subscribe). What the server was told
   * already it is told again. @only asks
   */
  watch(channel: string, presence: boolean, now: number): void {
    const sub = this.all.get(channel);
    if (sub === undefined || sub.leaving || this.s.closing) return;
    sub.presence = presence;
    sub.watchWanted = sub.state !== 'wanted';
    this.putRequests(now);
  }

  putRequests(now: number): void {
    if (!isConnected(this.s.state) || this.s.greeting) return;
    for (const sub of this.all.values()) {
      if (sub.state === 'wanted' && !sub.deferred) this.putSubscribe(sub);
      else if (sub.state === 'leaving' && !(has.keepsOutbox && this.s.inherited)) this.putUnsubscribe(sub); // Whose end an answer means is clear then.
      else if (has.asks && sub.state === 'active' && sub.watchWanted) this.putWatch(sub);
      else continue;
      this.asked++;
      this.s.awaitingAnswer(now);
    }
  }

  /** What is to be acknowledged, and has been with that. Ends where `more` says so, which is asked before each. */
  *acksDue(more: (count: number) => boolean): Generator<readonly [channel: string, offset: number]> {
    let count = 0;
    for (const sub of this.all.values()) {
      if (sub.state !== 'active' || !sub.inbox.unacked) continue;
      if (!more(count++)) return;
      sub.inbox.ackedAll();
      yield [sub.channel, sub.inbox.position];
    }
  }

  tick(now: number): void {
    if (now >= this.resubscribeAt) {
      this.resubscribeAt = Infinity;
      for (const sub of this.all.values()) sub.deferred = false;
      this.putRequests(now);
    }
    if (now >= this.syncUntil) this.s.fail('the server left out messages without telling');
  }

  disconnected(): void {
    this.asked = 0;
    if (has.asks)
      for (const sub of this.all.values()) {
        sub.watchWanted ||= sub.watching > 0;
        sub.watching = 0;
      }
    this.syncUntil = Infinity;
    this.resubscribeAt = Infinity;
  }

  /* --- what the server says --- */

  onSubscribed(message: Of<'subscribed'>, now: number): void {
    const sub = this.all.get(message.channel) ?? this.addForBackend(message.channel);
    if (sub === undefined || sub.leaving) return;
    if (sub.state === 'asked') this.requestAnswered(now);
    else if (has.asks) this.notAsked(sub, now);
    if (sub.state !== 'active') sub.move('active');
    this.obeyInbox(sub, sub.inbox.subscribed(message.epoch, message.offset), now);
    if (has.asks && sub.watchWanted) this.putRequests(now); // Before what the application asks when it is told.
    if (!sub.leaving && this.s.failed === null) this.emitSubscribed(sub, message.recovered, message.offset);
  }

  onUnsubscribed(message: Of<'unsubscribed'>, now: number): void {
    const sub = this.all.get(message.channel);
    const decidedByServer = message.code !== undefined;
    if (sub === undefined || (has.keepsOutbox && this.s.inherited && !decidedByServer)) return; // It was another process's.
    if (sub.state === 'left' || sub.state === 'asked') this.requestAnswered(now);
    if (sub.leaving || decidedByServer) this.remove(sub, message.code ?? '', message.reason ?? '');
  }

  onData(message: Of<'data'>, now: number): void {
    const sub = this.all.get(message.channel);
    if (sub === undefined || sub.leaving || !isConnected(this.s.state) || this.s.closeWanted) return;
    if (has.keepsOutbox && this.s.inherited && sub.state !== 'active') return; // from where another process stood
    const verdict = sub.inbox.data(message.offset);
    if (verdict === 'sync') this.putSync(sub, now);
    if (verdict !== 'deliver') return;
    this.checkHoles();
    this.s.caughtUpCount++;
    this.s.backoff.progressed();
    this.s.emit({ type: 'message', epoch: sub.inbox.epoch, message });
    delivered(this.s, message.bytes ?? 0, now);
  }

  onGap(message: Of<'gap'>, now: number): void {
    const sub = this.all.get(message.channel);
    if (sub === undefined || sub.leaving || !isConnected(this.s.state)) return;
    if (has.keepsOutbox && this.s.inherited && sub.state !== 'active') return;
    if (message.code === 'epoch') {
      this.obeyInbox(sub, sub.inbox.newEpoch(message.epoch), now);
      this.checkHoles();
      return;
    }
    const verdict = sub.inbox.gap(message.from ?? 0, message.to ?? 0);
    if (verdict === 'deliver') {
      this.checkHoles();
      this.emitGap(sub, sub.inbox.gapFrom, sub.inbox.gapTo, message.code);
      delivered(this.s, 0, now);
    } else {
      this.obeyInbox(sub, verdict, now);
    }
  }

  /** @only asks */
  onPresence(message: Of<'join' | 'leave'>): void {
    const { channel, session, user, info } = message;
    const sub = this.all.get(channel);
    if (sub === undefined || sub.leaving || !sub.presence) return;
    const member = info === undefined ? { session, user } : { session, user, info };
    this.s.emit({ type: 'presence', kind: message.type, channel, member });
  }

  /** Whether an `error` is the answer to a request about a channel, which it then was. */
  onError(message: ErrorMessage, now: number): boolean {
    const sub = message.channel === undefined ? undefined : this.all.get(message.channel);
    if (message.re === 'subscribe' && sub?.state === 'asked') {
      this.subscribeRefused(sub, message, now);
      return true;
    }
    if (message.re === 'unsubscribe' && sub?.state === 'left') {
      this.requestAnswered(now);
      this.remove(sub, '', '');
      return true;
    }
    return has.asks && sub !== undefined && this.onPresenceError(sub, message, now);
  }

  /** Whether it says that joins and leaves were left out, or are not told: docs/protocol.md "Presence". @only asks */
  private onPresenceError(sub: Followed, { re, id, code, reason }: ErrorMessage, now: number): boolean {
    if (re === 'subscribe' && sub.watching > 0) this.watchAnswered(sub, now);
    else if (re !== 'presence' || id !== undefined || !sub.presence || sub.leaving) return false;
    this.s.emit({ type: 'presenceLost', channel: sub.channel, code, reason });
    return true;
  }

  /* --- what a welcome says --- */

  /** One of welcome.channels: the server goes on there, whatever we know of it. */
  named(at: { channel: string; epoch: string; offset: number }, now: number): void {
    if (has.keepsOutbox && this.s.inherited) {
      // A subscription of the process that had the session before us is ended, also where this one subscribes to the channel as well: its mode and its cursor would
      // stay where ours names none. Ours is asked for behind that.
      this.s.put({ type: 'unsubscribe', channel: at.channel });
      return;
    }
    const sub = this.all.get(at.channel) ?? this.addForBackend(at.channel);
    if (sub === undefined) return;
    sub.named = true;
    if (sub.state === 'left') sub.move('leaving'); // "asked again after the resume" (PROTOCOL.md "Resume" 6)
    if (sub.leaving) return;
    if (has.asks && sub.state === 'wanted') sub.watchWanted = sub.presence; // The backend made it, and knows nothing of that.
    if (sub.state !== 'active') sub.move('active');
    this.obeyInbox(sub, sub.inbox.resumed(at.epoch, at.offset), now);
    if (!sub.told && !sub.leaving) this.emitSubscribed(sub, true);
    if (!this.s.ackPlanned && sub.inbox.unacked) delivered(this.s, 0, now);
  }

  /** What was not named begins again, or has ended. */
  sort(): void {
    const over: Followed[] = [];
    for (const sub of this.all.values()) {
      if (!sub.named) {
        if (sub.leaving) over.push(sub);
        else this.begunAgain(sub);
      }
      sub.named = false;
    }
    for (const sub of over) this.remove(sub, '', '');
  }

  /* --- within --- */

  private add(channel: string, latest: boolean): Followed {
    if (this.all.has(channel))
      throw new HoldfastError('exists', `"${channel}" is followed already: subscription("${channel}") gives its subscription`);
    if (this.all.size >= this.s.config.subscriptions)
      throw new HoldfastError('limit', `${this.all.size} channels are followed, and that is the limit: see the option "subscriptions"`);
    const sub = new Followed(channel, latest);
    this.all.set(channel, sub);
    return sub;
  }

  /** A subscription that the backend made, or forgot to end. */
  private addForBackend(channel: string): Followed | undefined {
    if (isChannelName(channel) && this.all.size < this.s.config.subscriptions) return this.add(channel, false);
    this.s.emitError('limit', 'no room for a subscription that the backend made', channel);
    return undefined;
  }

  private remove(sub: Followed, code: string, reason: string): void {
    this.all.delete(sub.channel); // First: the application may subscribe anew when it is told.
    this.checkHoles();
    this.s.emit({ type: 'unsubscribed', channel: sub.channel, code, reason });
  }

  private putSubscribe(sub: Followed): void {
    const { channel, inbox, last } = sub;
    const presence = has.asks && sub.presence ? { presence: true } : {};
    const start = inbox.placed ? { since: { epoch: inbox.epoch, offset: inbox.position } } : last > 0 ? { last } : {};
    this.s.put({ type: 'subscribe', channel, ...(inbox.latest ? { mode: 'latest' } : start), ...presence });
    sub.move('asked');
  }

  /** @only asks */
  private putWatch(sub: Followed): void {
    this.s.put({ type: 'subscribe', channel: sub.channel, presence: sub.presence });
    sub.watchWanted = false;
    sub.watching++;
  }

  /** A `subscribed` of a subscription that was not asked for: it answers putWatch(), or the backend made it. @only asks */
  private notAsked(sub: Followed, now: number): void {
    if (sub.watching > 0) this.watchAnswered(sub, now);
    else if (sub.state === 'wanted') sub.watchWanted = sub.presence;
  }

  /** @only asks */
  private watchAnswered(sub: Followed, now: number): void {
    sub.watching--;
    this.requestAnswered(now);
  }

  private putUnsubscribe(sub: Followed): void {
    this.s.put({ type: 'unsubscribe', channel: sub.channel });
    sub.move('left');
  }

  private putSync(sub: Followed, now: number): void {
    this.s.put({ type: 'sync_request', channel: sub.channel, offset: sub.inbox.position });
    if (this.syncUntil === Infinity) this.syncUntil = now + syncMs;
  }

  private requestAnswered(now: number): void {
    if (this.asked > 0) this.asked--;
    this.s.answered(now);
  }

  /** What an inbox says about the server's answer. */
  private obeyInbox(sub: Followed, verdict: Verdict, now: number): void {
    if (verdict === 'broken') this.s.fail("the server named a channel's epoch that is too long");
    else if (verdict === 'deliver') this.emitGap(sub, 0, 0, 'epoch');
    else if (verdict === 'sync') this.putSync(sub, now);
  }

  /** The hole that a sync_request was sent for may have been filled. */
  private checkHoles(): void {
    if (this.syncUntil === Infinity) return;
    for (const sub of this.all.values()) if (sub.inbox.place === 'syncing') return;
    this.syncUntil = Infinity;
  }

  private subscribeRefused(sub: Followed, message: ErrorMessage, now: number): void {
    this.requestAnswered(now);
    if (!refusedForNow.includes(message.code)) {
      this.remove(sub, message.code, message.reason);
      return;
    }
    sub.move('wanted');
    sub.deferred = true;
    if (this.resubscribeAt === Infinity)
      this.resubscribeAt = now + resubscribeMsMin + this.s.random.below(resubscribeMsMin);
  }

  private begunAgain(sub: Followed): void {
    if (sub.state !== 'wanted') sub.move('wanted');
    if (has.asks) sub.watchWanted = false; // The subscribe says it.
    sub.inbox.lost();
    sub.deferred = false;
  }

  private emitSubscribed(sub: Followed, recovered: boolean, head = sub.inbox.position): void {
    sub.told = true;
    const { epoch, position: offset } = sub.inbox;
    this.s.emit({ type: 'subscribed', channel: sub.channel, epoch, offset, head, recovered });
  }

  private emitGap(sub: Followed, from: number, to: number, code: string): void {
    this.s.emit({ type: 'gap', channel: sub.channel, epoch: sub.inbox.epoch, from, to, code });
  }
}
