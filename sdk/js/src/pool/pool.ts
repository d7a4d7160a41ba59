/**
 * pool.ts - several sessions that publish and subscribe as one, for programs in Node, Deno and Bun; its own entry point:
 *
 *     import { HoldfastPool } from 'holdfast-client/pool';
 *     const pool = new HoldfastPool('wss://push.example.org/ws', { connections: 4 });
 *
 * It is to `Holdfast` what hf_pool is to hf_client in C (docs/pool.md). Which member takes what is decided in pool_core.ts and pool_channels.ts; here the members are made and replaced, and what they
 * tell is told in the application's terms.
 */
import { checkBound, checkUrls, invalid, rawPayload } from '../client/options.js';
import { checkStart } from '../core/channels.js';
import type { SessionEvent } from '../core/events.js';
import { toleranceMsMax } from '../core/heartbeat.js';
import { isChannelName, isHeaderToken, isLabel, utf8Length, type Raw } from '../core/message.js';
import { itemBytes, type OutboxItem } from '../core/outbox.js';
import { randomFrom } from '../core/random.js';
import { Emitter } from '../emitter.js';
import { closedError, HoldfastError, PublishRefused, PublishUncertain } from '../errors.js';
import { wsTransport } from '../platform/node.js';
import { systemPlatform } from '../platform/system.js';
import { ChannelSubscription, gapCode, messageOf, serverError } from '../subscription.js';
import type {
  AnyChannels,
  ChannelMap,
  ChannelName,
  Disconnected,
  Gap,
  History,
  HistoryOptions,
  HoldfastOptions,
  Member,
  Message,
  Off,
  Payload,
  Platform,
  Published,
  SubscribeOptions,
  Subscription,
} from '../types.js';
import { PoolAsks } from './pool_asks.js';
import { PoolChannels, type PoolChannel } from './pool_channels.js';
import { memberOf, membersMax, PoolCore, type PutFor } from './pool_core.js';
import { PoolMember } from './pool_member.js';
import type { PoolEvents, PoolMemberState, PoolOptions, PoolPublishOptions, PoolStatistics } from './pool_types.js';

export type { OfMember, PoolEvents, PoolMemberState, PoolOptions, PoolPublishOptions, PoolStatistics } from './pool_types.js';
export * from '../types.js';
export { causeNumbers, causeTexts, closeCodes, errorNumbers, gapNumbers, stateNumbers } from '../codes.js';
export { HoldfastError, PublishRefused, PublishUncertain } from '../errors.js';
export { webSocketTransport } from '../platform/websocket.js';

/** One publish of the application's, until its result is known. */
interface PoolPublish {
  readonly publishId: number;
  readonly channel: string;
  readonly raw: Raw;
  readonly id: string | undefined;
  readonly bytes: number;
  readonly putFor: PutFor;
  resolve(published: Published): void;
  reject(error: unknown): void;
}

/** A place in the pool. */
interface Place {
  readonly member: number;
  /** undefined: its session has ended, and the next is not made yet. */
  client: PoolMember | undefined;
  urlIndex: number;
  /** Of the present session. */
  connections: number;
  /** By the session's publish ids. */
  readonly publishes: Map<number, PoolPublish>;
  readonly counts: { published: number; acknowledged: number; refused: number; uncertain: number; reconnects: number; replaced: number };
}

/**
 * A pool: publishes and channels are spread over several sessions, of which each lives through all breaks of its connection. Publishes of one key (of one channel, where none is given) are applied in the order
 * in which they were made, each exactly once or with a rejection that says what became of it; a channel's messages come once and in order. Where a member's connection is away, what belongs to it waits, and the
 * others go on. Where a member's session ends for good, another is made in its place, at once after one that had been connected for ten seconds, else after a pause that doubles from half a second to
 * thirty.
 *
 *     const pool = new HoldfastPool(['ws://a.example.org/ws', 'ws://b.example.org/ws'], { connections: 4 });
 *     pool.on('memberEnded', ({ member, evidence }) => console.log(member, evidence));
 *     await pool.publish('quotes', { bid: 1.0842 }, { key: 'EURUSD' });
 *     await pool.drain();
 *     await pool.close();
 *
 * Member i connects to the URL i modulo their number, and after a session that was never connected to the next one: all must lead to servers that share their channels.
 */
