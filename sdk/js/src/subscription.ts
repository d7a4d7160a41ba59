/** subscription.ts - what an application holds of a channel. */
import { gapNumbers, type GapCode } from './codes.js';
import type { DataMessage } from './core/message.js';
import { Emitter } from './emitter.js';
import { errorCode, HoldfastError, notHere } from './errors.js';
import { DeliveryQueue } from './queue.js';
import * as has from './features.js';
import type {
  Delivery,
  Gap,
  History,
  HistoryOptions,
  IterateOptions,
  Member,
  Message,
  Off,
  Position,
  Presence,
  Published,
  PublishOptions,
  Subscribed,
  SubscribeOptions,
  Subscription,
  SubscriptionEvents,
  Unsubscribed,
} from './types.js';

/** What a subscription needs of its client. */
export interface SubscriptionOwner {
  unsubscribe(channel: string): void;
  publish(channel: string, payload: unknown, options?: PublishOptions): Promise<Published>;
  history(channel: string, options?: HistoryOptions): Promise<History>;
  presence(channel: string): Promise<readonly Member[]>;
  /** Somebody listens to its `members`, or does not any more. */
  membersWanted(subscription: ChannelSubscription): void;
}

export class ChannelSubscription<P = unknown> implements Subscription<P> {
  state: Subscription['state'] = 'pending';
  position: Position | null = null;
  /** unsubscribe() was called: nothing is told any more but the end. The session sees to that. */
  leaving = false;
  private readonly emitter = new Emitter<SubscriptionEvents<P>>();
  /** @only iterates */
  private readonly queues = new Set<DeliveryQueue<P>>();
  private readonly ends: (() => void)[] = [];
  private began: Subscribed | null = null;
  private ended: Unsubscribed | null = null;

  constructor(
    readonly channel: string,
    readonly options: SubscribeOptions,
    private readonly owner: SubscriptionOwner,
  ) {
    this.position = options.since ?? null;
  }

  on<E extends keyof SubscriptionEvents<P>>(event: E, handler: (event: SubscriptionEvents<P>[E]) => void): Off {
    const off = this.emitter.on(event, handler);
    if (!has.asks || event !== 'members') return off;
    const changed = (): void => this.owner.membersWanted(this as unknown as ChannelSubscription);
    changed();
    return () => {
      off();
      changed();
    };
  }

  /** Somebody listens to `members`. @only asks */
  get wantsMembers(): boolean {
    return this.emitter.has('members');
  }

  /** The server is to tell who comes and goes. @only asks */
  get watched(): boolean {
    return this.options.presence === true || this.wantsMembers;
  }

  ready(): Promise<Subscribed> {
    if (this.began !== null) return Promise.resolve(this.began);
    return new Promise((resolve, reject) => {
      if (this.ended !== null) reject(endError(this.channel, this.ended));
      const offs = [
        this.on('subscribed', (event) => {
          for (const off of offs) off();
          resolve(event);
        }),
        this.on('unsubscribed', (event) => reject(endError(this.channel, event))),
      ];
    });
  }

  unsubscribe(): Promise<void> {
    if (this.state === 'ended') return Promise.resolve();
    return new Promise((resolve) => {
      this.ends.push(resolve);
      if (this.leaving) return;
      this.leaving = true;
      if (has.iterates) for (const queue of [...this.queues]) queue.end();
      this.owner.unsubscribe(this.channel);
    });
  }

  iterate(options: IterateOptions = {}): AsyncIterableIterator<Delivery<P>> {
    if (!has.iterates) throw notHere('iterate()');
    const queue: DeliveryQueue<P> = new DeliveryQueue<P>(options, () => this.queues.delete(queue));
    this.queues.add(queue);
    if (this.state === 'ended' || this.leaving) queue.end(this.ended?.error ?? null);
    queue.obey(options.signal);
    return queue;
  }

  [Symbol.asyncIterator](): AsyncIterableIterator<Delivery<P>> {
    return this.iterate();
  }

  publish(payload: P, options?: PublishOptions): Promise<Published> {
    return this.owner.publish(this.channel, payload, options);
  }

  history(options?: HistoryOptions): Promise<History<P>> {
    return this.owner.history(this.channel, options) as Promise<History<P>>;
  }

  presence(): Promise<readonly Member[]> {
    return this.owner.presence(this.channel);
  }

  /* --- told by the client --- */

  subscribed(event: Subscribed): void {
    this.state = 'active';
    this.began = event;
    this.position = { epoch: event.epoch, offset: event.offset };
    this.emitter.emit('subscribed', event);
  }

  message(message: Message<P>): void {
    this.position = { epoch: message.epoch, offset: message.offset };
    if (has.iterates && this.queues.size > 0) for (const queue of [...this.queues]) queue.push(message);
    this.emitter.emit('message', message);
  }

  /** Whether anybody was there to hear it. */
  gap(gap: Gap): boolean {
    this.position = { epoch: gap.epoch, offset: gap.to ?? 0 };
    const heard = (has.iterates && this.queues.size > 0) || this.emitter.has('gap');
    if (has.iterates) for (const queue of [...this.queues]) queue.push(gap);
    this.emitter.emit('gap', gap);
    return heard;
  }

  /** @only asks */
  membersAre(members: readonly Member[], error: HoldfastError | null): void {
    const { channel } = this;
    this.emitter.emit('members', { channel, members, error });
  }

  /** @only asks */
  presenceChanged(kind: 'join' | 'leave', event: Presence): void {
    this.emitter.emit(kind, event);
  }

  unsubscribed(error: HoldfastError | undefined): void {
    if (this.state === 'ended') return;
    const event = error === undefined ? { channel: this.channel } : { channel: this.channel, error };
    this.state = 'ended';
    this.ended = event;
    if (has.iterates) for (const queue of [...this.queues]) queue.end(error ?? null);
    this.emitter.emit('unsubscribed', event);
    for (const resolve of this.ends.splice(0)) resolve();
  }
}

function endError(channel: string, event: Unsubscribed): HoldfastError {
  return event.error ?? new HoldfastError('closed', `the subscription to "${channel}" was ended before it began`);
}

export function messageOf<P>(epoch: string, { channel, offset, id, payload, timestamp, from }: DataMessage): Message<P> {
  const common = { type: 'message', channel, epoch, offset, id, payload: payload as P, timestamp } as const;
  return from === undefined ? common : { ...common, from };
}

/** From a code as the server writes it. */
export function serverError(code: string, reason: string): HoldfastError {
  return new HoldfastError(errorCode(code), reason || `the server says: ${code}`, code);
}

export function gapCode(code: string): GapCode {
  return Object.hasOwn(gapNumbers, code) ? (code as GapCode) : 'unknown';
}
