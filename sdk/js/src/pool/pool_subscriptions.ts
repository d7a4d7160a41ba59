/**
 * pool_subscriptions.ts - a pool's subscriptions: each is followed by one member (pool_channels.ts says which), and by that one's next session when its session has ended. What other members hear of the
 * channel, because the backend subscribed all sessions of the user, is told to nobody.
 */
import { invalid } from '../client/options.js';
import { PresenceWatch } from '../client/presence.js';
import { checkStart } from '../core/channels.js';
import type { SessionEvent } from '../core/events.js';
import { closedError, HoldfastError } from '../errors.js';
import { ChannelSubscription, gapCode, messageOf, serverError } from '../subscription.js';
import type { Gap, History, HistoryOptions, Member, SubscribeOptions } from '../types.js';
import type { PoolAsks } from './pool_asks.js';
import { PoolChannels, type PoolChannel } from './pool_channels.js';
import type { Place, PoolHost } from './pool_host.js';
import type { PoolPublishes } from './pool_publishes.js';

type EventOf<T extends SessionEvent['type']> = Extract<SessionEvent, { type: T }>;

export class PoolSubscriptions {
  private readonly channels: PoolChannels;
  private readonly presence: PresenceWatch;

  /** Each member may follow `memberCountMax` channels. */
  constructor(
    private readonly host: PoolHost,
    private readonly publishes: PoolPublishes,
    private readonly asks: PoolAsks,
    memberCountMax: number,
  ) {
    const { platform, places } = host;
    this.channels = new PoolChannels(places.length, memberCountMax);
    this.presence = new PresenceWatch({
      ask: (channel, answer, failed) => {
        const resolve = (members: unknown): void => answer(members as readonly Member[]);
        const reject = (error: unknown): void => failed(error instanceof HoldfastError ? error : invalid(String(error)));
        // Of the member that is told who comes and goes: only its answer stands in the order of that.
        asks.ask({ type: 'presence', channel }, this.channels.find(channel)?.member ?? null, 0, { resolve, reject });
      },
      watch: (channel, presence) => this.clientOf(this.channels.find(channel))?.watchRaw(channel, presence),
      now: () => platform.now(),
      timer: (delay, callback) => platform.timer(delay, callback),
      random: () => platform.random(),
    });
  }

  /* --- what the application asks for --- */

  subscribe(channel: string, options: SubscribeOptions): ChannelSubscription {
    const wrong = checkStart(channel, options);
    if (this.host.isClosed) throw closedError();
    if (wrong !== undefined) throw invalid(wrong);
    const subscription = this.make(channel, options);
    const last = this.channels.find(channel);
    if (last === undefined) {
      this.follow(this.channels.add(subscription, this.memberFor(channel)));
      return subscription;
    }
    if (!last.subscription.leaving || last.following !== undefined)
      throw new HoldfastError('exists', `"${channel}" is followed already: subscription("${channel}") gives its subscription`);
    last.following = subscription;
    return subscription;
  }

  find(channel: string): ChannelSubscription | undefined {
    const entry = this.channels.find(channel);
    const found = entry?.following ?? entry?.subscription;
    return found === undefined || found.leaving ? undefined : found;
  }

  history(channel: string, { since, limit = 100, reverse = false }: HistoryOptions = {}): Promise<History> {
    return this.asks.put({ type: 'history', channel, since, limit, reverse }, null) as Promise<History>;
  }

  members(channel: string): Promise<readonly Member[]> {
    return this.asks.put({ type: 'presence', channel }, null) as Promise<readonly Member[]>;
  }

  /* --- what happens to members --- */

  /** Another session stands in its place. */
  replaced({ member }: Place): void {
    for (const entry of this.channels.of(member)) {
      if (entry.subscription.leaving) this.ended(entry, undefined);
      else this.follow(entry);
    }
  }

  /** Its connection was broken, and its session goes on. */
  resumed({ member }: Place): void {
    for (const { subscription } of this.channels.of(member)) this.presence.ask(subscription);
  }

  /** The pool has ended, and all of them with it. */
  end(): void {
    for (const entry of this.channels.list()) {
      this.channels.remove(entry);
      for (const each of [entry.subscription, entry.following]) {
        if (each !== undefined) this.presence.ended(each);
        each?.unsubscribed(each.leaving ? undefined : closedError());
      }
    }
  }

  /* --- what a session tells --- */

  /** Whether it was about a channel. */
  told(place: Place, event: SessionEvent): boolean {
    switch (event.type) {
      case 'message':
        this.onMessage(place, event);
        return true;
      case 'gap':
        this.onGap(place, event);
        return true;
      case 'subscribed':
        this.onSubscribed(place, event);
        return true;
      case 'unsubscribed':
        this.onUnsubscribed(place, event);
        return true;
      case 'presence': {
        const { kind, channel, member } = event;
        this.own(place, channel)?.subscription.presenceChanged(kind, { channel, ...member });
        return true;
      }
      case 'presenceLost':
        this.onPresenceLost(place, event);
        return true;
      default:
        return false;
    }
  }

  private onMessage(place: Place, { epoch, message }: EventOf<'message'>): void {
    const entry = this.own(place, message.channel);
    if (entry === undefined) return;
    const told = messageOf(epoch, message);
    entry.subscription.message(told);
    this.host.emitter.emit('message', told);
  }