export class HoldfastPool<M extends ChannelMap = AnyChannels> {
  private readonly emitter = new Emitter<PoolEvents>();
  private readonly urls: readonly string[];
  private readonly platform: Platform;
  private readonly places: readonly Place[];
  private readonly core: PoolCore<PoolPublish>;
  private readonly channels: PoolChannels;
  private readonly asks: PoolAsks;
  /** What the next session is made with. */
  private memberOptions: HoldfastOptions;
  private readonly queueMax: number;
  private readonly connectedQueueMax: number;
  private readonly queueBytesMax: number;
  /** Of what no member has. */
  private queueCount = 0;
  private queueBytes = 0;
  private unansweredCount = 0;
  private lastPublishId = 0;
  private isClosed = false;
  private hasEnded = false;
  private cancelTimer: () => void = () => undefined;
  private timerAt = Infinity;
  private readonly connectedWaiters: { resolve(): void; reject(error: unknown): void }[] = [];
  private readonly drainWaiters: (() => void)[] = [];
  private readonly closeWaiters: (() => void)[] = [];

  /** The members begin to connect at once. Throws `invalid` where a URL or an option makes no sense. */
  constructor(url: string | readonly string[], options: PoolOptions = {}) {
    const { connections, queueMax, connectedQueueMax, flushInterval, storage, ...member } = options;
    if (storage !== undefined && 'outbox' in storage && storage.outbox !== undefined)
      throw invalid('"storage.outbox" is for one session, and a pool has several: leave it out, or use `Holdfast`');
    this.urls = checkUrls(url);
    this.platform = options.platform ?? systemPlatform(wsTransport);
    this.memberOptions = { ...member, platform: this.platform, ...(storage?.heartbeat === undefined ? {} : { storage: { heartbeat: storage.heartbeat } }) };
    const count = checkBound('connections', connections, 3, 1, membersMax);
    this.queueMax = checkBound('queueMax', queueMax, 100, 1, 2 ** 31);
    this.connectedQueueMax = checkBound('connectedQueueMax', connectedQueueMax, 10_000, 1, 2 ** 31);
    this.queueBytesMax = checkBound('outboxBytes', options.outboxBytes, 16 * 1024 * 1024, 1, 2 ** 30);
    const flushIntervalMs = checkBound('flushInterval', flushInterval, 100, 1, 60_000);
    const timeoutMs = checkBound('requestTimeout', options.requestTimeout, 30_000, 0, 86_400_000);
    const { platform } = this;
    this.core = new PoolCore(count, flushIntervalMs, randomFrom(() => platform.random()), platform.now());
    this.channels = new PoolChannels(count, checkBound('subscriptions', options.subscriptions, 256, 0, 100_000));
    this.places = Array.from({ length: count }, (_, i) => ({
      member: i,
      client: undefined,
      urlIndex: i % this.urls.length,
      connections: 0,
      publishes: new Map<number, PoolPublish>(),
      counts: { published: 0, acknowledged: 0, refused: 0, uncertain: 0, reconnects: 0, replaced: 0 },
    }));
    const { places, core } = this;
    this.asks = new PoolAsks(
      {
        count,
        client: (i) => places[i]?.client,
        isUp: (i) => core.isUp(i),
        now: () => platform.now(),
        timer: (delay, callback) => platform.timer(delay, callback),
      },
      timeoutMs,
    );
    this.makeMembers();
  }

  /* --- what the application reads --- */

  /** Publishes that have no result yet. */
  get unanswered(): number {
    return this.unansweredCount;
  }

  /** All members as they stand now, by their numbers. */
  get members(): readonly PoolMemberState[] {
    return this.places.map(({ client, urlIndex }) => ({ url: this.urls[urlIndex] ?? '', state: client?.state ?? 'ended', session: client?.session ?? '' }));
  }

  /** What the pool has done: by member, and in all. */
  statistics(): {
    /** By member. */
    readonly members: readonly PoolStatistics[];
    /** In all. */
    readonly all: PoolStatistics;
  } {
    const members = this.places.map(
      ({ member, counts, publishes }): PoolStatistics => ({ connected: this.core.isUp(member) ? 1 : 0, ...counts, queued: publishes.size }),
    );
    const sum = (name: keyof PoolStatistics): number => members.reduce((all, each) => all + each[name], 0);
    return {
      members,
      all: {
        connected: sum('connected'),
        published: sum('published'),
        acknowledged: sum('acknowledged'),
        refused: sum('refused'),
        uncertain: sum('uncertain'),
        queued: this.unansweredCount,
        reconnects: sum('reconnects'),
        replaced: sum('replaced'),
      },
    };
  }

