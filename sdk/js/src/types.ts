/**
 * types.ts - the whole public interface: every option, event, unit and default.
 *
 * All times are milliseconds. Offsets are a message's place in its channel, 1, 2, 3 … within the channel's epoch. Handlers are called one after the other, in the order
 * in which things happened; what a handler throws is reported as the platform reports uncaught errors, and stops nothing.
 */
import type { Cause, GapCode, State } from './codes.js';
import type { HoldfastError } from './errors.js';

export type { Cause, ErrorCode, GapCode, State } from './codes.js';

/**
 * What a program's channels carry: a type whose members are channel names (or patterns of them, as template literals) and whose values are the payloads.
 *
 *     type Channels = { ticker: Quote; [room: `room:${string}`]: ChatLine };
 *     const holdfast = new Holdfast<Channels>('wss://example.org/ws');
 *     holdfast.subscribe('room:lobby', (message) => show(message.payload.text));
 *
 * Nothing is checked when the program runs: the map says what publishers are trusted to send. Without a map payloads are `unknown`.
 */
export type ChannelMap = object;
/** Without a map: channels of every name, whose payloads are `unknown`. */
export type AnyChannels = Record<string, unknown>;
/** The names of the channels that a map has. */
export type ChannelName<M extends ChannelMap> = keyof M & string;
/** What a channel carries, by its name. */
export type Payload<M extends ChannelMap, C extends ChannelName<M>> = M[C];

/** A place in a channel: behind this message. It can be kept (as JSON, say) and given as `since` to a later page. */
export interface Position {
  /** Which life of the channel the offset belongs to: a channel that is begun anew has another epoch, and counts from 1. */
  readonly epoch: string;
  /** Of the message behind which the place is; 0: before the first. */
  readonly offset: number;
}

/* --- what comes --- */

/** A message of a channel. */
export interface Message<P = unknown> {
  /** Tells a message from a gap. */
  readonly type: 'message';
  /** The name of the channel that it came by. */
  readonly channel: string;
  /** The epoch that `offset` belongs to. */
  readonly epoch: string;
  /** Its place in the channel. What comes later has a higher one. */
  readonly offset: number;
  /** The publisher's own, else `epoch-offset`. */
  readonly id: string;
  /** JSON as `JSON.parse()` gives it; a binary payload is a `Uint8Array`. */
  readonly payload: P;
  /** When the server took it: Unix time in ms. */
  readonly timestamp: number;
  /** The publisher's user, as the server knows it. */
  readonly from?: string;
}

/**
 * Messages that cannot be had. Everything else of the channel comes once and in order, so this is the one thing that an application must decide on: load the
 * present state otherwise, or tell its user.
 */
export interface Gap {
  /** Tells a gap from a message. */
  readonly type: 'gap';
  /** The name of the channel that it is in. */
  readonly channel: string;
  /** The epoch that the channel has now: with the code `epoch` the new one. */
  readonly epoch: string;
  /** The first and the last offset that is missing; both null with the code `epoch`: what is left of the old epoch is not known. */
  readonly from: number | null;
  /** The last offset that is missing; see `from`. */
  readonly to: number | null;
  /** Why they cannot be had. */
  readonly code: GapCode;
}

/** A subscription has begun, or goes on in a new session. Messages follow behind `offset`. */
export interface Subscribed {
  /** The name of the channel. */
  readonly channel: string;
  /** The epoch that `offset` belongs to. */
  readonly epoch: string;
  /** Behind this offset; 0: before the first message. */
  readonly offset: number;
  /** All since the asked position follows. If not, a gap says what does not. */
  readonly recovered: boolean;
}

/** A subscription has ended, for ever. */
export interface Unsubscribed {
  /** The name of the channel. */
  readonly channel: string;
  /** Why the server ended it; undefined: `unsubscribe()` did, or the client has ended. */
  readonly error?: HoldfastError;
}

/** Another subscriber of the channel has come, or gone. Told to subscriptions with `presence: true`, and to those of which somebody listens to `members`. */
export interface Presence {
  /** The name of the channel. */
  readonly channel: string;
  /** The id of the session that came or went: a user may have several. */
  readonly session: string;
  /** The user, as the server knows it by the token; empty: it has none. */
  readonly user: string;
  /** What the server knows about the user beyond that; undefined: nothing. */
  readonly info?: unknown;
}

