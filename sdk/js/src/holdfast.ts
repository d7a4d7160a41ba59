/** holdfast.ts - the client: what the application calls, and the session's events in the application's terms. Its parts are in client/. */
import type { State } from './codes.js';
import type { Adaptive, Parts } from './client/parts.js';
import { ClientChannels } from './client/channels.js';
import { Host } from './client/host.js';
import { bound, checkUrls, codecsOf, invalid, rawPayload } from './client/options.js';
import { loadOutbox } from './client/outbox.js';
import { Publishes, type Settle } from './client/publishes.js';
import { Renewal } from './client/renewal.js';
import { Requests } from './client/requests.js';
import type { EndingEvent, SessionEvent } from './core/events.js';
import { toleranceForegroundMs, toleranceIdleMs, toleranceMsMax } from './core/heartbeat.js';
import { ClassicHeartbeat } from './core/heartbeat_classic.js';
import { isLabel } from './core/message.js';
import { randomFrom } from './core/random.js';
import type { RequestWhat } from './core/requests.js';
import type { SessionConfig } from './core/session_types.js';
import { isConnected } from './core/state.js';
import type { SessionStore, Stored } from './core/store.js';
import { Driver } from './driver.js';
import { closedError, HoldfastError, notHere } from './errors.js';
import * as has from './features.js';
import { serverError } from './subscription.js';
import type {
  AnyChannels,
  ChannelMap,
  ChannelName,
  Client,
  ClientEvents,
  History,
  HistoryOptions,
  HoldfastOptions,
  Member,
  Message,
  Off,
  Payload,
  Platform,
  Published,
  PublishOptions,
  StateChange,
  SubscribeOptions,
  Subscription,
} from './types.js';

/** A client as `Client` in types.ts describes it. The platform and the parts come from the entry point that the program imports. */
export class HoldfastClient<M extends ChannelMap = AnyChannels> implements Client<M> {
  private readonly host: Host;
  private readonly publishes: Publishes;
  private readonly channels: ClientChannels;
  /** @only asks */
  private readonly requests: Requests | null = null;
  private readonly renewal: Renewal;
  /** @only takesParts */
  private readonly adaptive: Adaptive | null = null;
  private readonly connectedWaiters: Settle<void>[] = [];
  private readonly closeWaiters: (() => void)[] = [];
  /** @only takesParts */
  private tolerance = toleranceForegroundMs;
  /** @only takesParts */
  private readonly backgroundTolerance: number = toleranceIdleMs;
  private isBackground: boolean;
  private isStarted: boolean;

  constructor(url: string | readonly string[], options: HoldfastOptions, platform: Platform, parts: Parts) {
    const urls = checkUrls(url);
    const host = new Host(options, platform);
    this.host = host;
    this.renewal = new Renewal(host);
    this.publishes = new Publishes(host);
    if (has.takesParts) {
      this.tolerance = bound(options, 'tolerance', toleranceForegroundMs, 1, toleranceMsMax);
      this.backgroundTolerance = bound(options, 'backgroundTolerance', toleranceIdleMs, 1, toleranceMsMax);
    }
    if (has.asks) this.requests = new Requests(host, bound(options, 'requestTimeout', 30_000, 0, 86_400_000));
    this.channels = new ClientChannels(host, {
      unsubscribe: (name) => this.channels.leave(name),
      publish: (name, payload, how) => this.publishes.publish(name, payload, how),
      history: (name, what) => this.history(name as ChannelName<M>, what),
      presence: (name) => this.presence(name as ChannelName<M>),
      /** @only asks */
      membersWanted: (subscription) => this.channels.presence?.changed(subscription),
    });
    if (has.asks) this.channels.askBy(this.requests);
    this.isBackground = options.background ?? platform.background();
    this.isStarted = options.autoConnect !== false;
    const { heartbeat = has.takesParts && parts.adaptive !== null ? 'adaptive' : 'classic' } = options;
    if (!['adaptive', 'classic', 'fixed'].includes(heartbeat)) throw invalid('"heartbeat" is none of "adaptive", "classic" and "fixed"');
    const interval = bound(options, 'heartbeatInterval', 0, 0, toleranceMsMax);
    const random = randomFrom(() => platform.random());
    if (interval === 0 && heartbeat === 'adaptive') {
      if (!has.takesParts || parts.adaptive === null) throw notHere('"adaptive"');
      this.adaptive = parts.adaptive(host, this.currentTolerance(), random);
    }
    const codecs = codecsOf(options.encoding, parts.codecs);
    if (codecs.length === 0) throw notHere('"binary"');
    const config = (stored: Stored | null, kept: SessionStore | null): SessionConfig => ({
      codecs,
      token: options.token ?? null,
      tokenSource: options.getToken !== undefined,
      outboxMessages: bound(options, 'outboxMessages', 10_000, 1, 2 ** 31),
      outboxBytes: bound(options, 'outboxBytes', 16 * 1024 * 1024, 1, 2 ** 30),
      window: bound(options, 'window', 1000, 1, 2 ** 31),
      subscriptions: bound(options, 'subscriptions', 256, 0, 100_000),
      heartbeatIntervalMs: interval,
      policy: (has.takesParts ? this.adaptive?.policy : undefined) ?? (interval === 0 && heartbeat === 'classic' ? new ClassicHeartbeat() : null),
      /** @only takesParts */
      prober: (has.takesParts ? this.adaptive?.prober : undefined) ?? null,
      background: this.isBackground,
      random,
      /** @only prepares */
      splitDial: false,
      /** @only keepsOutbox */
      store: kept,
      /** @only keepsOutbox */
      stored: stored,
      onEvent: (event) => this.onEvent(event),
    });
    const transport = options.transport ?? platform.transport();
    const make = (stored: Stored | null, store: SessionStore | null): void => this.begin(urls, transport, config(stored, store));
    const store = options.storage?.outbox;
    if (store === undefined) make(null, null);
    else if (!has.keepsOutbox) throw notHere('storage.outbox');
    else loadOutbox(host, store, make, (error) => this.couldNotBegin(error));
  }

