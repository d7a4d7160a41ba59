/**
 * pool.ts - several sessions that publish and subscribe as one, for programs in Node, Deno and Bun; its own entry point:
 *
 *     import { HoldfastPool } from 'holdfast-client/pool';
 *     const pool = new HoldfastPool('wss://push.example.org/ws', { connections: 4 });
 *
 * It is to `Holdfast` what hf_pool is to hf_client in C (docs/pool.md). Here is what the application calls; members, publishes and subscriptions have a file each, and
 * which member takes what is decided in pool_core.ts and pool_channels.ts.
 */
import { checkBound, checkUrls, invalid, rawPayload } from '../client/options.js';
import { toleranceMsMax } from '../core/heartbeat.js';
import { isHeaderToken, isLabel } from '../core/message.js';
import { randomFrom } from '../core/random.js';
import { nodeTransport } from '../platform/node.js';
import { systemPlatform } from '../platform/system.js';
import type { AnyChannels, ChannelMap, ChannelName, History, HistoryOptions, HoldfastOptions, Member, Message, Off, Payload, Published, SubscribeOptions, Subscription } from '../types.js';
import { PoolAsks } from './pool_asks.js';
import { membersMax, PoolCore } from './pool_core.js';
import { PoolHost, type PoolPublish } from './pool_host.js';
import { PoolMembers } from './pool_members.js';
import { PoolPublishes } from './pool_publishes.js';
import { PoolSubscriptions } from './pool_subscriptions.js';
import type { PoolEvents, PoolMemberState, PoolOptions, PoolPublishOptions, PoolStatistics } from './pool_types.js';