  /** Listen to an event. What it gives stops that. */
  on<E extends keyof PoolEvents>(event: E, handler: (event: PoolEvents[E]) => void): Off {
    return this.emitter.on(event, handler);
  }

  /* --- what it asks for --- */

  /** With `autoConnect: false`: begin. */
  connect(): void {
    this.memberOptions = { ...this.memberOptions, autoConnect: true };
    for (const { client } of this.places) client?.connect();
  }

  /** Settles when some member is connected, at once where one is; rejects where the pool was closed. */
  connected(): Promise<void> {
    if (this.core.connectedCount > 0) return Promise.resolve();
    if (this.isClosed) return Promise.reject(closedError());
    return new Promise((resolve, reject) => this.connectedWaiters.push({ resolve, reject }));
  }

  /**
   * Publish, exactly once, as the client's `publish()`. Which member takes it: see `PoolPublishOptions.key`. It rejects with `outbox_full` also where the queue before the members is full (`queueMax`,
   * `connectedQueueMax`).
   */
  publish<C extends ChannelName<M>>(channel: C, payload: Payload<M, C>, options: PoolPublishOptions = {}): Promise<Published> {
    return this.publishTo(channel, payload, options);
  }

  /** Follow a channel, as the client's `subscribe()`. The member with the fewest channels follows it; `limit`: each has as many as it may (`subscriptions`). */
  subscribe<C extends ChannelName<M>>(channel: C, onMessage?: (message: Message<Payload<M, C>>) => void): Subscription<Payload<M, C>>;
  /** The same, with options. */
  subscribe<C extends ChannelName<M>>(
    channel: C,
    options: SubscribeOptions,
    onMessage?: (message: Message<Payload<M, C>>) => void,
  ): Subscription<Payload<M, C>>;
  subscribe<C extends ChannelName<M>>(
    channel: C,
    first?: SubscribeOptions | ((message: Message<Payload<M, C>>) => void),
    second?: (message: Message<Payload<M, C>>) => void,
  ): Subscription<Payload<M, C>> {
    const options = typeof first === 'function' ? {} : (first ?? {});
    const onMessage = typeof first === 'function' ? first : second;
    const wrong = checkStart(channel, options);
    if (this.isClosed) throw closedError();
    if (wrong !== undefined) throw invalid(wrong);
    const subscription = this.subscriptionTo<Payload<M, C>>(channel, options);
    const kept = subscription as unknown as ChannelSubscription;
    const last = this.channels.find(channel);
    if (last === undefined) {
      this.follow(this.channels.add(kept, this.memberFor(channel)));
    } else {
      if (!last.subscription.leaving || last.following !== undefined)
        throw new HoldfastError('exists', `"${channel}" is followed already: subscription("${channel}") gives its subscription`);
      last.following = kept;
    }
    if (onMessage !== undefined) subscription.on('message', onMessage);
    return subscription;
  }

  /** The subscription of a channel that is followed; undefined: it is not. */
  subscription<C extends ChannelName<M>>(channel: C): Subscription<Payload<M, C>> | undefined {
    const entry = this.channels.find(channel);
    const found = entry?.following ?? entry?.subscription;
    return found === undefined || found.leaving ? undefined : (found as unknown as Subscription<Payload<M, C>>);
  }

  /** What the channel has kept, or a part of it. The next connected member in turn is asked, and another where that one's connection breaks. */
  history<C extends ChannelName<M>>(channel: C, options: HistoryOptions = {}): Promise<History<Payload<M, C>>> {
    return this.historyOf(channel, options) as Promise<History<Payload<M, C>>>;
  }

  /** All subscribers of a channel, one entry per session. Asked for as `history()` is. */
  presence(channel: ChannelName<M>): Promise<readonly Member[]> {
    return this.presenceOf(channel);
  }

