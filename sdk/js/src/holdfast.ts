/** holdfast.ts - the client: what the application calls, and the session's events in the application's terms. */
import type { State } from './codes.js';
import { toleranceForegroundMs, toleranceIdleMs, toleranceMsMax, AdaptiveHeartbeat } from './core/heartbeat_adaptive.js';
import { ClassicHeartbeat } from './core/heartbeat_classic.js';
import { HeartbeatMemory } from './core/heartbeat_memory.js';
import type { CodecKind } from './core/codec.js';
import { binaryCodec } from './core/codec_binary.js';
import { jsonCodec } from './core/codec_json.js';
import type { EndingEvent, SessionEvent } from './core/events.js';
import { isChannelName, isHeaderToken, isLabel, type DataMessage, type Raw } from './core/message.js';
import { randomFrom } from './core/random.js';
import type { RequestWhat } from './core/requests.js';
import type { SessionConfig } from './core/session_types.js';
import { isConnected } from './core/state.js';
import type { Stored } from './core/store.js';
import { Driver } from './driver.js';
import { Emitter } from './emitter.js';
import { HoldfastError, PublishRefused, PublishUncertain } from './errors.js';
import { networkKey } from './network_key.js';
import { ChannelSubscription, gapCode, serverError } from './subscription.js';
import { Tokens } from './tokens.js';
import type {
  AnyChannels,
  ChannelMap,
  ChannelName,
  Client,
  ClientEvents,
  Disconnected,
  Gap,
  History,
  HistoryOptions,
  HoldfastOptions,
  Member,
  Message,
  Off,
  OutboxStore,
  Payload,
  Platform,
  Published,
  PublishOptions,
  StateChange,
  StoredState,
  SubscribeOptions,
  Subscription,
} from './types.js';

/** Between two saves of what is known of networks: while one is new, that changes after each probe. */
const memorySaveMs = 10_000;
const urlsMax = 8;

interface Settle<T> {
  resolve(value: T): void;
  reject(error: unknown): void;
}

interface Waiting extends Settle<unknown> {
  readonly what: RequestWhat;
  readonly askedAt: number;
  readonly cancelTimer: () => void;
}

export function invalid(text: string): HoldfastError {
  return new HoldfastError('invalid', text);
}

