/**
 * pool_member.ts - one session of a pool's. Publishes, subscriptions and requests are made below the application's interface, by their numbers, and what the session tells of them goes to the
 * pool; all the rest (tokens, heartbeats, networks, backing off) is an ordinary client's.
 */
import { wholeParts } from '../client/whole.js';
import type { SessionEvent } from '../core/events.js';
import type { Raw } from '../core/message.js';
import type { OutboxItem } from '../core/outbox.js';
import type { RequestWhat } from '../core/requests.js';
import type { Session } from '../core/session.js';
import { HoldfastError } from '../errors.js';
import { HoldfastClient } from '../holdfast.js';
import type { HoldfastOptions, Platform, SubscribeOptions } from '../types.js';

/** What a session had without an answer when it ended, by its publish ids, in their order. */
export interface Unanswered {
  /** The server may have got them. */
  readonly sent: readonly OutboxItem[];
  /** It cannot have got these. */
  readonly unsent: readonly OutboxItem[];
}

/** Whether it was the pool's. */
export type Tell = (event: SessionEvent) => boolean;

export class PoolMember extends HoldfastClient {
  private readonly tell: Tell;

  constructor(url: string, options: HoldfastOptions, platform: Platform, tell: Tell) {
    super(url, options, platform, wholeParts);
    this.tell = tell;
  }

  /** Whether a publish that takes so many bytes of the outbox is taken now. */
  hasRoom(bytes: number): boolean {
    const session = this.driver?.session;
    return session !== undefined && !session.closing && session.publishing.outbox.room(bytes) !== 'full';
  }

  /** Throws as Client.publish() rejects. The answer is this session's publish id. */
  publishRaw(channel: string, payload: Raw, id: string | undefined): number {
    return this.soon((session) => session.publishing.publish(channel, payload, id));
  }

  followRaw(channel: string, options: SubscribeOptions): void {
    this.soon((session, now) => session.channels.subscribe(channel, options, now));
  }

  unfollowRaw(channel: string): void {
    this.soon((session, now) => session.channels.unsubscribe(channel, now));
  }

  watchRaw(channel: string, presence: boolean): void {
    this.soon((session, now) => session.channels.watch(channel, presence, now));
  }

  askRaw(what: RequestWhat): number {
    return this.soon((session, now) => session.ask(what, now));
  }

  forgetRaw(requestId: number): void {
    this.driver?.session.questions?.forget(requestId);
  }

  /** The session has ended: take what has no answer. */
  takeUnanswered(): Unanswered {
    const sent: OutboxItem[] = [];
    const unsent: OutboxItem[] = [];
    const outbox = this.driver?.session.publishing.outbox;
    if (outbox === undefined) return { sent, unsent };
    const sentId = outbox.firstId + outbox.sent - 1;
    for (let item = outbox.take(); item !== undefined; item = outbox.take())
      if (item.refusal === undefined) (item.publishId <= sentId ? sent : unsent).push(item); // Refused ones have been told.
    return { sent, unsent };
  }

  protected override onEvent(event: SessionEvent): void {
    // It is undefined while the base class makes the session.
    if ((this.tell as Tell | undefined)?.(event) !== true) super.onEvent(event);
  }

  private soon<T>(call: (session: Session, now: number) => T): T {
    const { driver } = this;
    if (driver === null) throw new HoldfastError('closed', "the member's session has ended");
    return driver.soon((now) => call(driver.session, now));
  }
}