  /** A round trip through a member's own connection, in ms since it was asked of the session that answers. While the member has no connection, or no session, it waits. */
  ping(member: number): Promise<number> {
    if (!Number.isInteger(member) || member < 0 || member >= this.places.length)
      return Promise.reject(invalid(`there is no member ${member}: they are numbered 0 to ${this.places.length - 1}`));
    return this.ask({ type: 'ping' }, member) as Promise<number>;
  }

  /** A request to the application's backend, by the next connected member in turn. Rejects with the backend's code, or `uncertain` where the connection broke before the answer: it is not repeated. */
  async call<R = unknown>(method: string, payload: unknown = null): Promise<R> {
    if (!isLabel(method)) throw invalid('the method is a name of 1 to 255 bytes');
    return (await this.ask({ type: 'call', method, payload: rawPayload(payload) }, null)) as R;
  }

  /** Show this token from now on, to connections that stand as well. */
  setToken(token: string): void {
    if (!isHeaderToken(token, 4096)) throw invalid("the token is none: letters, digits and !#$%&'*+-.^_`|~ can stand in it, at most 4,096 of them");
    for (const { client } of this.places) client?.setToken(token);
    this.memberOptions = { ...this.memberOptions, token };
  }

  /** Heartbeat `adaptive`: another tolerance, from now on. */
  setTolerance(tolerance: number): void {
    checkBound('tolerance', tolerance, tolerance, 1, toleranceMsMax);
    for (const { client } of this.places) client?.setTolerance(tolerance);
    this.memberOptions = { ...this.memberOptions, tolerance };
  }

  /** Settles when no publish is without its result, those included that are made meanwhile; or the pool has ended. */
  drain(): Promise<void> {
    if (this.unansweredCount === 0) return Promise.resolve();
    return new Promise((resolve) => this.drainWaiters.push(resolve));
  }

  /**
   * End all sessions: the server forgets them. What waits in the queue is rejected as `closed`, what a member has without an answer when it ends as `closed` or as uncertain: `drain()` first where that
   * matters. Settles when all have ended, in some two seconds at most.
   */
  close(): Promise<void> {
    if (this.hasEnded) return Promise.resolve();
    const ended = new Promise<void>((resolve) => this.closeWaiters.push(resolve));
    if (this.isClosed) return ended;
    this.isClosed = true;
    this.core.close();
    this.dropQueue();
    for (const { client } of this.places) void client?.close();
    this.endIfOver();
    return ended;
  }

  /* --- members --- */

  /** What is wrong with the options is told to the caller, and then nothing is left behind. */
  private makeMembers(): void {
    try {
      for (const place of this.places) this.start(place);
    } catch (error) {
      this.isClosed = true;
      this.core.close();
      for (const { client } of this.places) void client?.close();
      throw error;
    }
  }

  private start(place: Place): void {
    const { member } = place;
    const { storage, ...options } = this.memberOptions;
    // What the first one learns of the network holds for all of a later start.
    const own = member > 0 || storage === undefined ? options : { ...options, storage };
    const client: PoolMember = new PoolMember(this.urls[place.urlIndex] ?? '', own, this.platform, (event) => this.told(place, client, event));
    const { emitter } = this;
    client.on('state', (event) => emitter.emit('state', { ...event, member }));
    client.on('connected', (event) => {
      this.memberConnected(place);
      emitter.emit('connected', { ...event, member });
    });
    client.on('caughtUp', (event) => emitter.emit('caughtUp', { ...event, member }));
    client.on('disconnected', (event) => {
      this.memberDisconnected(place);
      emitter.emit('disconnected', { ...event, member });
    });
    client.on('retrying', (event) => emitter.emit('retrying', { ...event, member }));
    client.on('ended', (event) => this.memberEnded(place, event));
    client.on('problem', ({ error, channel }) => this.problem(error, member, channel));
    this.core.replaced(member);
    place.client = client;
    place.connections = 0;
  }

  private memberConnected(place: Place): void {
    this.core.connected(place.member, this.platform.now());
    if (place.connections++ > 0) place.counts.reconnects++;
    for (const waiter of this.connectedWaiters.splice(0)) waiter.resolve();
    this.asks.moved();
    this.handOut();
  }

  private memberDisconnected({ member }: Place): void {
    this.core.disconnected(member, this.platform.now());
    this.asks.moved();
    this.arm();
  }