/** One subscriber of a channel, by its session. */
export interface Member {
  /** The session's id: a user may have several. */
  readonly session: string;
  /** The user, as the server knows it by the token; empty: it has none. */
  readonly user: string;
  /** What the server knows about the user beyond that; undefined: nothing. */
  readonly info?: unknown;
}

/** All subscribers of a channel at a time. What `join` and `leave` tell behind it are changes to that list. */
export interface Members {
  /** The name of the channel. */
  readonly channel: string;
  /** One entry for each session, this one's own among them; empty where there is an `error`: then nobody knows. */
  readonly members: readonly Member[];
  /** Why they are not known: `forbidden`, `limit`, `unavailable` from a server without presence …; null: they are. What is refused for now is asked for again, and told when it is there. */
  readonly error: HoldfastError | null;
}

/* --- the connection --- */

/** The connection's state has changed. */
export interface StateChange {
  /** The state before. */
  readonly from: State;
  /** The state now. */
  readonly to: State;
  /** Why. */
  readonly cause: Cause;
  /** In English: what the cause was seen by. */
  readonly evidence: string;
  /** What the server said about it; may be empty. */
  readonly reason: string;
  /** The WebSocket close code that was received; 0: none. */
  readonly closeCode: number;
  /** The HTTP answer in place of 101; 0: none, or not to be had, as in every browser. */
  readonly httpStatus: number;
  /**
   * Until the next attempt; 0: one is under way; null: none is planned. It comes no sooner, unless the network changes, the machine wakes up or the page is looked
   * at again.
   */
  readonly nextAttempt: number | null;
}

/** The server has welcomed a connection. */
export interface Connected {
  /** The session's id, the same as before where it was resumed. */
  readonly session: string;
  /** The session goes on; false also for the first connection. */
  readonly resumed: boolean;
  /** So many connections until now, this one included. */
  readonly connections: number;
  /** Attempts that failed before it. */
  readonly retries: number;
  /** The encoding that the server picked. */
  readonly encoding: 'json' | 'binary';
}

/** A connection was lost, an attempt failed, or the session ended. */
export interface Disconnected {
  /** Why. */
  readonly cause: Cause;
  /** As in `StateChange`. */
  readonly evidence: string;
  /** As in `StateChange`. */
  readonly reason: string;
  /** As in `StateChange`. */
  readonly closeCode: number;
  /** As in `StateChange`. */
  readonly httpStatus: number;
  /** Until the next attempt; 0: at once, or one is under way. Always 0 in `ended`. */
  readonly nextAttempt: number;
  /** `ended`: `close()` asked for it. */
  readonly asked: boolean;
}

/** A request was refused, the server sent what cannot be understood, or something of this client does not work as it should. */
export interface Problem {
  /** What is wrong, and what to do about it. */
  readonly error: HoldfastError;
  /** The channel that it concerns, if any. */
  readonly channel?: string;
}

/** The events of a client, for `on()`. Where one of the others tells of the same as `state`, it comes after it. */
export interface ClientEvents {
  /** Every change of the state, each once. */
  state: StateChange;
  /** The server has welcomed a connection. */
  connected: Connected;
  /** All that was missed while away has been delivered: so many messages. It follows each `connected`. */
  caughtUp: { readonly messages: number };
  /** The connection that stood is lost. Subscriptions and publishes are kept, and go on with the next one. */
  disconnected: Disconnected;
  /** An attempt failed. */
  retrying: Disconnected;
  /** The last event: the session is over. Nothing reconnects after it; make a new client. */
  ended: Disconnected;
  /** Every message of every channel, after its subscription's own handlers. */
  message: Message;
  /** Every gap of every channel. One that nobody listens to, here or at its subscription, is written to the console. */
  gap: Gap;
  /** A subscription that the backend made for this user: the client had not asked for it. */
  subscription: Subscription;
  /** Written to the console if nobody listens. */
  problem: Problem;
}

