/**
 * feed.ts - one channel, for all tabs that follow it: followed once at the server, and told to each tab from where that stands. A tab that begins elsewhere than the feed is brought there by
 * the channel's history; what that has not any more is told by a gap.
 *
 *   idle    -> asked     the first tab wants it
 *   asked   -> active    `subscribed` has come
 *   active  -> leaving   the last tab has left, or it must be asked otherwise
 *   leaving -> idle      `unsubscribed` has come: it is asked anew where tabs want it
 *
 * It is followed in mode `latest` while all tabs want no more than that, in mode `all` from then on when one wants all; with presence while one wants to know who comes and goes.
 */
import { refusedForNow } from '../core/channels.js';
import { toBase64 } from '../core/base64.js';
import type { DataMessage, Since } from '../core/message.js';
import type { SubscribeOptions } from '../types.js';

const fillLimit = 1000;

/** Whoever is told. */
export interface Listener {
  send(message: object): void;
  sendText(text: string): void;
}

export interface HistoryAnswer {
  readonly epoch: string;
  readonly offset: number;
  readonly messages: readonly DataMessage[];
}

/** What a feed needs of its hub. */
export interface FeedHost {
  follow(channel: string, options: SubscribeOptions): void;
  unfollow(channel: string): void;
  /** The server is to tell who comes and goes, or not any more. */
  watch(channel: string, presence: boolean): void;
  /** The connection to the server stands, and what it had missed has come: what feeds know of their heads is true. */
  readonly isCurrent: boolean;
  /** `answer` or `refused` is called once. */
  history(
    what: { readonly channel: string; readonly since: Since | undefined; readonly limit: number; readonly reverse: boolean },
    answer: (answer: HistoryAnswer) => void,
    refused: (code: string, reason: string) => void,
  ): void;
  /** Once, some time from now. */
  later(call: () => void): void;
  /** Nobody follows it. */
  idle(feed: Feed): void;
}

interface Follower {
  readonly listener: Listener;
  options: SubscribeOptions;
  /** `waiting`: not told that it is subscribed; `filling`: it is being brought to where the feed is. */
  state: 'waiting' | 'filling' | 'live';
  /** Where it stands: the next offset; 0: wherever the first message is. */
  next: number;
  epoch: string;
}

/** A payload's member of a message: bytes have one of their own in JSON. */
export function payloadOf(payload: unknown): object {
  return payload instanceof Uint8Array ? { payloadBase64: toBase64(payload) } : { payload };
}

/** As a server writes it: the payload is last. */
export function dataOf({ channel, offset, id, payload, timestamp, from }: DataMessage): object {
  return { type: 'data', channel, offset, id, timestamp, ...(from === undefined ? {} : { from }), ...payloadOf(payload) };
}

function textOf(message: DataMessage): string {
  return JSON.stringify(dataOf(message));
}

export class Feed {
  private state: 'idle' | 'asked' | 'active' | 'leaving' = 'idle';
  private epoch = '';
  /** All up to here has been told. */
  private position = 0;
  /** Of the channel, when it was asked for: who begins at the head does not want what comes up to there. */
  private head = 0;
  /** With `last`, until the first message. */
  private isPlaced = false;
  private presence = false;
  /** It is followed in mode `latest`. */
  private latest = false;
  private readonly followers = new Map<Listener, Follower>();

  constructor(
    readonly channel: string,
    private readonly host: FeedHost,
  ) {}

  /* --- what a tab asks for --- */

  subscribe(listener: Listener, options: SubscribeOptions): void {
    const follower: Follower = { listener, options, state: 'waiting', next: 0, epoch: '' };
    this.followers.set(listener, follower);
    if (this.state === 'idle') this.ask(options);
    else if (this.state === 'active' && this.latest && options.mode !== 'latest') this.leave();
    else if (this.state === 'active') this.place(follower, this.host.isCurrent);
    this.matchPresence();
  }

  /** Be told who comes and goes, or not any more. False: it does not follow. */
  watch(listener: Listener, presence: boolean): boolean {
    const follower = this.followers.get(listener);
    if (follower === undefined) return false;
    follower.options = { ...follower.options, presence };
    this.matchPresence();
    const { epoch, next } = follower;
    // One that has not been told yet will be.
    if (follower.state !== 'waiting') listener.send({ type: 'subscribed', channel: this.channel, epoch, offset: Math.max(0, next - 1), recovered: true });
    return true;
  }

  /** False: it does not follow. */
  unsubscribe(listener: Listener): boolean {
    const known = this.followers.delete(listener);
    if (known && this.followers.size === 0 && this.state === 'active') this.leave();
    this.matchPresence();
    return known;
  }

  /** Send again what follows this offset. */
  sync(listener: Listener, offset: number): void {
    const follower = this.followers.get(listener);
    if (follower === undefined || follower.state === 'waiting') return;
    follower.next = offset + 1;
    this.fill(follower);
  }