  /* --- what the application reads --- */

  get state(): State {
    return this.host.session?.state ?? (has.keepsOutbox && this.host.stillborn ? 'ended' : 'waiting');
  }

  get session(): string {
    return this.host.session?.id ?? '';
  }

  get unanswered(): number {
    return this.host.session?.publishing.outbox.count ?? 0;
  }

  on<E extends keyof ClientEvents>(event: E, handler: (event: ClientEvents[E]) => void): Off {
    return this.host.emitter.on(event, handler);
  }

  onState(handler: (change: StateChange) => void): Off {
    return this.on('state', handler);
  }

  /* --- what it asks for --- */

  connect(): void {
    this.isStarted = true;
    this.host.driver?.start();
  }

  connected(): Promise<void> {
    if (isConnected(this.state)) return Promise.resolve();
    if (this.state === 'ended') return Promise.reject(closedError());
    return new Promise((resolve, reject) => this.connectedWaiters.push({ resolve, reject }));
  }

  subscribe<C extends ChannelName<M>>(
    channel: C,
    first?: SubscribeOptions | ((message: Message<Payload<M, C>>) => void),
    second?: (message: Message<Payload<M, C>>) => void,
  ): Subscription<Payload<M, C>> {
    const options = typeof first === 'function' ? {} : (first ?? {});
    const onMessage = typeof first === 'function' ? first : second;
    const subscription = this.channels.subscribe(channel, options) as unknown as Subscription<Payload<M, C>>;
    if (onMessage !== undefined) subscription.on('message', onMessage);
    return subscription;
  }

  subscription<C extends ChannelName<M>>(channel: C): Subscription<Payload<M, C>> | undefined {
    return this.channels.find(channel) as unknown as Subscription<Payload<M, C>> | undefined;
  }

  publish<C extends ChannelName<M>>(channel: C, payload: Payload<M, C>, options?: PublishOptions): Promise<Published> {
    return this.publishes.publish(channel, payload, options);
  }

  history<C extends ChannelName<M>>(channel: C, options?: HistoryOptions): Promise<History<Payload<M, C>>> {
    if (!has.asks) return Promise.reject(notHere('history()'));
    return this.historyOf(channel, options) as Promise<History<Payload<M, C>>>;
  }

  presence(channel: ChannelName<M>): Promise<readonly Member[]> {
    if (!has.asks) return Promise.reject(notHere('presence()'));
    return this.ask({ type: 'presence', channel }) as Promise<readonly Member[]>;
  }

  ping(): Promise<number> {
    if (!has.asks) return Promise.reject(notHere('ping()'));
    return this.ask({ type: 'ping' }) as Promise<number>;
  }

  async call<R = unknown>(method: string, payload: unknown = null): Promise<R> {
    if (!has.asks) throw notHere('call()');
    if (!isLabel(method)) throw invalid('the method is a name of 1 to 255 bytes');
    return (await this.ask({ type: 'call', method, payload: rawPayload(payload) })) as R;
  }

  setToken(token: string): void {
    this.renewal.set(token);
  }

  setTolerance(tolerance: number): void {
    if (!has.takesParts) return;
    this.tolerance = bound({ tolerance }, 'tolerance', tolerance, 1, toleranceMsMax);
    this.host.later(() => this.toleranceChanged());
  }

  setBackground(background: boolean): void {
    this.host.later(() => this.host.driver?.background(background));
  }

  close(): Promise<void> {
    if (this.state === 'ended') return Promise.resolve();
    return new Promise((resolve) => {
      this.closeWaiters.push(resolve);
      this.host.later(() => this.host.driver?.run((now) => this.host.session?.close(now)));
    });
  }

  /* --- beginning --- */