/** The events of a subscription, for `on()`. */
export interface SubscriptionEvents<P = unknown> {
  /** The next message of the channel. */
  message: Message<P>;
  /** Messages that cannot be had. What follows lies behind them. */
  gap: Gap;
  /** The server has confirmed the subscription, for the first time or in a new session. */
  subscribed: Subscribed;
  /** The last event. */
  unsubscribed: Unsubscribed;
  /**
   * Who is there, as a whole: when the server has confirmed the subscription, when the listener comes later than that, after each break, and where the server had to leave joins and leaves out. To
   * listen to it is to ask for `join` and `leave` as well, until nobody listens any more.
   */
  members: Members;
  /** Another subscriber has come. */
  join: Presence;
  /** Another subscriber has gone. */
  leave: Presence;
}

/** Stop listening. Calling it again does nothing. */
export type Off = () => void;

/* --- options --- */

/** Why a token is asked for: for the first attempt; the last one has expired or was refused; it will expire soon. */
export type TokenReason = 'first' | 'expired' | 'renewal';

/** What can be chosen for a client. Everything has a default. */
export interface HoldfastOptions {
  /** A JWT, or whatever the server takes, shown with every connection: letters, digits and !#$%&'*+-.^_`|~ only, at most 4,096. Default: none. */
  token?: string;
  /**
   * Where tokens come from. It is called before the first attempt; before the next one after the server said that the token has expired (4002, or 401 where that can be
   * seen) or its `exp` has passed; and, if the token is a JWT with `exp`, before that, so that the connection need not break for it: half a minute before, or at half of the
   * time that is left where that is less, and never within 5 s. A token that it has just given is shown to the server even if its `exp` has passed by this machine's clock. What it
   * throws fails the attempt, and it is called again for the next; so it is where it gives nothing for 30 s. Default: none; then an expired token ends the session.
   */
  getToken?: (reason: TokenReason) => string | Promise<string>;
  /**
   * How messages are written. `auto`, the default, asks for binary and takes JSON where the server has nothing else; `binary`: nothing but that; `json`: readable in the
   * browser's tools.
   */
  encoding?: 'auto' | 'binary' | 'json';
  /**
   * How long a silent connection waits before it is asked whether it lives. `adaptive`, the default: as long as the application tolerates and the network has been found to
   * bear. `classic`: 25 s, growing and halving between 10 s and 60 s. `fixed`: `heartbeatInterval`, or what the server says. docs/heartbeats.md compares them.
   */
  heartbeat?: 'adaptive' | 'classic' | 'fixed';
  /** To ask of the server, in ms; default 0: the server's own. Another number makes the heartbeat `fixed`. */
  heartbeatInterval?: number;
  /** `adaptive`: how long a break of a silent connection may go unseen, 1 to 3,600,000 ms; default 30,000: for an application that somebody looks at. */
  tolerance?: number;
  /** The same while nobody looks (a hidden tab, `setBackground(true)`); default 120,000. The server is asked to stretch its heartbeat accordingly. */
  backgroundTolerance?: number;
  /** Publishes kept until they are answered; default 10,000. At that, or at `outboxBytes`, `publish()` rejects with `outbox_full`. */
  outboxMessages?: number;
  /** And their bytes (UTF-16 units count as one for ASCII text, as UTF-8 does); default 16 MiB. */
  outboxBytes?: number;
  /** Publishes on their way at once; default 1,000. */
  window?: number;
  /** Default 256, the server's own limit. */
  subscriptions?: number;
  /** How long history(), presence(), ping() and call() wait for their answers through whatever breaks, in ms; default 30,000. 0: for ever. */
  requestTimeout?: number;
  /** Begin as after `setBackground(true)`; default: as the page is (hidden or not), false elsewhere. */
  background?: boolean;
  /** Default true. False: `connect()` begins. Subscriptions and publishes may be made before. */
  autoConnect?: boolean;
  /**
   * Makes the connections; default: the platform's `WebSocket`, but in Node that of npm `ws` where it is installed: it alone tells HTTP statuses, and Node before 22 has none of its own. Or give
   * `webSocketTransport(WebSocket)` of whatever implementation.
   */
  transport?: Transport;
  /** Keeps what should outlive the page; default: nothing does. See `Storage`. */
  storage?: Storage;
  /** What tells of the system's signals and of time; default: the browser's, or Node's. For tests, and for platforms that are neither. */
  platform?: Platform;
}

