/**
 * client/presence.ts - keeps those who listen to `members` of a subscription told who is there. The whole list is asked for when the server has confirmed the subscription, after each break ("What happened
 * while the connection was broken is not told after the resume": docs/protocol.md "Presence"), and where the server says that it has left events out. What is told of joins and leaves behind a list is
 * a change to it. One question is under way for each subscription, at most. What is lost while it is may also be the wish for joins and leaves, which the server has refused for now: behind the answer both are
 * asked for anew.
 */
import { refusedForNow } from '../core/channels.js';
import type { HoldfastError } from '../errors.js';
import { serverError, type ChannelSubscription } from '../subscription.js';
import type { Member } from '../types.js';

/** Before a list is asked for that was lost, or refused for now: a random part of that. It doubles while such follow each other, and is the least again after a calm minute. */
const pauseMsMin = 1000;
const pauseMsMax = 30_000;
const calmMs = 60_000;

/** What is to be asked again, whoever has refused it. */
const again: readonly string[] = [...refusedForNow.filter((code) => code !== 'unavailable'), 'requests_full'];

/** What this needs of its client, or pool. */
export interface PresenceHost {
  /** Who is there; one of the two is called once, before what comes behind the answer is told. It waits for a connection for as long as that takes. */
  ask(channel: string, answer: (members: readonly Member[]) => void, failed: (error: HoldfastError) => void): void;
  /** The server is to tell who comes and goes, or not any more. */
  watch(channel: string, presence: boolean): void;
  now(): number;
  timer(delay: number, callback: () => void): () => void;
  /** From 0 to 1. */
  random(): number;
}

interface Watch {
  /** The server was told so. */
  presence: boolean;
  isAsking: boolean;
  /** Something was, while it was asking. */
  isLost: boolean;
  cancel: (() => void) | null;
  /** Pauses without a calm minute between them. */
  pauses: number;
  pausedAt: number;
}

export class PresenceWatch {
  private readonly all = new Map<ChannelSubscription, Watch>();

  constructor(private readonly host: PresenceHost) {}

  /** Somebody listens to `members`, or does not any more. */
  changed(subscription: ChannelSubscription): void {
    const { state, leaving } = subscription;
    if (state === 'ended' || leaving) return;
    const watch = this.all.get(subscription) ?? { presence: subscription.options.presence === true, isAsking: false, isLost: false, cancel: null, pauses: 0, pausedAt: -Infinity };
    this.all.set(subscription, watch);
    this.wish(subscription, watch);
    this.ask(subscription);
  }

  /** The connection was broken, and the session goes on. */
  resumed(): void {
    for (const subscription of this.all.keys()) this.ask(subscription);
  }

  /** The server has left events out, or tells no more of them. False: nobody wants to know. */
  lost(subscription: ChannelSubscription, code: string, reason: string): boolean {
    const watch = this.all.get(subscription);
    if (watch === undefined || !subscription.wantsMembers) return false;
    watch.presence = false; // Or may be: it is told so once more when it is asked again.
    if (!again.includes(code)) subscription.membersAre([], serverError(code, reason));
    else if (watch.isAsking) watch.isLost = true;
    else this.askLater(subscription, watch);
    return true;
  }

  ended(subscription: ChannelSubscription): void {
    this.all.get(subscription)?.cancel?.();
    this.all.delete(subscription);
  }

  /** The server has confirmed it, perhaps in a new session; or it goes on behind a break. Does nothing where nobody listens, or the answer is still to come. */
  ask(subscription: ChannelSubscription): void {
    const watch = this.all.get(subscription);
    if (watch === undefined || watch.isAsking || !subscription.wantsMembers || subscription.state !== 'active') return;
    watch.cancel?.();
    watch.cancel = null;
    this.wish(subscription, watch);
    watch.isAsking = true;
    watch.isLost = false;
    this.host.ask(
      subscription.channel,
      (members) => this.answered(subscription, members, null),
      (error) => this.answered(subscription, [], error),
    );
  }

  private wish({ channel, watched }: ChannelSubscription, watch: Watch): void {
    if (watch.presence !== watched) this.host.watch(channel, watched);
    watch.presence = watched;
  }

  private answered(subscription: ChannelSubscription, members: readonly Member[], error: HoldfastError | null): void {
    const watch = this.all.get(subscription);
    if (watch === undefined) return; // It has ended meanwhile.
    watch.isAsking = false;
    if (error?.code === 'closed') return; // So has the client, which is told otherwise.
    if (watch.isLost || (error !== null && again.includes(error.serverCode ?? error.code))) this.askLater(subscription, watch);
    subscription.membersAre(members, error);
  }

  private askLater(subscription: ChannelSubscription, watch: Watch): void {
    const { host } = this;
    if (watch.cancel !== null) return;
    const now = host.now();
    watch.pauses = now - watch.pausedAt > calmMs ? 1 : watch.pauses + 1;
    watch.pausedAt = now;
    const most = Math.min(pauseMsMax, pauseMsMin * 2 ** (watch.pauses - 1));
    watch.cancel = host.timer((most * (1 + 3 * host.random())) / 4, () => {
      watch.cancel = null;
      this.changed(subscription);
    });
  }
}