  private memberEnded(place: Place, event: Disconnected): void {
    const { member } = place;
    place.client = undefined;
    const pause = this.core.ended(member, this.platform.now());
    this.asks.ended(member);
    if (this.isClosed) {
      this.core.close();
    } else {
      this.emitter.emit('memberEnded', { ...event, nextAttempt: pause, member });
      this.asks.moved();
    }
    this.handOut();
    this.endIfOver();
  }

  private replaceMembers(now: number): void {
    for (const place of this.places) {
      if (!this.core.due(place.member, now)) continue;
      if (place.connections === 0) place.urlIndex = (place.urlIndex + 1) % this.urls.length;
      try {
        this.start(place);
      } catch (error) {
        this.problem(error instanceof HoldfastError ? error : invalid(String(error)), place.member);
        this.core.replaced(place.member);
        this.core.ended(place.member, now);
        continue;
      }
      place.counts.replaced++;
      for (const entry of this.channels.of(place.member)) {
        if (entry.subscription.leaving) this.channelEnded(entry, undefined);
        else this.follow(entry);
      }
      this.asks.askNow();
    }
  }

  /** All sessions have ended after close(). */
  private endIfOver(): void {
    if (!this.isClosed || this.hasEnded || this.places.some(({ client }) => client !== undefined)) return;
    this.hasEnded = true;
    this.cancelTimer();
    this.asks.drop(closedError());
    for (const waiter of this.connectedWaiters.splice(0)) waiter.reject(closedError());
    for (const entry of this.channels.list()) {
      this.channels.remove(entry);
      for (const each of [entry.subscription, entry.following]) each?.unsubscribed(each.leaving ? undefined : closedError());
    }
    for (const resolve of this.drainWaiters.splice(0)) resolve();
    this.emitter.emit('ended', undefined);
    for (const resolve of this.closeWaiters.splice(0)) resolve();
  }

  /* --- time --- */

  private arm(): void {
    const at = this.hasEnded ? Infinity : this.core.deadline();
    if (at === this.timerAt) return;
    this.cancelTimer();
    this.cancelTimer = () => undefined;
    this.timerAt = at;
    if (at !== Infinity) this.cancelTimer = this.platform.timer(Math.max(0, at - this.platform.now()), () => this.timerFired());
  }

  private timerFired(): void {
    this.timerAt = Infinity;
    this.replaceMembers(this.platform.now());
    this.handOut();
  }

  /* --- publishes --- */

  private publishTo(channel: string, payload: unknown, { id, key = channel }: PoolPublishOptions): Promise<Published> {
    return new Promise((resolve, reject) => {
      if (this.isClosed) throw closedError();
      const raw = rawPayload(payload);
      const bytes = this.checkPublish(channel, raw, id);
      const putFor = key === null ? null : memberOf(key, this.places.length);
      this.checkQueue(bytes);
      const publish: PoolPublish = { publishId: ++this.lastPublishId, channel, raw, id, bytes, putFor, resolve, reject };
      this.unansweredCount++;
      this.queued(publish, 1);
      this.core.put(publish, putFor, this.platform.now());
      this.handOut();
    });
  }

  /** What is wrong is told now, and not when its turn comes. The answer is what it takes of an outbox. */
  private checkPublish(channel: string, raw: Raw, id: string | undefined): number {
    if (!isChannelName(channel)) throw invalid(`"${channel}" names no channel: 1 to 255 bytes of UTF-8 without control characters do`);
    if (id !== undefined && !isLabel(id, true)) throw invalid('the id is longer than 255 bytes');
    const payloadBytes = typeof raw === 'string' ? utf8Length(raw) : raw.length;
    if (payloadBytes < 0) throw invalid('the payload holds half a surrogate pair');
    const bytes = itemBytes + utf8Length(channel) + payloadBytes + (id === undefined ? 0 : utf8Length(id));
    if (bytes > this.queueBytesMax)
      throw new HoldfastError('too_large', 'the publish is larger than the whole outbox of a member: see the option "outboxBytes"');
    return bytes;
  }