/** Where a subscription begins, and what it is told. */
export interface SubscribeOptions {
  /** Begin behind this place: what followed it comes first, or a gap tells what cannot be had. Default: with the next message. */
  since?: Position;
  /** Else begin with the newest n messages. */
  last?: number;
  /** `latest`: only the newest value matters, and what a slow connection misses is skipped without a gap. Default `all`. */
  mode?: 'all' | 'latest';
  /** Be told by `join` and `leave` who comes and goes. Default false; `members`, the event, asks for it by itself. */
  presence?: boolean;
}

/** What can be said of a publish beside its payload. */
export interface PublishOptions {
  /** The message's own id, up to 255 bytes. Where the channel keeps ids, a second publish with the same id is not applied. */
  id?: string;
}

/** A publish was applied, once. */
export interface Published {
  /** The name of the channel. */
  readonly channel: string;
  /** The message's place in the channel; null where the server does not know it any more. */
  readonly offset: number | null;
  /** 1, 2, 3 … for as long as the outbox lives. */
  readonly publishId: number;
}

/** Which of the kept messages are asked for. */
export interface HistoryOptions {
  /** Behind this place, exclusive; with `reverse` below it. Default: from the oldest kept, with `reverse` from the newest down. */
  since?: Position;
  /** 1 to 1,000; default 100. */
  limit?: number;
  /** Newest first. Default false. */
  reverse?: boolean;
}

/** What a channel has kept, or a part of it. */
export interface History<P = unknown> {
  /** The name of the channel. */
  readonly channel: string;
  /** Empty where the channel does not exist. */
  readonly epoch: string;
  /** The channel's newest offset; 0: none yet. */
  readonly head: number;
  /** In the order that was asked for. */
  readonly messages: readonly Message<P>[];
}

/** The bounds of a loop over a subscription. */
export interface IterateOptions {
  /** Messages and gaps kept for a loop that is slower than the channel; default 1,000. */
  limit?: number;
  /**
   * At that limit: `gap`, the default: the oldest are dropped, and a gap with the code `overflow` stands in their place. `fail`: the loop throws a HoldfastError
   * with the code `overflow`.
   */
  overflow?: 'gap' | 'fail';
  /** Ends the loop as if the subscription had ended. */
  signal?: AbortSignal;
}

/* --- what the application holds --- */

/** What an iterator of a subscription gives; `type` tells one from the other. */
export type Delivery<P = unknown> = Message<P> | Gap;

/**
 * One channel's messages, once and in order, through all breaks, or gaps in their place. Three ways to get them, which may be used together:
 *
 *     const chat = holdfast.subscribe('room:lobby', (message) => show(message.payload));
 *     chat.on('gap', () => reload());
 *     for await (const item of chat) if (item.type === 'gap') await reload(); else show(item.payload);
 */
export interface Subscription<P = unknown> extends AsyncIterable<Delivery<P>> {
  /** The name of the channel. */
  readonly channel: string;
  /** `pending`: not yet confirmed; `active`; `ended`: for ever, subscribe again for another. A break of the connection does not change it. */
  readonly state: 'pending' | 'active' | 'ended';
  /** Behind the last message (or gap) delivered; null: not known yet. Keep it to go on there later, by `since`. */
  readonly position: Position | null;
  /** Listen to an event. What it gives stops that. */
  on<E extends keyof SubscriptionEvents<P>>(event: E, handler: (event: SubscriptionEvents<P>[E]) => void): Off;
  /** Settles when the server has confirmed the subscription, or refused it. */
  ready(): Promise<Subscribed>;
  /** No message comes after this call. Settles when the server has been told, or the client has ended. */
  unsubscribe(): Promise<void>;
  /** As `for await (… of subscription)`, with bounds. Each loop sees all from its begin on. Leaving the loop does not unsubscribe. */
  iterate(options?: IterateOptions): AsyncIterableIterator<Delivery<P>>;
  /** As the client's `publish()`, to this channel. */
  publish(payload: P, options?: PublishOptions): Promise<Published>;
  /** As the client's `history()`, of this channel. */
  history(options?: HistoryOptions): Promise<History<P>>;
  /** As the client's `presence()`, of this channel. */
  presence(): Promise<readonly Member[]>;
}