export function checkUrls(url: string | readonly string[]): readonly string[] {
  const urls = typeof url === 'string' ? [url] : url;
  if (urls.length === 0 || urls.length > urlsMax) throw invalid(`1 to ${urlsMax} URLs can be given, and these are ${urls.length}`);
  for (const each of urls)
    if (!/^wss?:\/\/[^/?#\s]+/i.test(each)) throw invalid(`"${each}" is no URL of a server: ws://HOST[:PORT]/PATH or wss://… is`);
  return urls;
}

export function checkBound(name: string, value: number | undefined, otherwise: number, min: number, max: number): number {
  if (value === undefined) return otherwise;
  if (!Number.isFinite(value) || value < min || value > max) throw invalid(`"${name}" is no number from ${min} to ${max}`);
  return Math.floor(value);
}

function codecsOf(encoding: HoldfastOptions['encoding'] = 'auto'): readonly CodecKind[] {
  switch (encoding) {
    case 'auto':
      return [binaryCodec, jsonCodec];
    case 'binary':
      return [binaryCodec];
    case 'json':
      return [jsonCodec];
    default:
      throw invalid('"encoding" is none of "auto", "binary" and "json"');
  }
}

/** The text that a payload is on the wire; bytes stay bytes. */
export function rawPayload(payload: unknown): Raw {
  if (payload instanceof Uint8Array) return new Uint8Array(payload); // Not slice(): that of a Buffer is a view of it.
  let text: string | undefined;
  try {
    text = JSON.stringify(payload);
  } catch (error) {
    throw invalid(`the payload cannot be written as JSON: ${error instanceof Error ? error.message : String(error)}`);
  }
  if (text === undefined) throw invalid('the payload cannot be written as JSON: undefined, functions and symbols have no form there');
  return text;
}

export function messageOf<P>(epoch: string, { channel, offset, id, payload, timestamp, from }: DataMessage): Message<P> {
  const common = { type: 'message', channel, epoch, offset, id, payload: payload as P, timestamp } as const;
  return from === undefined ? common : { ...common, from };
}

/** A client as `Client` in types.ts describes it. The platform comes from the entry point that the program imports. */
export class HoldfastClient<M extends ChannelMap = AnyChannels> implements Client<M> {
  private readonly emitter = new Emitter<ClientEvents>();
  private readonly subscriptions = new Map<string, ChannelSubscription>();
  /** Subscribed to anew while the channel's last subscription is not over yet. */
  private readonly following = new Map<string, ChannelSubscription>();
  private readonly publishes = new Map<number, Settle<Published>>();
  private readonly requests = new Map<number, Waiting>();
  private readonly connectedWaiters: Settle<void>[] = [];
  private readonly closeWaiters: (() => void)[] = [];
  private readonly tokens: Tokens;
  private readonly memory = new HeartbeatMemory();
  private memorySavedAt = -Infinity;
  private readonly adaptive: AdaptiveHeartbeat | null = null;
  private tolerance: number;
  private readonly backgroundTolerance: number;
  private isBackground: boolean;
  private readonly requestTimeout: number;
  private readonly hasStore: boolean;
  private cancelRenewal: () => void = () => undefined;
  /** null: the outbox is being read, and what is called waits in `early`. */
  protected driver: Driver | null = null;
  private early: (() => void)[] = [];
  private isStarted: boolean;
  /** The outbox could not be read, or the client was closed before it was. */
  private stillborn = false;

  constructor(
    url: string | readonly string[],
    private readonly options: HoldfastOptions,
    private readonly platform: Platform,
  ) {
    const urls = checkUrls(url);
    const { token, heartbeat = 'adaptive' } = options;
    if (token !== undefined && !isHeaderToken(token, 4096))
      throw invalid("\"token\" is none: letters, digits and !#$%&'*+-.^_`|~ can stand in it, at most 4,096 of them");
    this.tokens = new Tokens(token, options.getToken, platform.wallClock());
    this.tolerance = checkBound('tolerance', options.tolerance, toleranceForegroundMs, 1, toleranceMsMax);
    this.backgroundTolerance = checkBound('backgroundTolerance', options.backgroundTolerance, toleranceIdleMs, 1, toleranceMsMax);
    this.requestTimeout = checkBound('requestTimeout', options.requestTimeout, 30_000, 0, 86_400_000);
    this.isBackground = options.background ?? platform.background();
    this.isStarted = options.autoConnect !== false;
    this.hasStore = options.storage?.outbox !== undefined;
    if (!['adaptive', 'classic', 'fixed'].includes(heartbeat)) throw invalid('"heartbeat" is none of "adaptive", "classic" and "fixed"');
    const interval = checkBound('heartbeatInterval', options.heartbeatInterval, 0, 0, toleranceMsMax);
    const random = randomFrom(() => platform.random());
    if (interval === 0 && heartbeat === 'adaptive') {
      this.loadMemory();
      this.adaptive = new AdaptiveHeartbeat(this.currentTolerance(), this.memory, random);
    }
    const config = (stored: Stored | null, store: SessionConfig['store']): SessionConfig => ({
      codecs: codecsOf(options.encoding),
      token: token ?? null,
      tokenSource: options.getToken !== undefined,
      outboxMessages: checkBound('outboxMessages', options.outboxMessages, 10_000, 1, 2 ** 31),
      outboxBytes: checkBound('outboxBytes', options.outboxBytes, 16 * 1024 * 1024, 1, 2 ** 30),
      window: checkBound('window', options.window, 1000, 1, 2 ** 31),
      subscriptions: checkBound('subscriptions', options.subscriptions, 256, 0, 100_000),
      heartbeatIntervalMs: interval,
      policy: this.adaptive ?? (interval === 0 && heartbeat === 'classic' ? new ClassicHeartbeat() : null),
      background: this.isBackground,
      random,
      splitDial: false,
      store,
      stored,
      onEvent: (event) => this.onEvent(event),
    });
    const transport = options.transport ?? platform.transport();
    const make = (stored: Stored | null, store: SessionConfig['store']): void => this.begin(urls, transport, config(stored, store));
    if (options.storage?.outbox === undefined) make(null, null);
    else this.loadOutbox(options.storage.outbox, make);
  }

  /* --- what the application reads --- */

  get state(): State {
    return this.driver?.session.state ?? (this.stillborn ? 'ended' : 'waiting');
  }

  get session(): string {
    return this.driver?.session.id ?? '';
  }

  get unanswered(): number {
    return this.driver?.session.publishing.outbox.count ?? 0;
  }

  on<E extends keyof ClientEvents>(event: E, handler: (event: ClientEvents[E]) => void): Off {
    return this.emitter.on(event, handler);
  }

  onState(handler: (change: StateChange) => void): Off {
    return this.on('state', handler);
  }

  /* --- what it asks for --- */

  connect(): void {
    this.isStarted = true;
    this.driver?.start();
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
    const last = this.subscriptions.get(channel);
    const subscription = new ChannelSubscription<Payload<M, C>>(channel, options, {
      unsubscribe: (name) => this.leave(name),
      publish: (name, payload, how) => this.publishTo(name, payload, how),
      history: (name, what) => this.historyOf(name, what),
      presence: (name) => this.presence(name as ChannelName<M>),
    });
    const kept = subscription as unknown as ChannelSubscription;
    if (last?.leaving === true && !this.following.has(channel)) {
      this.following.set(channel, kept); // Behind the last one's end.
    } else {
      if (last !== undefined)
        throw new HoldfastError('exists', `"${channel}" is followed already: subscription("${channel}") gives its subscription`);
      if (this.driver === null) this.checkEarly(channel);
      else this.driver.soon((now) => this.driver?.session.channels.subscribe(channel, options, now));
      this.subscriptions.set(channel, kept);
      if (this.driver === null) this.later(() => this.follow(kept));
    }
    if (onMessage !== undefined) subscription.on('message', onMessage);
    return subscription;
  }

  subscription<C extends ChannelName<M>>(channel: C): Subscription<Payload<M, C>> | undefined {
    const found = this.following.get(channel) ?? this.subscriptions.get(channel);
    return found === undefined || found.leaving ? undefined : (found as unknown as Subscription<Payload<M, C>>);
  }

  publish<C extends ChannelName<M>>(channel: C, payload: Payload<M, C>, options?: PublishOptions): Promise<Published> {
    return this.publishTo(channel, payload, options);
  }

  history<C extends ChannelName<M>>(channel: C, options?: HistoryOptions): Promise<History<Payload<M, C>>> {
    return this.historyOf(channel, options) as Promise<History<Payload<M, C>>>;
  }

  presence(channel: ChannelName<M>): Promise<readonly Member[]> {
    return this.ask({ type: 'presence', channel }) as Promise<readonly Member[]>;
  }

  ping(): Promise<number> {
    return this.ask({ type: 'ping' }) as Promise<number>;
  }

  async call<R = unknown>(method: string, payload: unknown = null): Promise<R> {
    if (!isLabel(method)) throw invalid('the method is a name of 1 to 255 bytes');
    return (await this.ask({ type: 'call', method, payload: rawPayload(payload) })) as R;
  }

  setToken(token: string): void {
    if (!isHeaderToken(token, 4096))
      throw invalid("the token is none: letters, digits and !#$%&'*+-.^_`|~ can stand in it, at most 4,096 of them");
    this.tokens.taken(token, this.platform.wallClock(), isConnected(this.state));
    this.later(() => this.driver?.soon((now) => this.driver?.session.setToken(token, now)));
    this.planRenewal();
  }

  setTolerance(tolerance: number): void {
    this.tolerance = checkBound('tolerance', tolerance, tolerance, 1, toleranceMsMax);
    this.later(() => this.toleranceChanged());
  }

  setBackground(background: boolean): void {
    this.later(() => this.driver?.background(background));
  }

  close(): Promise<void> {
    if (this.state === 'ended') return Promise.resolve();
    return new Promise((resolve) => {
      this.closeWaiters.push(resolve);
      this.later(() => this.driver?.run((now) => this.driver?.session.close(now)));
    });
  }

  /* --- beginning --- */

  private begin(urls: readonly string[], transport: ReturnType<Platform['transport']>, config: SessionConfig): void {
    const { platform, tokens } = this;
    this.driver = new Driver(
      {
        platform,
        transport,
        urls,
        tokenMissing: () => {
          const missing = tokens.missing(platform.wallClock());
          if (missing) this.askToken(false);
          return missing;
        },
        refused: (status) => {
          if (status === 401) tokens.expired();
        },
        backgroundChanged: (background) => {
          this.isBackground = background;
          this.toleranceChanged();
        },
        leaving: () => this.saveMemory(true),
      },
      config,
    );
    if (this.isStarted) this.driver.start();
    this.planRenewal();
    for (const call of this.early.splice(0)) call();
  }

  /** Now, or when the outbox has been read. */
  protected later(call: () => void): void {
    if (this.driver === null && !this.stillborn) this.early.push(call);
    else call();
  }

  private loadOutbox(store: OutboxStore, make: (stored: Stored, store: SessionConfig['store']) => void): void {
    const saved = (ok: boolean): void => this.driver?.run((now) => this.driver?.session.saved(ok, now));
    const adapted = {
      put: store.put.bind(store),
      refuse: store.refuse.bind(store),
      save: (state: StoredState): 'later' => {
        void store.save(state).then(
          () => saved(true),
          () => saved(false),
        );
        return 'later';
      },
    };
    const failed = (error: unknown): void => {
      this.stillborn = true;
      this.problem(error instanceof HoldfastError ? error : new HoldfastError('outbox', `the outbox cannot be read: ${String(error)}`));
      for (const call of this.early.splice(0)) call();
      this.hasEnded();
    };
    store.load().then((stored) => {
      try {
        make(stored, adapted);
      } catch (error) {
        failed(error);
      }
    }, failed);
  }

  private checkEarly(channel: string): void {
    if (this.stillborn) throw closedError();
    if (!isChannelName(channel)) throw invalid(`"${channel}" names no channel: 1 to 255 bytes of UTF-8 without control characters do`);
  }

  /* --- tokens, tolerance, memory --- */

  private askToken(renewal: boolean): void {
    this.tokens.ask(
      renewal,
      (token) => {
        this.tokens.taken(token, this.platform.wallClock(), isConnected(this.state));
        const good = this.driver?.run((now) => this.driver?.session.setToken(token, now));
        if (good === false) {
          this.tokens.expired();
          this.problem(invalid('getToken() gave what is no token: see the option "token"'));
        }
        this.planRenewal();
      },
      (error) => {
        this.problem(new HoldfastError('unauthorized', `getToken() failed: ${error instanceof Error ? error.message : String(error)}`));
        // The attempt that waits for it ends at its deadline, and the next one asks again; a renewal is not repeated: the next attempt will ask.
      },
    );
  }

  private planRenewal(): void {
    const unix = this.platform.wallClock();
    const at = this.tokens.renewAt;
    this.cancelRenewal();
    this.cancelRenewal = () => undefined;
    if (at === Infinity || this.state === 'ended') return;
    this.cancelRenewal = this.platform.timer(Math.max(1000, at - unix), () => {
      if (isConnected(this.state)) this.askToken(true);
    });
  }

  private currentTolerance(): number {
    return this.isBackground ? Math.max(this.tolerance, this.backgroundTolerance) : this.tolerance;
  }

  private toleranceChanged(): void {
    this.adaptive?.setTolerance(this.currentTolerance());
    this.driver?.soon((now) => this.driver?.session.heartbeatChanged(now));
  }

  private loadMemory(): void {
    const { platform, options } = this;
    try {
      const text = options.storage?.heartbeat?.load();
      if (typeof text === 'string') this.memory.decode(text, platform.now(), platform.wallClock());
    } catch {
      // It is a cache: what cannot be read is as good as nothing.
    }
  }

  private saveMemory(atOnce: boolean): void {
    const { platform, memory } = this;
    const now = platform.now();
    if (!memory.changed || (!atOnce && now - this.memorySavedAt < memorySaveMs)) return;
    memory.changed = false;
    this.memorySavedAt = now;
    try {
      this.options.storage?.heartbeat?.save(memory.encode(now, platform.wallClock()));
    } catch {
      // What cannot be kept is learnt again.
    }
  }

  /* --- publishes and requests --- */

  private publishTo(channel: string, payload: unknown, options: PublishOptions = {}): Promise<Published> {
    return new Promise((resolve, reject) => {
      const raw = rawPayload(payload);
      const publish = (): void => {
        if (this.driver === null) {
          reject(closedError());
          return;
        }
        try {
          const publishId = this.driver.soon(() => this.driver?.session.publishing.publish(channel, raw, options.id));
          if (publishId !== undefined) this.publishes.set(publishId, { resolve, reject });
        } catch (error) {
          reject(error);
        }
      };
      this.later(publish);
    });
  }

  private historyOf(channel: string, { since, limit = 100, reverse = false }: HistoryOptions = {}): Promise<History> {
    return this.ask({ type: 'history', channel, since, limit, reverse }) as Promise<History>;
  }

  private ask(what: RequestWhat): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.later(() => {
        const { driver } = this;
        if (driver === null) {
          reject(closedError());
          return;
        }
        try {
          const requestId = driver.soon((now) => driver.session.questions.ask(what, now));
          const cancelTimer =
            this.requestTimeout === 0 ? () => undefined : this.platform.timer(this.requestTimeout, () => this.requestTimedOut(requestId));
          this.requests.set(requestId, { what, resolve, reject, askedAt: this.platform.now(), cancelTimer });
        } catch (error) {
          reject(error);
        }
      });
    });
  }

  private answered(requestId: number): Waiting | undefined {
    const waiting = this.requests.get(requestId);
    this.requests.delete(requestId);
    waiting?.cancelTimer();
    return waiting;
  }

  private requestTimedOut(requestId: number): void {
    this.driver?.session.questions.forget(requestId);
    this.answered(requestId)?.reject(
      new HoldfastError('timeout', `no answer within ${this.requestTimeout} ms: ask again, or see the option "requestTimeout"`),
    );
  }

  /* --- subscriptions --- */

  private follow(subscription: ChannelSubscription): void {
    const { channel, options } = subscription;
    try {
      if (this.driver === null) throw closedError();
      this.driver.soon((now) => this.driver?.session.channels.subscribe(channel, options, now));
    } catch (error) {
      this.subscriptions.delete(channel);
      subscription.unsubscribed(error instanceof HoldfastError ? error : invalid(String(error)));
    }
  }

  private leave(channel: string): void {
    this.later(() => {
      const following = this.following.get(channel);
      if (following?.leaving === true) {
        // It had not begun.
        this.following.delete(channel);
        following.unsubscribed(undefined);
        return;
      }
      this.driver?.soon((now) => this.driver?.session.channels.unsubscribe(channel, now));
    });
  }

  private channelEnded(channel: string, error: HoldfastError | undefined): void {
    const next = this.following.get(channel);
    const last = this.subscriptions.get(channel);
    this.following.delete(channel);
    if (next === undefined) this.subscriptions.delete(channel);
    else this.subscriptions.set(channel, next);
    last?.unsubscribed(error);
    if (next !== undefined) this.follow(next);
  }

  /** The one that a channel's events are for: one that the backend made is made here, too. */
  private subscriptionOf(channel: string): ChannelSubscription {
    const known = this.subscriptions.get(channel);
    if (known !== undefined) return known;
    const made = new ChannelSubscription(channel, {}, {
      unsubscribe: (name) => this.leave(name),
      publish: (name, payload, how) => this.publishTo(name, payload, how),
      history: (name, what) => this.historyOf(name, what),
      presence: (name) => this.presence(name as ChannelName<M>),
    });
    this.subscriptions.set(channel, made);
    this.emitter.emit('subscription', made);
    return made;
  }

  /* --- what the session tells --- */

  protected onEvent(event: SessionEvent): void {
    switch (event.type) {
      case 'message': {
        const subscription = this.subscriptions.get(event.message.channel);
        const message = messageOf(event.epoch, event.message);
        if (subscription === undefined) return;
        subscription.message(message);
        this.emitter.emit('message', message);
        return;
      }
      case 'acked': {
        const { publishId, channel, offset } = event;
        this.published(publishId)?.resolve({ channel, offset: offset === 0 ? null : offset, publishId });
        return;
      }
      case 'refused': {
        const { publishId, channel, code, reason } = event;
        const { code: errorCode, message } = serverError(code, reason);
        this.published(publishId)?.reject(new PublishRefused(channel, errorCode, message, code));
        return;
      }
      case 'uncertain': {
        const { publishId, channel, id, payload } = event;
        const value: unknown = typeof payload === 'string' ? JSON.parse(payload) : payload;
        this.uncertain(publishId, new PublishUncertain(channel, id, value));
        return;
      }
      case 'state': {
        const { from, to, cause, evidence, reason, closeCode, httpStatus, delayMs: nextAttempt } = event;
        this.emitter.emit('state', { from, to, cause, evidence, reason, closeCode, httpStatus, nextAttempt });
        return;
      }
      case 'connected':
        this.onConnected(event);
        return;
      case 'caughtUp':
        this.emitter.emit('caughtUp', { messages: event.count });
        this.saveMemory(false);
        return;
      case 'disconnected':
      case 'retrying':
      case 'ended':
        this.onEnding(event);
        return;
      case 'subscribed': {
        const { channel, epoch, offset, recovered } = event;
        this.subscriptionOf(channel).subscribed({ channel, epoch, offset, recovered });
        return;
      }
      case 'unsubscribed':
        this.channelEnded(event.channel, event.code === '' ? undefined : serverError(event.code, event.reason));
        return;
      case 'gap':
        this.onGap(event);
        return;
      case 'presence': {
        const { kind, channel, member } = event;
        this.subscriptions.get(channel)?.presenceChanged(kind, { channel, ...member });
        return;
      }
      case 'pong': {
        const waiting = this.answered(event.requestId);
        waiting?.resolve(this.platform.now() - waiting.askedAt);
        return;
      }
      case 'history': {
        const { channel, epoch, offset: head, messages } = event;
        this.answered(event.requestId)?.resolve({ channel, epoch, head, messages: messages.map((each) => messageOf(epoch, each)) });
        return;
      }
      case 'members':
        this.answered(event.requestId)?.resolve(event.members);
        return;
      case 'reply':
        this.answered(event.requestId)?.resolve(event.payload);
        return;
      case 'failed': {
        const { requestId, code, reason } = event;
        this.answered(requestId)?.reject(code === 'uncertain' ? new HoldfastError(code, reason) : serverError(code, reason));
        return;
      }
      case 'error': {
        const { code, reason, channel } = event;
        this.problem(code === 'outbox' ? new HoldfastError(code, reason) : serverError(code, reason), channel);
        return;
      }
    }
  }

  private onConnected(event: Extract<SessionEvent, { type: 'connected' }>): void {
    const { session, resumed, retries, encoding, address } = event;
    const own = this.driver?.session;
    own?.setNetwork(networkKey(this.platform.networkKey(), address), this.platform.now());
    for (const waiter of this.connectedWaiters.splice(0)) waiter.resolve();
    this.emitter.emit('connected', { session, resumed, connections: own?.connections ?? 1, retries, encoding });
  }

  private onEnding({ type, cause, evidence, reason, closeCode, httpStatus, delayMs, asked }: EndingEvent): void {
    const event: Disconnected = { cause, evidence, reason, closeCode, httpStatus, nextAttempt: delayMs, asked };
    if (cause === 'token_expired') this.tokens.expired();
    if (type === 'retrying') this.driver?.nextUrl();
    this.saveMemory(type === 'ended');
    this.emitter.emit(type, event);
    if (type === 'ended') this.hasEnded();
  }

  private onGap({ channel, epoch, from, to, code }: Extract<SessionEvent, { type: 'gap' }>): void {
    const offsets = code === 'epoch' ? { from: null, to: null } : { from, to };
    const gap: Gap = { type: 'gap', channel, epoch, ...offsets, code: gapCode(code) };
    const subscription = this.subscriptions.get(channel);
    const heard = subscription?.gap(gap) === true;
    if (!heard && !this.emitter.has('gap'))
      this.platform.warn(
        `holdfast: messages ${from} to ${to} of "${channel}" cannot be had (${code}), and nobody listens to that: see the event "gap"`,
      );
    this.emitter.emit('gap', gap);
  }

  /** The promise of a publish; undefined: another page made it. */
  private published(publishId: number): Settle<Published> | undefined {
    const settle = this.publishes.get(publishId);
    this.publishes.delete(publishId);
    return settle;
  }

  private uncertain(publishId: number, error: PublishUncertain): void {
    const settle = this.published(publishId);
    if (settle === undefined) this.problem(error, error.channel);
    else settle.reject(error);
  }

  protected problem(error: HoldfastError, channel = ''): void {
    if (!this.emitter.has('problem')) this.platform.warn(`holdfast: ${error.message}`);
    this.emitter.emit('problem', channel === '' ? { error } : { error, channel });
  }

  /** Nothing more will come: what waits is told so. */
  private hasEnded(): void {
    this.cancelRenewal();
    this.settleUnanswered();
    for (const requestId of [...this.requests.keys()]) this.answered(requestId)?.reject(closedError());
    for (const waiter of this.connectedWaiters.splice(0)) waiter.reject(closedError());
    for (const subscription of [...this.subscriptions.values(), ...this.following.values()])
      subscription.unsubscribed(subscription.leaving ? undefined : closedError());
    this.subscriptions.clear();
    this.following.clear();
    this.options.storage?.outbox?.close();
    for (const resolve of this.closeWaiters.splice(0)) resolve();
  }

  /** Those that may have been sent are uncertain; with a store all stay there for the next page. */
  private settleUnanswered(): void {
    const outbox = this.driver?.session.publishing.outbox;
    const sentId = outbox === undefined ? 0 : outbox.firstId + outbox.sent - 1;
    if (this.hasStore) this.driver?.run((now) => this.driver?.session.saveLast(now));
    for (const [publishId, { reject }] of this.publishes) {
      // By its number: what was refused is settled, and lies in the outbox all the same.
      const item = this.hasStore ? undefined : outbox?.byId(publishId);
      if (item !== undefined && publishId <= sentId)
        reject(new PublishUncertain(item.channel, item.id, typeof item.payload === 'string' ? JSON.parse(item.payload) : item.payload));
      else reject(closedError());
    }
    this.publishes.clear();
    if (!this.hasStore) while (outbox?.take() !== undefined);
  }
}

export function closedError(): HoldfastError {
  return new HoldfastError('closed', 'this client was closed, or its session has ended: make a new one');
}
