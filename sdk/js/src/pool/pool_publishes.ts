/**
 * pool_publishes.ts - a pool's publishes: the queue before its members, what each member has been given, and the results. Which member takes which, and when, is decided in pool_core.ts.
 */
import { invalid, rawPayload } from '../client/options.js';
import type { SessionEvent } from '../core/events.js';
import { isChannelName, isLabel, utf8Length, type Raw } from '../core/message.js';
import { itemBytes, type OutboxItem } from '../core/outbox.js';
import { closedError, HoldfastError, PublishRefused, PublishUncertain } from '../errors.js';
import { serverError } from '../subscription.js';
import type { Published } from '../types.js';
import { memberOf } from './pool_core.js';
import type { Place, PoolHost, PoolPublish } from './pool_host.js';
import type { PoolMember } from './pool_member.js';
import type { PoolPublishOptions } from './pool_types.js';

type EventOf<T extends SessionEvent['type']> = Extract<SessionEvent, { type: T }>;

/** How much the queue takes. */
export interface QueueBounds {
  /** While no member is connected. */
  readonly queueMax: number;
  /** While one is. */
  readonly connectedQueueMax: number;
  readonly bytesMax: number;
}

export class PoolPublishes {
  /** Without a result. */
  unanswered = 0;
  /** Of what no member has. */
  private queueCount = 0;
  private queueBytes = 0;
  private lastId = 0;
  private readonly drainWaiters: (() => void)[] = [];

  constructor(
    private readonly host: PoolHost,
    private readonly bounds: QueueBounds,
  ) {}

  /* --- what the application asks for --- */

  publish(channel: string, payload: unknown, { id, key = channel }: PoolPublishOptions): Promise<Published> {
    const { host } = this;
    return new Promise((resolve, reject) => {
      if (host.isClosed) throw closedError();
      const raw = rawPayload(payload);
      const bytes = this.check(channel, raw, id);
      const putFor = key === null ? null : memberOf(key, host.places.length);
      this.checkQueue(bytes);
      const publish: PoolPublish = { publishId: ++this.lastId, channel, raw, id, bytes, putFor, resolve, reject };
      this.unanswered++;
      this.queued(publish, 1);
      host.core.put(publish, putFor, host.platform.now());
      this.handOut();
    });
  }

  /** Settles when none is without its result; or the pool has ended. */
  drain(): Promise<void> {
    if (this.unanswered === 0) return Promise.resolve();
    return new Promise((resolve) => this.drainWaiters.push(resolve));
  }

  /** The pool was closed: what no member has is rejected. */
  dropQueue(): void {
    const { core } = this.host;
    for (let publish = core.drop(); publish !== undefined; publish = core.drop()) {
      this.queued(publish, -1);
      this.refuseClosed(publish);
    }
  }

  /** The pool has ended. */
  end(): void {
    for (const resolve of this.drainWaiters.splice(0)) resolve();
  }

  /* --- to the members --- */

  /** Give the members what they take now. */
  handOut(): void {
    const { core, platform, isClosed } = this.host;
    const now = platform.now();
    for (let next = isClosed ? undefined : core.next(now); next !== undefined; next = core.next(now)) this.give(next.item, next.member);
    this.host.arm();
  }

  private give(publish: PoolPublish, member: number): void {
    const place = this.host.places[member] as Place;
    const { client } = place;
    const { channel, raw, id, bytes } = publish;
    // Where its session is just ending it has no room either, until the next is there.
    if (client === undefined || !client.hasRoom(bytes)) {
      this.host.core.full(publish, publish.putFor, member);
      return;
    }
    try {
      place.publishes.set(client.publishRaw(channel, raw, id), publish);
      place.counts.published++;
      this.queued(publish, -1);
    } catch (error) {
      this.queued(publish, -1);
      place.counts.published++;
      place.counts.refused++;
      this.settled();
      publish.reject(error);
    }
  }