/** A client: one session with a server, through all breaks of its connection. */
export interface Client<M extends ChannelMap = AnyChannels> {
  /** Where the connection stands. */
  readonly state: State;
  /** The session's id; empty before the first connection. */
  readonly session: string;
  /** Publishes without an answer. */
  readonly unanswered: number;
  /** Listen to an event. What it gives stops that. */
  on<E extends keyof ClientEvents>(event: E, handler: (event: ClientEvents[E]) => void): Off;
  /** The same as `on('state', handler)`. */
  onState(handler: (change: StateChange) => void): Off;
  /** With `autoConnect: false`: begin. */
  connect(): void;
  /** Settles with the first connection from now on, at once where there is one; rejects where the session ends instead. */
  connected(): Promise<void>;
  /**
   * Follow a channel. It may be called before there is a connection. Throws `exists` where the channel is followed already, `limit`, `invalid`, `closed`. A channel whose
   * `unsubscribe()` is under way is subscribed to again behind that.
   */
  subscribe<C extends ChannelName<M>>(
    channel: C,
    onMessage?: (message: Message<Payload<M, C>>) => void,
  ): Subscription<Payload<M, C>>;
  /** The same, with options. */
  subscribe<C extends ChannelName<M>>(
    channel: C,
    options: SubscribeOptions,
    onMessage?: (message: Message<Payload<M, C>>) => void,
  ): Subscription<Payload<M, C>>;
  /** The subscription of a channel that is followed; undefined: it is not. */
  subscription<C extends ChannelName<M>>(channel: C): Subscription<Payload<M, C>> | undefined;
  /**
   * Publish, exactly once. The payload is taken as it is now (JSON.stringify), kept in the outbox and sent when there is a connection. The promise settles when the server has
   * answered, however long that takes. It rejects with PublishRefused: not applied; with PublishUncertain: nobody knows; with a HoldfastError `outbox_full`, `invalid`, `too_large`,
   * `closed`: never sent. Publishes of one client to one channel keep their order.
   */
  publish<C extends ChannelName<M>>(channel: C, payload: Payload<M, C>, options?: PublishOptions): Promise<Published>;
  /** What the channel has kept, or a part of it. It is asked again if the connection breaks before the answer. */
  history<C extends ChannelName<M>>(channel: C, options?: HistoryOptions): Promise<History<Payload<M, C>>>;
  /** All subscribers of a channel, one entry per session. */
  presence(channel: ChannelName<M>): Promise<readonly Member[]>;
  /** A round trip through the server's protocol layer, in ms, whatever broke in between included. */
  ping(): Promise<number>;
  /** A request to the application's backend. Rejects with the backend's code, or `uncertain` where the connection broke before the answer: it is not repeated. */
  call<R = unknown>(method: string, payload?: unknown): Promise<R>;
  /** Show this token from now on, to a connection that stands as well. */
  setToken(token: string): void;
  /** `adaptive`: another tolerance, from now on. */
  setTolerance(tolerance: number): void;
  /** Whether nobody is looking. A browser's page tells by itself; a call overrules it until the next change of visibility. */
  setBackground(background: boolean): void;
  /** Say goodbye: the server forgets the session, what is unanswered is rejected. Settles when it has ended, in two seconds at most. */
  close(): Promise<void>;
}

/* --- seams --- */

/** What a connection is asked to be. */
export interface ConnectionRequest {
  /** The server's `ws:` or `wss:` URL. */
  readonly url: string;
  /** For `Sec-WebSocket-Protocol`: encodings, token, ticket and attempt. A secret: it must not be logged. */
  readonly protocols: readonly string[];
}

/** What a connection tells. Nothing comes after `refused` or `closed`, and nothing after `close()` was called. */
export interface ConnectionEvents {
  /** The upgrade was accepted, with this subprotocol. */
  opened(protocol: string): void;
  /** A WebSocket message has come: a text, or bytes. */
  message(data: string | ArrayBuffer): void;
  /** The answer was another than 101. Browsers cannot tell; there it is `closed(1006)`. `retryAfter`: the header's seconds, 0: none. */
  refused(status: number, retryAfter: number): void;
  /** It has ended: the close code that came, 1006 where none did. */
  closed(code: number, reason: string): void;
}

/** One WebSocket connection, as the client uses it. */
export interface Connection {
  /** Send a message, be it before the other side takes it or not. */
  send(data: string | Uint8Array): void;
  /** Bytes that the system has not taken yet. */
  readonly bufferedAmount: number;
  /** End it: no event comes after this call. With a code the other side is told. */
  close(code?: number, reason?: string): void;
}

