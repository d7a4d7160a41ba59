/** client/channels.ts - an application's subscriptions: one to a channel, and behind its end perhaps the next. */
import type { SessionEvent } from '../core/events.js';
import { isChannelName } from '../core/message.js';
import { closedError, HoldfastError } from '../errors.js';
import { ChannelSubscription, gapCode, messageOf, serverError, type SubscriptionOwner } from '../subscription.js';
import type { Gap, Member, SubscribeOptions } from '../types.js';
import * as has from '../features.js';
import type { Host } from './host.js';
import { invalid } from './options.js';
import { PresenceWatch } from './presence.js';
import type { Requests } from './requests.js';

type EventOf<T extends SessionEvent['type']> = Extract<SessionEvent, { type: T }>;

export class ClientChannels {
  private readonly all = new Map<string, ChannelSubscription>();
  /** Subscribed to anew while the channel's last subscription is not over yet. */
  private readonly following = new Map<string, ChannelSubscription>();
  /** @only asks */
  presence: PresenceWatch | null = null;

  constructor(
    private readonly host: Host,
    private readonly owner: SubscriptionOwner,
  ) {}

  /** By these requests it is asked who is there. @only asks */
  askBy(requests: Requests | null): void {
    this.presence = presenceOf(this.host, requests);
  }

  subscribe(channel: string, options: SubscribeOptions): ChannelSubscription {
    const { driver } = this.host;
    const last = this.all.get(channel);
    const made = new ChannelSubscription(channel, options, this.owner);
    if (last?.leaving === true && !this.following.has(channel)) {
      this.following.set(channel, made); // Behind the last one's end.
      return made;
    }
    if (last !== undefined)
      throw new HoldfastError('exists', `"${channel}" is followed already: subscription("${channel}") gives its subscription`);
    if (has.keepsOutbox && driver === null) this.checkEarly(channel);
    else driver?.soon((now) => driver.session.channels.subscribe(channel, options, now));
    this.all.set(channel, made);
    if (has.keepsOutbox && driver === null) this.host.later(() => this.follow(made));
    return made;
  }

  find(channel: string): ChannelSubscription | undefined {
    const found = this.following.get(channel) ?? this.all.get(channel);
    return found === undefined || found.leaving ? undefined : found;
  }

  /** The application wants it no more. */
  leave(channel: string): void {
    this.host.later(() => {
      const following = this.following.get(channel);
      if (following?.leaving === true) {
        // It had not begun.
        this.following.delete(channel);
        following.unsubscribed(undefined);
        return;
      }
      const { driver } = this.host;
      driver?.soon((now) => driver.session.channels.unsubscribe(channel, now));
    });
  }

  /* --- what the session tells --- */

  message({ epoch, message }: EventOf<'message'>): void {
    const subscription = this.all.get(message.channel);
    if (subscription === undefined) return;
    const told = messageOf(epoch, message);
    subscription.message(told);
    this.host.emitter.emit('message', told);
  }

  subscribed({ channel, epoch, offset, recovered }: EventOf<'subscribed'>): void {
    const subscription = this.subscriptionOf(channel);
    subscription.subscribed({ channel, epoch, offset, recovered });
    if (has.asks) this.presence?.ask(subscription);
  }

  unsubscribed({ channel, code, reason }: EventOf<'unsubscribed'>): void {
    const next = this.following.get(channel);
    const last = this.all.get(channel);
    this.following.delete(channel);
    if (next === undefined) this.all.delete(channel);
    else this.all.set(channel, next);
    if (has.asks && last !== undefined) this.presence?.ended(last);
    last?.unsubscribed(code === '' ? undefined : serverError(code, reason));
    if (next !== undefined) this.follow(next);
  }

  gap({ channel, epoch, from, to, code }: EventOf<'gap'>): void {
    const { emitter, platform } = this.host;
    const offsets = code === 'epoch' ? { from: null, to: null } : { from, to };
    const gap: Gap = { type: 'gap', channel, epoch, ...offsets, code: gapCode(code) };
    const heard = this.all.get(channel)?.gap(gap) === true;
    if (!heard && !emitter.has('gap'))
      platform.warn(
        has.explains
          ? `holdfast: messages ${from} to ${to} of "${channel}" cannot be had (${code}), and nobody listens to that: see the event "gap"`
          : `holdfast: gap:${channel}`,
      );
    emitter.emit('gap', gap);
  }

  /** @only asks */
  presenceChanged({ kind, channel, member }: EventOf<'presence'>): void {
    this.all.get(channel)?.presenceChanged(kind, { channel, ...member });
  }

  /** @only asks */
  presenceLost({ channel, code, reason }: EventOf<'presenceLost'>): void {
    const subscription = this.all.get(channel);
    if (subscription === undefined || this.presence?.lost(subscription, code, reason) !== true) this.host.problem(serverError(code, reason), channel);
  }

  /** The client has ended, and all of them with it. */
  end(): void {
    for (const subscription of [...this.all.values(), ...this.following.values()]) {
      if (has.asks) this.presence?.ended(subscription);
      subscription.unsubscribed(subscription.leaving ? undefined : closedError());
    }
    this.all.clear();
    this.following.clear();
  }

  /* --- within --- */

  private follow(subscription: ChannelSubscription): void {
    const { driver } = this.host;
    const { channel } = subscription;
    const options = has.asks ? { ...subscription.options, presence: subscription.watched } : subscription.options;
    try {
      if (driver === null) throw closedError();
      driver.soon((now) => driver.session.channels.subscribe(channel, options, now));
    } catch (error) {
      this.all.delete(channel);
      subscription.unsubscribed(error instanceof HoldfastError ? error : invalid(String(error)));
    }
  }

  /** @only keepsOutbox */
  private checkEarly(channel: string): void {
    if (this.host.stillborn) throw closedError();
    if (!isChannelName(channel)) throw invalid(`"${channel}" names no channel: 1 to 255 bytes of UTF-8 without control characters do`);
  }

  /** The one that a channel's events are for: one that the backend made is made here, too. */
  private subscriptionOf(channel: string): ChannelSubscription {
    const known = this.all.get(channel);
    if (known !== undefined) return known;
    const made = new ChannelSubscription(channel, {}, this.owner);
    this.all.set(channel, made);
    this.host.emitter.emit('subscription', made);
    return made;
  }
}

/** @only asks */
function presenceOf(host: Host, requests: Requests | null): PresenceWatch {
  const { platform } = host;
  return new PresenceWatch({
    ask: (channel, answer, failed) => {
      const resolve = (members: unknown): void => answer(members as readonly Member[]);
      const reject = (error: unknown): void => failed(error instanceof HoldfastError ? error : invalid(String(error)));
      requests?.put({ type: 'presence', channel }, 0, { resolve, reject });
    },
    watch: (channel, presence) => {
      const { driver } = host;
      driver?.soon((now) => driver.session.channels.watch(channel, presence, now));
    },
    now: () => platform.now(),
    timer: (delay, callback) => platform.timer(delay, callback),
    random: () => platform.random(),
  });
}