  private checkQueue(bytes: number): void {
    const isConnectedNow = this.core.connectedCount > 0;
    const max = isConnectedNow ? this.connectedQueueMax : this.queueMax;
    if (this.queueCount < max && this.queueBytes + bytes <= this.queueBytesMax) return;
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

  /** Give the members what they take now. */
  private handOut(): void {
    const now = this.platform.now();
    for (let next = this.isClosed ? undefined : this.core.next(now); next !== undefined; next = this.core.next(now)) this.give(next.item, next.member);
    this.arm();
  }

  private give(publish: PoolPublish, member: number): void {
    const place = this.places[member] as Place;
    const { client } = place;
    const { channel, raw, id, bytes } = publish;
    // Where its session is just ending it has no room either, until the next is there.
    if (client === undefined || !client.hasRoom(bytes)) {
      this.core.full(publish, publish.putFor, member);
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

  /** A publish has its result. */
  private settled(): void {
    this.unansweredCount--;
    if (this.unansweredCount === 0) for (const resolve of this.drainWaiters.splice(0)) resolve();
  }

  /** undefined: it is not known. */
  private result(place: Place, publishId: number, outcome: 'acknowledged' | 'refused' | 'uncertain'): PoolPublish | undefined {
    const publish = place.publishes.get(publishId);
    if (publish === undefined) return undefined;
    place.publishes.delete(publishId);
    place.counts[outcome]++;
    this.core.room(place.member);
    this.settled();
    return publish;
  }

  private uncertain(place: Place, publishId: number): void {
    const publish = this.result(place, publishId, 'uncertain');
    if (publish === undefined) return;
    const { channel, id, raw } = publish;
    publish.reject(new PublishUncertain(channel, id, typeof raw === 'string' ? JSON.parse(raw) : raw));
  }

  /** A session's last words: what the server may have got is uncertain, and the rest goes on in another. */
  private takeUnanswered(place: Place, client: PoolMember): void {
    const { sent, unsent } = client.takeUnanswered();
    for (const { publishId } of sent) this.uncertain(place, publishId);
    const publishOf = ({ publishId }: OutboxItem): PoolPublish[] => {
      const publish = place.publishes.get(publishId);
      place.publishes.delete(publishId);
      return publish === undefined ? [] : [publish];
    };
    const left = unsent.flatMap(publishOf);
    place.counts.published -= left.length;
    if (this.isClosed) {
      for (const publish of left) this.refuseClosed(publish);
      return;
    }
    for (const publish of left) this.queued(publish, 1);
    const now = this.platform.now();
    this.core.giveBack(left.filter(({ putFor }) => putFor !== null), place.member, now);
    this.core.giveBack(left.filter(({ putFor }) => putFor === null), null, now);
  }

  private refuseClosed(publish: PoolPublish): void {
    this.settled();
    publish.reject(closedError());
  }

  private dropQueue(): void {
    for (let publish = this.core.drop(); publish !== undefined; publish = this.core.drop()) {
      this.queued(publish, -1);
      this.refuseClosed(publish);
    }
  }

  /* --- channels and requests --- */

  private subscriptionTo<P>(channel: string, options: SubscribeOptions): ChannelSubscription<P> {
    return new ChannelSubscription<P>(channel, options, {
      unsubscribe: (name) => this.leave(name),
      publish: (name, payload, how) => this.publishTo(name, payload, how ?? {}),
      history: (name, what) => this.historyOf(name, what ?? {}),
      presence: (name) => this.presenceOf(name),
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
    const { position } = subscription;
    const options = subscription.options.mode === 'latest' || position === null ? subscription.options : { ...more, since: position };
    entry.blocked = false;
    try {
      this.places[entry.member]?.client?.followRaw(channel, options);
    } catch (error) {
      const code = error instanceof HoldfastError ? error.code : 'internal';
      if (code === 'exists') entry.blocked = true;
      else if (code !== 'closed') this.channelEnded(entry, error instanceof HoldfastError ? error : invalid(String(error)));
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
    const client = this.places[entry.member]?.client;
    if (client === undefined || entry.blocked) this.channelEnded(entry, undefined);
    else client.unfollowRaw(channel);
  }

  private channelEnded(entry: PoolChannel, error: HoldfastError | undefined): void {
    const { subscription, following, member } = entry;
    this.channels.remove(entry);
    const next = following === undefined || this.isClosed ? undefined : this.channels.add(following, this.channels.leastBusy() ?? member);
    subscription.unsubscribed(error);
    if (next !== undefined) this.follow(next);
    else following?.unsubscribed(closedError());
  }

  private historyOf(channel: string, { since, limit = 100, reverse = false }: HistoryOptions): Promise<History> {
    return this.ask({ type: 'history', channel, since, limit, reverse }, null) as Promise<History>;
  }

  private presenceOf(channel: string): Promise<readonly Member[]> {
    return this.ask({ type: 'presence', channel }, null) as Promise<readonly Member[]>;
  }

  private ask(what: Parameters<PoolAsks['put']>[0], member: number | null): Promise<unknown> {
    return this.isClosed ? Promise.reject(closedError()) : this.asks.put(what, member);
  }

  /* --- what a session tells --- */

  /** Whether that was all that there is to do about it. */
  private told(place: Place, client: PoolMember, event: SessionEvent): boolean {
    switch (event.type) {
      case 'acked': {
        const { publishId, channel, offset } = event;
        const publish = this.result(place, publishId, 'acknowledged');
        publish?.resolve({ channel, offset: offset === 0 ? null : offset, publishId: publish.publishId });
        this.handOut();
        return true;
      }
      case 'refused': {
        const { publishId, channel, code, reason } = event;
        const { code: errorCode, message } = serverError(code, reason);
        this.result(place, publishId, 'refused')?.reject(new PublishRefused(channel, errorCode, message, code));
        this.handOut();
        return true;
      }
      case 'uncertain':
        this.uncertain(place, event.publishId);
        this.handOut();
        return true;
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
        this.ownChannel(place, channel)?.subscription.presenceChanged(kind, { channel, ...member });
        return true;
      }
      case 'ended':
        this.takeUnanswered(place, client); // Before the client does.
        return false;
      default: {
        const isAnswer = this.asks.told(place.member, event);
        if (isAnswer) this.asks.askNow();
        return isAnswer;
      }
    }
  }

  /** A channel that this member follows; of one that another does nothing is told twice. */
  private ownChannel({ member }: Place, channel: string): PoolChannel | undefined {
    const entry = this.channels.find(channel);
    return entry?.member === member ? entry : undefined;
  }

  private onMessage(place: Place, { epoch, message }: Extract<SessionEvent, { type: 'message' }>): void {
    const entry = this.ownChannel(place, message.channel);
    if (entry === undefined) return;
    const told = messageOf(epoch, message);
    entry.subscription.message(told);
    this.emitter.emit('message', told);
  }

  private onGap(place: Place, { channel, epoch, from, to, code }: Extract<SessionEvent, { type: 'gap' }>): void {
    const entry = this.ownChannel(place, channel);
    if (entry === undefined) return;
    const offsets = code === 'epoch' ? { from: null, to: null } : { from, to };
    const gap: Gap = { type: 'gap', channel, epoch, ...offsets, code: gapCode(code) };
    if (!entry.subscription.gap(gap) && !this.emitter.has('gap'))
      this.platform.warn(`holdfast: messages ${from} to ${to} of "${channel}" cannot be had (${code}), and nobody listens to that: see the event "gap"`);
    this.emitter.emit('gap', gap);
  }

  private onSubscribed(place: Place, { channel, epoch, offset, recovered }: Extract<SessionEvent, { type: 'subscribed' }>): void {
    let entry = this.channels.find(channel);
    if (entry === undefined) {
      // The backend made it.
      entry = this.channels.add(this.subscriptionTo(channel, {}), place.member);
      this.emitter.emit('subscription', entry.subscription);
    } else if (entry.member !== place.member) {
      place.client?.unfollowRaw(channel); // It made it for each of the user's sessions, and one is enough.
      return;
    }
    entry.refusedBy.clear();
    entry.subscription.subscribed({ channel, epoch, offset, recovered });
  }

  private onUnsubscribed(place: Place, { channel, code, reason }: Extract<SessionEvent, { type: 'unsubscribed' }>): void {
    const entry = this.ownChannel(place, channel);
    if (entry === undefined) return;
    if (entry.blocked) {
      this.follow(entry);
      return;
    }
    if (code === 'limit' && !entry.subscription.leaving && this.moveElsewhere(entry)) return;
    this.channelEnded(entry, code === '' ? undefined : serverError(code, reason));
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

  private problem(error: HoldfastError, member: number, channel?: string): void {
    if (!this.emitter.has('problem')) this.platform.warn(`holdfast: member ${member}: ${error.message}`);
    this.emitter.emit('problem', { error, member, ...(channel === undefined ? {} : { channel }) });
  }
}