export type { OfMember, PoolEvents, PoolMemberState, PoolOptions, PoolPublishOptions, PoolStatistics } from './pool_types.js';
export * from '../types.js';
export { causeNumbers, causeTexts, closeCodes, errorNumbers, gapNumbers, stateNumbers } from '../codes.js';
export { HoldfastError, PublishRefused, PublishUncertain } from '../errors.js';
export { webSocketTransport } from '../platform/websocket.js';

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
  private readonly host: PoolHost;
  private readonly publishes: PoolPublishes;
  private readonly asks: PoolAsks;
  private readonly subscriptions: PoolSubscriptions;
  private readonly sessions: PoolMembers;

  /** The members begin to connect at once. Throws `invalid` where a URL or an option makes no sense. */
  constructor(url: string | readonly string[], options: PoolOptions = {}) {
    const { connections, queueMax, connectedQueueMax, flushInterval, storage, ...member } = options;
    if (storage !== undefined && 'outbox' in storage && storage.outbox !== undefined)
      throw invalid('"storage.outbox" is for one session, and a pool has several: leave it out, or use `Holdfast`');
    const urls = checkUrls(url);
    const platform = options.platform ?? systemPlatform(nodeTransport);
    const count = checkBound('connections', connections, 3, 1, membersMax);
    const bounds = {
      queueMax: checkBound('queueMax', queueMax, 100, 1, 2 ** 31),
      connectedQueueMax: checkBound('connectedQueueMax', connectedQueueMax, 10_000, 1, 2 ** 31),
      bytesMax: checkBound('outboxBytes', options.outboxBytes, 16 * 1024 * 1024, 1, 2 ** 30),
    };
    const flushIntervalMs = checkBound('flushInterval', flushInterval, 100, 1, 60_000);
    const timeoutMs = checkBound('requestTimeout', options.requestTimeout, 30_000, 0, 86_400_000);
    const channelsMax = checkBound('subscriptions', options.subscriptions, 256, 0, 100_000);
    const random = randomFrom(() => platform.random());
    const host = new PoolHost(platform, urls, new PoolCore<PoolPublish>(count, flushIntervalMs, random, platform.now()), count);
    this.host = host;
    this.publishes = new PoolPublishes(host, bounds);
    this.asks = new PoolAsks(host, timeoutMs);
    this.subscriptions = new PoolSubscriptions(host, this.publishes, this.asks, channelsMax);
    const memberOptions: HoldfastOptions = { ...member, platform, ...(storage?.heartbeat === undefined ? {} : { storage: { heartbeat: storage.heartbeat } }) };
    this.sessions = new PoolMembers(host, this.publishes, this.subscriptions, this.asks, memberOptions);
    this.sessions.begin();
  }

  /* --- what the application reads --- */

  /** Publishes that have no result yet. */
  get unanswered(): number {
    return this.publishes.unanswered;
  }

  /** All members as they stand now, by their numbers. */
  get members(): readonly PoolMemberState[] {
    const { places, urls } = this.host;
    return places.map(({ client, urlIndex }) => ({ url: urls[urlIndex] ?? '', state: client?.state ?? 'ended', session: client?.session ?? '' }));
  }

  /** What the pool has done: by member, and in all. */
  statistics(): {
    /** By member. */
    readonly members: readonly PoolStatistics[];
    /** In all. */
    readonly all: PoolStatistics;
  } {
    const { places, core } = this.host;
    const members = places.map(({ member, counts, publishes }): PoolStatistics => ({ connected: core.isUp(member) ? 1 : 0, ...counts, queued: publishes.size }));
    const sum = (name: keyof PoolStatistics): number => members.reduce((all, each) => all + each[name], 0);
    return {
      members,
      all: {
        connected: sum('connected'),
        published: sum('published'),
        acknowledged: sum('acknowledged'),
        refused: sum('refused'),
        uncertain: sum('uncertain'),
        queued: this.unanswered,
        reconnects: sum('reconnects'),
        replaced: sum('replaced'),
      },
    };
  }

  /** Listen to an event. What it gives stops that. */
  on<E extends keyof PoolEvents>(event: E, handler: (event: PoolEvents[E]) => void): Off {
    return this.host.emitter.on(event, handler);
  }

  /* --- what it asks for --- */

  /** With `autoConnect: false`: begin. */
  connect(): void {
    this.sessions.set({ autoConnect: true }, (member) => member.connect());
  }

  /** Settles when some member is connected, at once where one is; rejects where the pool was closed. */
  connected(): Promise<void> {
    return this.sessions.connected();
  }

  /**
   * Publish, exactly once, as the client's `publish()`. Which member takes it: see `PoolPublishOptions.key`. It rejects with `outbox_full` also where the queue before the members is full (`queueMax`,
   * `connectedQueueMax`).
   */
  publish<C extends ChannelName<M>>(channel: C, payload: Payload<M, C>, options: PoolPublishOptions = {}): Promise<Published> {
    return this.publishes.publish(channel, payload, options);
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
    const subscription = this.subscriptions.subscribe(channel, options) as unknown as Subscription<Payload<M, C>>;
    if (onMessage !== undefined) subscription.on('message', onMessage);
    return subscription;
  }

  /** The subscription of a channel that is followed; undefined: it is not. */
  subscription<C extends ChannelName<M>>(channel: C): Subscription<Payload<M, C>> | undefined {
    return this.subscriptions.find(channel) as unknown as Subscription<Payload<M, C>> | undefined;
  }

  /** What the channel has kept, or a part of it. The next connected member in turn is asked, and another where that one's connection breaks. */
  history<C extends ChannelName<M>>(channel: C, options: HistoryOptions = {}): Promise<History<Payload<M, C>>> {
    return this.subscriptions.history(channel, options) as Promise<History<Payload<M, C>>>;
  }

  /** All subscribers of a channel, one entry per session. Asked for as `history()` is. */
  presence(channel: ChannelName<M>): Promise<readonly Member[]> {
    return this.subscriptions.members(channel);
  }

  /** A round trip through a member's own connection, in ms since it was asked of the session that answers. While the member has no connection, or no session, it waits. */
  ping(member: number): Promise<number> {
    if (!Number.isInteger(member) || member < 0 || member >= this.host.places.length)
      return Promise.reject(invalid(`there is no member ${member}: they are numbered 0 to ${this.host.places.length - 1}`));
    return this.asks.put({ type: 'ping' }, member) as Promise<number>;
  }

  /** A request to the application's backend, by the next connected member in turn. Rejects with the backend's code, or `uncertain` where the connection broke before the answer: it is not repeated. */
  async call<R = unknown>(method: string, payload: unknown = null): Promise<R> {
    if (!isLabel(method)) throw invalid('the method is a name of 1 to 255 bytes');
    return (await this.asks.put({ type: 'call', method, payload: rawPayload(payload) }, null)) as R;
  }

  /** Show this token from now on, to connections that stand as well. */
  setToken(token: string): void {
    if (!isHeaderToken(token, 4096)) throw invalid("the token is none: letters, digits and !#$%&'*+-.^_`|~ can stand in it, at most 4,096 of them");
    this.sessions.set({ token }, (member) => member.setToken(token));
  }

  /** Heartbeat `adaptive`: another tolerance, from now on. */
  setTolerance(tolerance: number): void {
    checkBound('tolerance', tolerance, tolerance, 1, toleranceMsMax);
    this.sessions.set({ tolerance }, (member) => member.setTolerance(tolerance));
  }

  /** Settles when no publish is without its result, those included that are made meanwhile; or the pool has ended. */
  drain(): Promise<void> {
    return this.publishes.drain();
  }

  /**
   * End all sessions: the server forgets them. What waits in the queue is rejected as `closed`, what a member has without an answer when it ends as `closed` or as uncertain: `drain()` first where that
   * matters. Settles when all have ended, in some two seconds at most.
   */
  close(): Promise<void> {
    return this.sessions.close();
  }
}