  /** A session's last words: what the server may have got is uncertain, and the rest goes on in another. */
  takeUnanswered(place: Place, client: PoolMember): void {
    const { core, platform, isClosed } = this.host;
    const { sent, unsent } = client.takeUnanswered();
    for (const { publishId } of sent) this.uncertain(place, publishId);
    const publishOf = ({ publishId }: OutboxItem): PoolPublish[] => {
      const publish = place.publishes.get(publishId);
      place.publishes.delete(publishId);
      return publish === undefined ? [] : [publish];
    };
    const left = unsent.flatMap(publishOf);
    place.counts.published -= left.length;
    if (isClosed) {
      for (const publish of left) this.refuseClosed(publish);
      return;
    }
    for (const publish of left) this.queued(publish, 1);
    const now = platform.now();
    core.giveBack(left.filter(({ putFor }) => putFor !== null), place.member, now);
    core.giveBack(left.filter(({ putFor }) => putFor === null), null, now);
  }

  /* --- results --- */

  acked(place: Place, { publishId, channel, offset }: EventOf<'acked'>): void {
    const publish = this.result(place, publishId, 'acknowledged');
    publish?.resolve({ channel, offset: offset === 0 ? null : offset, publishId: publish.publishId });
    this.handOut();
  }

  refused(place: Place, { publishId, channel, code, reason }: EventOf<'refused'>): void {
    const { code: errorCode, message } = serverError(code, reason);
    this.result(place, publishId, 'refused')?.reject(new PublishRefused(channel, errorCode, message, code));
    this.handOut();
  }

  lost(place: Place, { publishId }: EventOf<'uncertain'>): void {
    this.uncertain(place, publishId);
    this.handOut();
  }

  private uncertain(place: Place, publishId: number): void {
    const publish = this.result(place, publishId, 'uncertain');
    if (publish === undefined) return;
    const { channel, id, raw } = publish;
    publish.reject(new PublishUncertain(channel, id, typeof raw === 'string' ? JSON.parse(raw) : raw));
  }

  /** undefined: it is not known. */
  private result(place: Place, publishId: number, outcome: 'acknowledged' | 'refused' | 'uncertain'): PoolPublish | undefined {
    const publish = place.publishes.get(publishId);
    if (publish === undefined) return undefined;
    place.publishes.delete(publishId);
    place.counts[outcome]++;
    this.host.core.room(place.member);
    this.settled();
    return publish;
  }

  /** A publish has its result. */
  private settled(): void {
    this.unanswered--;
    if (this.unanswered === 0) this.end();
  }

  private refuseClosed(publish: PoolPublish): void {
    this.settled();
    publish.reject(closedError());
  }

  /* --- bounds --- */

  /** What is wrong is told now, and not when its turn comes. The answer is what it takes of an outbox. */
  private check(channel: string, raw: Raw, id: string | undefined): number {
    if (!isChannelName(channel)) throw invalid(`"${channel}" names no channel: 1 to 255 bytes of UTF-8 without control characters do`);
    if (id !== undefined && !isLabel(id, true)) throw invalid('the id is longer than 255 bytes');
    const payloadBytes = typeof raw === 'string' ? utf8Length(raw) : raw.length;
    if (payloadBytes < 0) throw invalid('the payload holds half a surrogate pair');
    const bytes = itemBytes + utf8Length(channel) + payloadBytes + (id === undefined ? 0 : utf8Length(id));
    if (bytes > this.bounds.bytesMax)
      throw new HoldfastError('too_large', 'the publish is larger than the whole outbox of a member: see the option "outboxBytes"');
    return bytes;
  }

  private checkQueue(bytes: number): void {
    const { queueMax, connectedQueueMax, bytesMax } = this.bounds;
    const isConnectedNow = this.host.core.connectedCount > 0;
    const max = isConnectedNow ? connectedQueueMax : queueMax;
    if (this.queueCount < max && this.queueBytes + bytes <= bytesMax) return;
    throw new HoldfastError(
      'outbox_full',
      isConnectedNow
        ? `${this.queueCount} publishes wait for room in the members' outboxes: publish again when some have settled, or see the options "connections" and "connectedQueueMax"`
        : `no member is connected, and ${this.queueCount} publishes wait for that: publish again later, or see the option "queueMax"`,
    );
  }

  private queued({ bytes }: PoolPublish, more: 1 | -1): void {
    this.queueCount += more;
    this.queueBytes += more * bytes;
  }
}