  /* --- what the server says --- */

  /** A subscription that no tab asked for: the backend made it, for all of them. */
  adopted(listeners: readonly Listener[], epoch: string, head: number): void {
    this.epoch = epoch;
    this.position = this.head = head;
    this.isPlaced = true;
    this.state = 'active';
    for (const listener of listeners) this.subscribe(listener, {});
  }

  /** head: the channel's, which messages behind `offset` may still lead up to. */
  subscribed(epoch: string, offset: number, recovered: boolean, head = offset): void {
    this.epoch = epoch;
    this.head = head;
    if (this.state !== 'asked') return;
    this.state = 'active';
    const [first] = this.followers.values();
    // In mode `latest` the head's own message is still to come.
    this.position = this.latest ? Math.max(offset, head - 1) : offset;
    this.isPlaced = offset > 0 || first === undefined || (first.options.last ?? 0) === 0;
    if (this.followers.size === 0 || (this.latest && !this.wantsLatest())) {
      this.leave();
      return;
    }
    this.matchPresence();
    for (const follower of [...this.followers.values()]) {
      if (follower !== first || follower.options !== this.askedWith) this.place(follower, true);
      else this.begin(follower, this.isPlaced ? offset + 1 : 0, recovered);
    }
  }

  message(message: DataMessage, epoch: string): void {
    const { offset } = message;
    let text: string | undefined;
    this.epoch = epoch;
    this.position = offset;
    this.isPlaced = true;
    for (const follower of [...this.followers.values()]) {
      if (follower.state !== 'live' || (follower.next > offset && follower.epoch === epoch)) continue;
      if (follower.next !== 0 && follower.next < offset && follower.options.mode !== 'latest') {
        this.fill(follower);
        continue;
      }
      follower.next = offset + 1;
      follower.epoch = epoch;
      follower.listener.sendText((text ??= textOf(message)));
    }
  }

  gap(epoch: string, from: number, to: number, code: string): void {
    const isNew = code === 'epoch';
    this.epoch = epoch;
    this.position = isNew ? 0 : to;
    if (isNew) this.head = 0;
    this.isPlaced = true;
    for (const follower of this.followers.values()) {
      if (follower.state === 'filling' || (follower.state === 'waiting' && follower.options !== this.askedWith)) continue;
      if (isNew || follower.next <= to) this.tellGap(follower, epoch, Math.max(from, follower.next), to, code); // What lies below its beginning it has not lost.
      follower.next = isNew ? 1 : Math.max(follower.next, to + 1);
      follower.epoch = epoch;
    }
  }

  presenceChanged(type: 'join' | 'leave', member: object): void {
    for (const { listener, options } of this.followers.values())
      if (options.presence === true) listener.send({ type, channel: this.channel, ...member });
  }

  /** Joins and leaves were left out, or are not told. isWished: the server knows that they are wanted. Else it may have refused just that, and is told once more when a tab wants them again. */
  presenceLost(code: string, reason: string, isWished = false): void {
    this.presence &&= isWished;
    for (const { listener, options, state } of this.followers.values())
      if (options.presence === true && state !== 'waiting') listener.send({ type: 'error', re: 'presence', channel: this.channel, code, reason });
  }

  /** code: the server decided; empty: it was asked to. */
  unsubscribed(code: string, reason: string): void {
    const wasAsked = this.state === 'asked';
    this.state = 'idle';
    if (code !== '') {
      for (const { listener, state } of this.followers.values())
        if (wasAsked || state === 'waiting') listener.send({ type: 'error', re: 'subscribe', channel: this.channel, code, reason });
        else listener.send({ type: 'unsubscribed', channel: this.channel, code, reason });
      this.followers.clear();
    }
    const [first] = this.followers.values();
    if (first === undefined) this.host.idle(this);
    else if (this.isPlaced) this.ask({ since: { epoch: this.epoch, offset: this.position } });
    else this.ask(first.options);
  }

  /* --- within --- */

  /** What it was asked with; the follower that brought it is told what comes. */
  private askedWith: SubscribeOptions | null = null;

  private ask(options: SubscribeOptions): void {
    const { since, last, mode } = options;
    this.state = 'asked';
    this.askedWith = options;
    this.presence = this.wantsPresence();
    this.latest = this.wantsLatest();
    // A tab that wants the newest value only is one of several here.
    const start: SubscribeOptions = this.latest ? { mode: 'latest' } : since !== undefined ? { since } : mode === 'latest' ? { last: 1 } : last !== undefined && last > 0 ? { last } : {};
    this.host.follow(this.channel, { ...start, presence: this.presence });
  }

  /** Ask for what the tabs want to know of who comes and goes, where that has changed. */
  private matchPresence(): void {
    const presence = this.wantsPresence();
    if (this.state !== 'active' || presence === this.presence) return;
    this.presence = presence;
    this.host.watch(this.channel, presence);
  }