/** Makes connections. It throws nothing: what goes wrong is `closed`, later. */
export interface Transport {
  /** Begin a connection. Its first event comes after this call has returned. */
  open(request: ConnectionRequest, events: ConnectionEvents): Connection;
}

/** What the platform tells a client about the system. */
export interface PlatformSignals {
  /** Something on the way to the server changed. `online` false: there is no way; `moved`: a new connection would take another than before. */
  network(online: boolean, moved: boolean): void;
  /** The machine slept, or the page was frozen, or it is back after `leaving()`. */
  wokeUp(): void;
  /** The page is left, and may come back (the back-forward cache takes none with an open connection) or not: connections are closed until wokeUp(), the session stays. */
  leaving(): void;
  /** Whether nobody is looking, from now on. */
  background(background: boolean): void;
}

/** The system that a client runs on: its clock, its signals, its randomness, its WebSocket. */
export interface Platform {
  /** Milliseconds that never go back and, where the platform has such a clock, go on while the machine sleeps. */
  now(): number;
  /** Unix time in ms, for what is kept. */
  wallClock(): number;
  /** Call once, after so many ms. The answer cancels it. */
  timer(delay: number, callback: () => void): () => void;
  /** A random number in [0, 1). */
  random(): number;
  /** Whether the system says that there is a way to any server; true where it does not say. */
  online(): boolean;
  /** Whether nobody is looking. */
  background(): boolean;
  /** What the platform knows of the network in use (its kind, say); empty: nothing. With the address that the server sees it tells one network from another. */
  networkKey(): string;
  /** Tell from now on. The answer ends it. */
  watch(signals: PlatformSignals): () => void;
  /** Where connections come from if the options do not say. */
  transport(): Transport;
  /** A text for a developer, not for a user. */
  warn(text: string): void;
}

/** One publish as it is kept. */
export interface StoredPublish {
  /** Its place in the outbox: 1, 2, 3 … for as long as that lives. */
  readonly publishId: number;
  /** The name of the channel that it goes to. */
  readonly channel: string;
  /** The message's own id, if the application gave one. */
  readonly id: string | undefined;
  /** JSON text; or binary. */
  readonly payload: string | Uint8Array;
  /** The code with which it was refused; absent: it was not. Its place is kept, and it is not sent in another session. */
  readonly refusal?: string | undefined;
}

/** What a successor must know of the outbox. Invariant: seqBase < firstId <= sentId + 1. A new one has firstId 1 and else nothing. */
export interface StoredState {
  /** The oldest publish without an answer, or the next one's id: all below is forgotten. */
  readonly firstId: number;
  /** Publishes up to here may have been sent in this session. */
  readonly sentId: number;
  /** seq = publish id - seqBase. */
  readonly seqBase: number;
  /** No attempt of this session has had a higher number. */
  readonly attempts: number;
  /** Of the session, a secret; empty: there is none. */
  readonly ticket: string;
}

/**
 * Keeps an outbox beyond its page, as src/session/store.h does for a process. `put` comes before a publish may be sent, `save` before it is; a publish is sent when the save
 * that covers it is done, and with it every `put` before. Operations take effect in the order in which they were called.
 */
export interface OutboxStore {
  /** Called once, before the others. Rejects where another client has the outbox, or what is there cannot be read. */
  load(): Promise<{ state: StoredState; publishes: readonly StoredPublish[] }>;
  /** Keep a publish. */
  put(publish: StoredPublish): void;
  /** A publish that it has was refused, with this code; to be noted as `put` is. */
  refuse(publishId: number, code: string): void;
  /** Replace the state, and forget the publishes below its firstId, both or neither, behind all puts before. Rejects where that, or one of them, fails; it is called again. */
  save(state: StoredState): Promise<void>;
  /** The client has ended; others may have the outbox. */
  close(): void;
}

/** What a client may keep beyond its page. Each part is optional. */
export interface Storage {
  /** Keeps publishes until they are answered, so that the next page sends them: `indexedDbOutbox()` of `holdfast-client/outbox`. */
  outbox?: OutboxStore;
  /** What networks bear: a small text. `load` gives what was kept, null: nothing. Failures are ignored: it is learnt again. */
  heartbeat?: { load(): string | null; save(text: string): void };
}