  /** For clients that are made on top of this one. @only keepsOutbox */
  protected get driver(): Driver | null {
    return this.host.driver;
  }

  /** Now, or when the outbox has been read. @only keepsOutbox */
  protected later(call: () => void): void {
    this.host.later(call);
  }

  private begin(urls: readonly string[], transport: ReturnType<Platform['transport']>, config: SessionConfig): void {
    const { host, renewal } = this;
    host.driver = new Driver(
      {
        platform: host.platform,
        transport,
        urls,
        tokenMissing: () => renewal.missing(),
        /** @only seesStatus */
        refused: (status) => {
          if (status === 401) renewal.expired();
        },
        backgroundChanged: (background) => {
          this.isBackground = background;
          if (has.takesParts) this.toleranceChanged();
        },
        /** @only takesParts */
        leaving: () => {
          if (has.takesParts) this.adaptive?.save(true);
        },
      },
      config,
    );
    if (this.isStarted) host.driver.start();
    if (has.renewsTokens) renewal.plan();
    if (has.keepsOutbox) host.callEarly();
  }

  /** @only keepsOutbox */
  private couldNotBegin(error: HoldfastError): void {
    this.host.stillborn = true;
    this.host.problem(error);
    this.host.callEarly();
    this.hasEnded();
  }

  /** @only takesParts */
  private currentTolerance(): number {
    return this.isBackground ? Math.max(this.tolerance, this.backgroundTolerance) : this.tolerance;
  }

  /** @only takesParts */
  private toleranceChanged(): void {
    this.adaptive?.tolerate(this.currentTolerance());
    this.host.driver?.soon((now) => this.host.session?.heartbeatChanged(now));
  }

  /* --- requests --- */

  /** @only asks */
  private historyOf(channel: string, { since, limit = 100, reverse = false }: HistoryOptions = {}): Promise<History> {
    return this.ask({ type: 'history', channel, since, limit, reverse }) as Promise<History>;
  }

  /** @only asks */
  private ask(what: RequestWhat): Promise<unknown> {
    return this.requests?.ask(what) ?? Promise.reject(notHere(`${what.type}()`));
  }

  /* --- what the session tells --- */

  protected onEvent(event: SessionEvent): void {
    const { emitter } = this.host;
    switch (event.type) {
      case 'message':
        return this.channels.message(event);
      case 'acked':
        return this.publishes.acked(event);
      case 'refused':
        return this.publishes.refused(event);
      case 'uncertain':
        return this.publishes.uncertain(event);
      case 'state': {
        const { type, ...change } = event;
        emitter.emit(type, change);
        return;
      }
      case 'connected':
        return this.onConnected(event);
      case 'caughtUp':
        emitter.emit('caughtUp', { messages: event.count });
        if (has.takesParts) this.adaptive?.save(false);
        return;
      case 'disconnected':
      case 'retrying':
      case 'ended':
        return this.onEnding(event);
      case 'subscribed':
        return this.channels.subscribed(event);
      case 'unsubscribed':
        return this.channels.unsubscribed(event);
      case 'gap':
        return this.channels.gap(event);
      case 'presence':
        if (has.asks) this.channels.presenceChanged(event);
        return;
      case 'presenceLost':
        if (has.asks) this.channels.presenceLost(event);
        return;
      case 'error': {
        const { code, reason, channel } = event;
        this.host.problem(has.keepsOutbox && code === 'outbox' ? new HoldfastError(code, reason) : serverError(code, reason), channel);
        return;
      }
      default:
        if (has.asks) this.requests?.onEvent(event);
    }
  }

  private onConnected(event: Extract<SessionEvent, { type: 'connected' }>): void {
    const { session, resumed, retries, encoding, address } = event;
    if (has.takesParts) this.adaptive?.connected(address);
    for (const waiter of this.connectedWaiters.splice(0)) waiter.resolve();
    this.host.emitter.emit('connected', { session, resumed, connections: this.host.session?.connections ?? 1, retries, encoding });
    if (has.asks && resumed) this.channels.presence?.resumed();
  }

  private onEnding({ type, ...event }: EndingEvent): void {
    if (event.cause === 'token_expired') this.renewal.expired();
    if (type === 'retrying') this.host.driver?.nextUrl();
    if (has.takesParts) this.adaptive?.save(type === 'ended');
    this.host.emitter.emit(type, event);
    if (type === 'ended') this.hasEnded();
  }

  /** @only keepsOutbox */
  protected problem(error: HoldfastError, channel = ''): void {
    this.host.problem(error, channel);
  }

  /** Nothing more will come: what waits is told so. */
  private hasEnded(): void {
    this.renewal.end();
    this.publishes.end();
    if (has.asks) this.requests?.end();
    for (const waiter of this.connectedWaiters.splice(0)) waiter.reject(closedError());
    this.channels.end();
    if (has.keepsOutbox) this.host.options.storage?.outbox?.close();
    for (const resolve of this.closeWaiters.splice(0)) resolve();
  }
}