  private onGap(place: Place, { channel, epoch, from, to, code }: EventOf<'gap'>): void {
    const { emitter, platform } = this.host;
    const entry = this.own(place, channel);
    if (entry === undefined) return;
    const offsets = code === 'epoch' ? { from: null, to: null } : { from, to };
    const gap: Gap = { type: 'gap', channel, epoch, ...offsets, code: gapCode(code) };
    if (!entry.subscription.gap(gap) && !emitter.has('gap'))
      platform.warn(`holdfast: messages ${from} to ${to} of "${channel}" cannot be had (${code}), and nobody listens to that: see the event "gap"`);
    emitter.emit('gap', gap);
  }

  private onSubscribed(place: Place, { channel, epoch, offset, recovered }: EventOf<'subscribed'>): void {
    let entry = this.channels.find(channel);
    if (entry === undefined) {
      // The backend made it.
      entry = this.channels.add(this.make(channel, {}), place.member);
      this.host.emitter.emit('subscription', entry.subscription);
    } else if (entry.member !== place.member) {
      place.client?.unfollowRaw(channel); // It made it for each of the user's sessions, and one is enough.
      return;
    }
    entry.refusedBy.clear();
    entry.subscription.subscribed({ channel, epoch, offset, recovered });
    this.presence.ask(entry.subscription);
  }

  private onUnsubscribed(place: Place, { channel, code, reason }: EventOf<'unsubscribed'>): void {
    const entry = this.own(place, channel);
    if (entry === undefined) return;
    if (entry.blocked) {
      this.follow(entry);
      return;
    }
    if (code === 'limit' && !entry.subscription.leaving && this.moveElsewhere(entry)) return;
    this.ended(entry, code === '' ? undefined : serverError(code, reason));
  }

  private onPresenceLost(place: Place, { channel, code, reason }: EventOf<'presenceLost'>): void {
    const entry = this.own(place, channel);
    if (entry !== undefined && !this.presence.lost(entry.subscription, code, reason)) this.host.problem(serverError(code, reason), place.member, channel);
  }

  /* --- within --- */

  /** A channel that this member follows; of one that another does nothing is told twice. */
  private own({ member }: Place, channel: string): PoolChannel | undefined {
    const entry = this.channels.find(channel);
    return entry?.member === member ? entry : undefined;
  }

  private clientOf(entry: PoolChannel | undefined): Place['client'] {
    return entry === undefined ? undefined : this.host.places[entry.member]?.client;
  }

  private make(channel: string, options: SubscribeOptions): ChannelSubscription {
    return new ChannelSubscription(channel, options, {
      unsubscribe: (name) => this.leave(name),
      publish: (name, payload, how) => this.publishes.publish(name, payload, how ?? {}),
      history: (name, what) => this.history(name, what),
      presence: (name) => this.members(name),
      membersWanted: (subscription) => this.presence.changed(subscription),
    });
  }

  private memberFor(channel: string): number {
    const member = this.channels.leastBusy();
    if (member === undefined)
      throw new HoldfastError('limit', `each member follows as many channels as it may, so that none can follow "${channel}": see the options "connections" and "subscriptions"`);
    return member;
  }

  /** Ask the channel's member for it, from where the application stands; where the member has no session, the next one will be. */
  private follow(entry: PoolChannel): void {
    const { channel, subscription } = entry;
    const { last: _, ...more } = subscription.options;
    const { position, watched: presence } = subscription;
    const options = subscription.options.mode === 'latest' || position === null ? subscription.options : { ...more, since: position };
    entry.blocked = false;
    try {
      this.clientOf(entry)?.followRaw(channel, { ...options, presence });
    } catch (error) {
      const code = error instanceof HoldfastError ? error.code : 'internal';
      if (code === 'exists') entry.blocked = true;
      else if (code !== 'closed') this.ended(entry, error instanceof HoldfastError ? error : invalid(String(error)));
    }
  }

  private leave(channel: string): void {
    const entry = this.channels.find(channel);
    if (entry === undefined) return;
    const { following } = entry;
    if (following?.leaving === true) {
      // It had not begun.
      entry.following = undefined;
      following.unsubscribed(undefined);
      return;
    }
    const client = this.clientOf(entry);
    if (client === undefined || entry.blocked) this.ended(entry, undefined);
    else client.unfollowRaw(channel);
  }

  private ended(entry: PoolChannel, error: HoldfastError | undefined): void {
    const { subscription, following, member } = entry;
    this.channels.remove(entry);
    const next = following === undefined || this.host.isClosed ? undefined : this.channels.add(following, this.channels.leastBusy() ?? member);
    this.presence.ended(subscription);
    subscription.unsubscribed(error);
    if (next !== undefined) this.follow(next);
    else following?.unsubscribed(closedError());
  }

  /** The server takes no more for this member's session: whether another has room. */
  private moveElsewhere(entry: PoolChannel): boolean {
    entry.refusedBy.add(entry.member);
    const member = this.channels.leastBusy(entry.refusedBy);
    if (member === undefined) return false;
    this.channels.move(entry, member);
    this.follow(entry);
    return true;
  }
}