  private wantsLatest(): boolean {
    return [...this.followers.values()].every(({ options }) => options.mode === 'latest');
  }

  private leave(): void {
    this.state = 'leaving';
    this.host.unfollow(this.channel);
  }

  private wantsPresence(): boolean {
    return [...this.followers.values()].some(({ options }) => options.presence === true);
  }

  private isFollowing(follower: Follower): boolean {
    return this.followers.get(follower.listener) === follower;
  }

  /** Told that it is subscribed, and live from there. */
  private begin(follower: Follower, next: number, recovered: boolean): void {
    const offset = Math.max(this.position, next - 1);
    follower.listener.send({ type: 'subscribed', channel: this.channel, epoch: this.epoch, offset, recovered });
    follower.epoch = this.epoch;
    follower.next = next;
    follower.state = 'live';
  }

  /** A follower of a feed that is active already. isCurrent: the head is the channel's. */
  private place(follower: Follower, isCurrent: boolean): void {
    const { since, last = 0, mode } = follower.options;
    if (follower.state !== 'waiting') {
      if (follower.epoch !== this.epoch || follower.next <= this.position) this.fill(follower); // The feed was asked anew.
      return;
    }
    if (since !== undefined) {
      follower.epoch = since.epoch;
      follower.next = since.offset + 1;
      if (since.epoch === this.epoch && since.offset >= this.position) this.begin(follower, follower.next, true);
      else this.fill(follower);
    } else if (last === 0 && mode !== 'latest' && this.isPlaced && isCurrent) {
      this.begin(follower, Math.max(this.position, this.head) + 1, true);
    } else {
      this.fillNewest(follower, mode === 'latest' ? 1 : last);
    }
  }

  /** The newest messages, then live. */
  private fillNewest(follower: Follower, count: number): void {
    const { channel } = this;
    this.host.history(
      { channel, since: undefined, limit: Math.min(Math.max(count, 1), fillLimit), reverse: true },
      ({ epoch, offset, messages }) => {
        if (!this.isFollowing(follower)) return;
        const newest = count === 0 ? [] : [...messages].reverse();
        follower.listener.send({ type: 'subscribed', channel, epoch, offset, recovered: true });
        for (const message of newest) follower.listener.sendText(textOf(message));
        follower.epoch = epoch;
        follower.next = offset + 1;
        this.filled(follower);
      },
      (code, reason) => this.refuse(follower, code, reason),
    );
  }

  /** All that follows where it stands, then live. */
  private fill(follower: Follower): void {
    const { channel } = this;
    const isNew = follower.state === 'waiting';
    const since = { epoch: follower.epoch, offset: follower.next - 1 };
    if (!isNew) follower.state = 'filling';
    this.host.history(
      { channel, since, limit: fillLimit, reverse: false },
      ({ epoch, offset: head, messages }) => {
        if (!this.isFollowing(follower)) return;
        const otherEpoch = epoch !== follower.epoch;
        if (otherEpoch) {
          this.tellGap(follower, epoch, 0, 0, 'epoch');
          follower.epoch = epoch;
          follower.next = 1;
        }
        const first = messages[0]?.offset ?? head + 1;
        const isGap = first > follower.next;
        if (isGap) {
          this.tellGap(follower, epoch, follower.next, first - 1, 'evicted');
          follower.next = first;
        }
        if (isNew) {
          follower.listener.send({ type: 'subscribed', channel, epoch, offset: head, recovered: !otherEpoch && !isGap });
          follower.state = 'filling';
        }
        for (const message of messages) {
          if (message.offset < follower.next) continue;
          follower.listener.sendText(textOf(message));
          follower.next = message.offset + 1;
        }
        this.filled(follower);
      },
      (code, reason) => this.refuse(follower, code, reason),
    );
  }

  /** It has what there was when it was asked for; what came since may be missing. */
  private filled(follower: Follower): void {
    if (follower.epoch !== this.epoch || follower.next <= this.position) {
      follower.state = 'filling';
      this.fill(follower);
    } else {
      follower.state = 'live';
    }
  }

  private refuse(follower: Follower, code: string, reason: string): void {
    if (!this.isFollowing(follower)) return;
    const isNew = follower.state === 'waiting';
    // A tab that is not subscribed yet asks again itself.
    if (!isNew && refusedForNow.includes(code)) {
      this.host.later(() => {
        if (this.isFollowing(follower)) this.fill(follower);
      });
      return;
    }
    const said = isNew ? { type: 'error', re: 'subscribe' } : { type: 'unsubscribed' };
    follower.listener.send({ ...said, channel: this.channel, code, reason });
    this.unsubscribe(follower.listener);
  }

  private tellGap({ listener }: Follower, epoch: string, from: number, to: number, code: string): void {
    const range = code === 'epoch' ? { from: null, to: null } : { from, to };
    listener.send({ type: 'gap', channel: this.channel, epoch, ...range, code });
  }
}
