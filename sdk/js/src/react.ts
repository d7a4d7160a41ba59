/**
 * react.ts - hooks for React 18 and later. They are their own entry point, so that who does not use them does not load them:
 *
 *     import { HoldfastProvider, useChannel } from 'holdfast-client/react';
 *
 * The application makes the client and closes it; the hooks only use it. A client has one subscription to a channel, so that all components that follow a channel share it: the
 * first one begins it, the last one ends it. It is ended a microtask after the last effect's end, because an effect that ends may begin again at once: StrictMode does that to
 * every effect, and so does a change of what it depends on. Nothing is asked of the server while React renders, as that may happen more than once, or in vain.
 */
import { createContext, createElement, useCallback, useContext, useEffect, useMemo, useRef, useSyncExternalStore, type ReactElement, type ReactNode } from 'react';
import type { Cause, State } from './codes.js';
import { HoldfastError } from './errors.js';
import type { AnyChannels, ChannelMap, Client, Delivery, Gap, Member, Message, Off, Position, Published, PublishOptions, StateChange, SubscribeOptions, Subscription } from './types.js';

const limitDefault = 100;
const limitMax = 10_000;

const ClientContext = /* @__PURE__ */ createContext<Client | null>(null);

/* --- the client --- */

/** What `HoldfastProvider` is given. */
export interface HoldfastProviderProps<M extends ChannelMap = AnyChannels> {
  /** The client that the hooks below use. The application made it and closes it. Another one here moves all of them to that. */
  readonly client: Client<M>;
  /** The components that use it. */
  readonly children?: ReactNode;
}

/**
 * Gives a client to all hooks of the components below. It neither connects nor closes it.
 *
 *     createRoot(element).render(createElement(HoldfastProvider, { client: holdfast }, createElement(App)));
 */
export function HoldfastProvider<M extends ChannelMap = AnyChannels>({ client, children }: HoldfastProviderProps<M>): ReactElement {
  return createElement(ClientContext.Provider, { value: client as unknown as Client }, children);
}

/** The client of the nearest `HoldfastProvider`. Throws `invalid` where there is none. The map of channels is the caller's word: nothing checks that it is the client's. */
export function useHoldfast<M extends ChannelMap = AnyChannels>(): Client<M> {
  const client = useContext(ClientContext);
  if (client === null) throw new HoldfastError('invalid', 'no client: render this component below a <HoldfastProvider client={…}>');
  return client as unknown as Client<M>;
}

/* --- the connection --- */

/** Where the connection stands, for a component. */
export interface Connection {
  /** As the client's `state`; `waiting` where React renders on a server. */
  readonly state: State;
  /** Why it is in this state; null: it came to it before a component looked. */
  readonly cause: Cause | null;
  /** In English: what the cause was seen by; may be empty. */
  readonly evidence: string;
  /** As in `StateChange`: from the change of the state to the next attempt, in ms; 0: one is under way; null: none is planned, or not known, as the cause. */
  readonly nextAttempt: number | null;
  /** The next attempt's Unix time in ms, for a countdown; null where `nextAttempt` is null or 0. */
  readonly nextAttemptAt: number | null;
}

function unexplained(state: State): Connection {
  return { state, cause: null, evidence: '', nextAttempt: null, nextAttemptAt: null };
}

const connectionOnServer = /* @__PURE__ */ unexplained('waiting');

/** A client tells why its state changed only when it does; this remembers it, for as long as a component looks. */
class ConnectionStore {
  private readonly listeners = new Set<() => void>();
  private off: Off = () => undefined;
  private current: Connection;

  constructor(private readonly client: Client) {
    this.current = unexplained(client.state);
  }

  /** The same object for as long as nothing has changed. */
  readonly snapshot = (): Connection => {
    if (this.current.state !== this.client.state) this.current = unexplained(this.client.state); // Nobody looked when it changed.
    return this.current;
  };

  readonly subscribe = (listener: () => void): Off => {
    // React may give the same function twice, and each counts.
    const own = (): void => listener();
    if (this.listeners.size === 0) this.off = this.client.onState((change) => this.changed(change));
    this.listeners.add(own);
    return () => {
      if (this.listeners.delete(own) && this.listeners.size === 0) this.off();
    };
  };

  private changed({ to, cause, evidence, nextAttempt }: StateChange): void {
    const isPlanned = nextAttempt !== null && nextAttempt > 0;
    this.current = { state: to, cause, evidence, nextAttempt, nextAttemptAt: isPlanned ? Date.now() + nextAttempt : null };
    for (const listener of [...this.listeners]) listener();
  }
}

/* --- presence --- */

/** What `usePresence()` is asked for. */
export interface PresenceOptions {
  /**
   * Default true: the channel is followed, which makes this client one of its members, and who comes and goes is seen at once. False: it is asked once, and by `refresh()`; the channel need not be
   * followed for that.
   */
  follow?: boolean;
}

/** Who subscribes to a channel, for a component. */
export interface ChannelPresence {
  /** `loading`: asked, and not answered yet; also where React renders on a server. `failed`: `error` says why. */
  readonly state: 'loading' | 'known' | 'failed';
  /** One entry for each session, those that came last at the end; empty before the first answer, and after a failure: then nobody knows. */
  readonly members: readonly Member[];
  /** Why they are not known: `unavailable` from a server that has no presence, `forbidden`, `timeout`, `closed` …; null: they are, or will be. */
  readonly error: HoldfastError | null;
  /** Ask again. The members stay as they are until the answer is there. */
  readonly refresh: () => void;
}

type PresenceAnswer = Omit<ChannelPresence, 'refresh'>;

const presenceLoading: PresenceAnswer = { state: 'loading', members: [], error: null };

function failedAnswer(error: Error): PresenceAnswer {
  return { state: 'failed', members: [], error: asHoldfastError(error) };
}

/** Who is there, as a subscription tells it: the whole list, and what changes in it. A change to an unknown list is none. */
class Roster {
  answer: PresenceAnswer = presenceLoading;
  private readonly members = new Map<string, Member>();
  private isPlanned = false;

  constructor(private readonly changed: () => void) {}

  /** The answer ends it. */
  follow(subscription: Subscription): Off {
    const offs = [
      subscription.on('join', ({ channel: _, ...member }) => this.change(() => this.members.set(member.session, member))),
      subscription.on('leave', ({ session }) => this.change(() => this.members.delete(session))),
      subscription.on('members', ({ members, error }) => {
        this.members.clear();
        for (const member of members) this.members.set(member.session, member);
        this.become(error === null ? { state: 'known', members, error } : failedAnswer(error));
      }),
    ];
    return () => {
      for (const off of offs) off();
    };
  }

  become(answer: PresenceAnswer): void {
    this.answer = answer;
    this.changed();
  }

  /** A crowd that comes in one message is one change. */
  private change(change: () => void): void {
    if (this.answer.state !== 'known') return;
    change();
    if (this.isPlanned) return;
    this.isPlanned = true;
    queueMicrotask(() => {
      this.isPlanned = false;
      if (this.answer.state === 'known') this.become({ state: 'known', members: [...this.members.values()], error: null });
    });
  }
}

/* --- channels --- */

/** What `useChannel()` is asked for. */
export interface ChannelOptions<P = unknown> extends Pick<SubscribeOptions, 'since' | 'last' | 'mode'> {
  /** Messages and gaps that the component is given at once, 1 to 10,000; default 100. Older ones are dropped: `onMessage` and `onGap` get them all. */
  limit?: number;
  /** Called with each message, once, for what must not be missed: React may show several messages by one rendering. */
  onMessage?: (message: Message<P>) => void;
  /** Called with each gap, once. */
  onGap?: (gap: Gap) => void;
}

/** A channel, for a component. It is another object whenever something has changed. */
export interface Channel<P = unknown> {
  /** As a subscription's `state`; `pending` before the component has been mounted, and where React renders on a server. */
  readonly state: Subscription['state'];
  /** Why it has ended: what the server, or the client, refused; null: it has not, or was asked to. */
  readonly error: HoldfastError | null;
  /** The newest messages and gaps, in order, at most `limit`: a gap stands where the messages are missing. */
  readonly items: readonly Delivery<P>[];
  /** The messages of `items`. */
  readonly messages: readonly Message<P>[];
  /** The newest message; null: none has come yet. */
  readonly last: Message<P> | null;
  /** The newest gaps, at most `limit`, also those that messages have pushed out of `items`. */
  readonly gaps: readonly Gap[];
  /** As the client's `publish()`, to this channel. It stays the same function for as long as client and channel do. */
  readonly publish: (payload: P, options?: PublishOptions) => Promise<Published>;
}

/** What a feed has at a time. Nothing in it changes. */
interface FeedSnapshot {
  readonly state: Subscription['state'];
  readonly error: HoldfastError | null;
  readonly items: readonly Delivery[];
  readonly gaps: readonly Gap[];
  readonly last: Message | null;
}

const nothingYet: FeedSnapshot = { state: 'pending', error: null, items: [], gaps: [], last: null };

/** A component that follows a feed. */
interface Follower {
  readonly limit: number;
  changed(): void;
  delivered(item: Delivery): void;
}

/** The subscription that the components of one client share for a channel. Invariant: without followers and watchers it is closed within a microtask. */
class Feed {
  snapshot: FeedSnapshot = nothingYet;
  readonly followers = new Set<Follower>();
  /** Components that want to know who is there, and nothing else: they are told that it has changed. */
  readonly watchers = new Set<() => void>();
  readonly roster = new Roster(() => {
    for (const changed of [...this.watchers]) changed();
  });
  private unwatch: Off | null = null;
  private subscription: Subscription | null = null;
  /** The application, or the backend, subscribed: it is not ours to end. */
  private isBorrowed = false;
  /** No component has wanted its messages yet. */
  isPresenceOnly = false;
  private readonly offs: Off[] = [];

  constructor(
    client: Client,
    channel: string,
    readonly mode: 'all' | 'latest',
    begin: SubscribeOptions,
  ) {
    try {
      const known = client.subscription(channel);
      this.isBorrowed = known !== undefined;
      const subscription = known ?? client.subscribe(channel, begin);
      this.subscription = subscription;
      this.snapshot = { ...nothingYet, state: subscription.state };
      this.offs.push(
        subscription.on('subscribed', () => this.become({ state: subscription.state })),
        subscription.on('message', (message) => this.deliver(message)),
        subscription.on('gap', (gap) => this.deliver(gap)),
        subscription.on('unsubscribed', ({ error }) => {
          this.become({ state: 'ended', error: error ?? null });
          this.roster.become(failedAnswer(error ?? new HoldfastError('closed', `"${channel}" is no longer followed, so that nobody tells who is there`)));
        }),
      );
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      this.snapshot = { ...nothingYet, state: 'ended', error: asHoldfastError(error) };
      this.roster.answer = failedAnswer(error);
    }
  }

  get isUsed(): boolean {
    return this.followers.size + this.watchers.size > 0;
  }

  get position(): Position | null {
    return this.subscription?.position ?? null;
  }

  /** The answer ends it. */
  watch(changed: () => void): Off {
    this.watchers.add(changed);
    if (this.subscription !== null) this.unwatch ??= this.roster.follow(this.subscription);
    return () => {
      if (!this.watchers.delete(changed) || this.watchers.size > 0) return;
      queueMicrotask(() => {
        if (this.watchers.size === 0) this.endWatch();
      });
    };
  }

  /** Ask who is there, once more: each new listener is told. */
  refresh(): void {
    this.subscription?.on('members', () => undefined)();
  }

  close(): void {
    this.endWatch();
    for (const off of this.offs.splice(0)) off();
    if (!this.isBorrowed) void this.subscription?.unsubscribe();
  }

  private endWatch(): void {
    this.unwatch?.();
    this.unwatch = null;
    if (this.snapshot.state !== 'ended') this.roster.answer = presenceLoading; // Of one that is over nothing more is told.
  }

  private deliver(item: Delivery): void {
    const limit = Math.max(1, ...[...this.followers].map((follower) => follower.limit));
    const { items, gaps } = this.snapshot;
    const more = { items: [...items, item].slice(-limit) };
    this.become(item.type === 'message' ? { ...more, last: item } : { ...more, gaps: [...gaps, item].slice(-limit) });
    for (const follower of [...this.followers]) follower.delivered(item);
  }

  private become(change: Partial<FeedSnapshot>): void {
    this.snapshot = { ...this.snapshot, ...change };
    for (const follower of [...this.followers]) follower.changed();
  }
}

/** The bundles for `require` have a class each: the name tells it there. */
function asHoldfastError(error: Error): HoldfastError {
  return error instanceof HoldfastError || 'code' in error ? (error as HoldfastError) : new HoldfastError('invalid', error.message);
}

/** All that the hooks of one client share. */
class ClientShare {
  readonly connection: ConnectionStore;
  private readonly feeds = new Map<string, Feed>();
  /** What ends each watch, at the feed that has it now. */
  private readonly watches = new Map<() => void, Off>();

  constructor(private readonly client: Client) {
    this.connection = new ConnectionStore(client);
  }

  /** What a component that is not mounted yet can be shown. */
  peek(channel: string, mode: 'all' | 'latest'): FeedSnapshot {
    const feed = this.feeds.get(channel);
    return feed?.mode === mode ? feed.snapshot : nothingYet;
  }

  /** The feed that the follower is now one of; null: others follow the channel by the other mode. */
  follow(channel: string, mode: 'all' | 'latest', begin: SubscribeOptions, follower: Follower): Feed | null {
    let feed = this.feeds.get(channel);
    if (feed !== undefined && feed.mode !== mode) {
      if (feed.followers.size > 0) return null;
      // The mode has changed: what comes next is what the last one has not delivered.
      const { position, isPresenceOnly } = feed;
      if (position !== null && mode === 'all' && !isPresenceOnly) begin = { mode, since: position };
      feed = this.replace(channel, feed, mode, begin);
    } else if (feed?.isPresenceOnly === true && (begin.last !== undefined || begin.since !== undefined)) {
      feed = this.replace(channel, feed, mode, begin); // Nobody has looked at its messages: it begins where this one wants it.
    }
    feed ??= this.begin(channel, mode, begin);
    feed.isPresenceOnly = false;
    feed.followers.add(follower);
    return feed;
  }

  leave(channel: string, feed: Feed, follower: Follower): void {
    feed.followers.delete(follower);
    this.dropUnused(channel, feed);
  }

  /** Who is there, as far as a component that is not mounted yet can be shown. */
  peekPresence(channel: string): PresenceAnswer {
    return this.feeds.get(channel)?.roster.answer ?? presenceLoading;
  }

  /** Be told when that has changed. The answer ends it. */
  watch(channel: string, changed: () => void): Off {
    const own = (): void => changed();
    let isOver = false;
    // Behind the effects of all that is mounted with it, of which one may say where the channel is to begin; and behind the end that StrictMode gives each effect at once.
    queueMicrotask(() => {
      if (isOver) return;
      let feed = this.feeds.get(channel);
      if (feed === undefined) {
        feed = this.begin(channel, 'all', {});
        feed.isPresenceOnly = true;
      }
      this.watches.set(own, feed.watch(own));
      changed(); // It may be known already, or have failed.
    });
    return () => {
      isOver = true;
      const feed = this.feeds.get(channel);
      this.watches.get(own)?.();
      this.watches.delete(own);
      if (feed !== undefined) this.dropUnused(channel, feed);
    };
  }

  refresh(channel: string): void {
    this.feeds.get(channel)?.refresh();
  }

  private begin(channel: string, mode: 'all' | 'latest', begin: SubscribeOptions): Feed {
    const feed = new Feed(this.client, channel, mode, begin);
    this.feeds.set(channel, feed);
    return feed;
  }

  /** Another subscription in its place. Those who watch who is there go with it. */
  private replace(channel: string, feed: Feed, mode: 'all' | 'latest', begin: SubscribeOptions): Feed {
    const watchers = [...feed.watchers];
    const { answer } = feed.roster;
    this.drop(channel, feed);
    const next = this.begin(channel, mode, begin);
    next.roster.answer = answer; // Until it knows better.
    for (const own of watchers) this.watches.set(own, next.watch(own));
    return next;
  }

  private dropUnused(channel: string, feed: Feed): void {
    if (feed.isUsed) return;
    queueMicrotask(() => {
      if (!feed.isUsed) this.drop(channel, feed);
    });
  }

  private drop(channel: string, feed: Feed): void {
    if (this.feeds.get(channel) !== feed) return; // It was, already.
    this.feeds.delete(channel);
    feed.close();
  }
}

const shares = /* @__PURE__ */ new WeakMap<Client, ClientShare>();

function shareOf(client: Client): ClientShare {
  let share = shares.get(client);
  if (share === undefined) {
    share = new ClientShare(client);
    shares.set(client, share);
  }
  return share;
}

/** One component's look at a channel, as useSyncExternalStore() wants it. */
class ChannelView {
  private conflict: FeedSnapshot | null = null;

  constructor(
    private readonly share: ClientShare,
    private readonly channel: string,
    private readonly mode: 'all' | 'latest',
    private readonly limit: number,
    private readonly latest: { readonly current: ChannelOptions },
  ) {}

  readonly snapshot = (): FeedSnapshot => this.conflict ?? this.share.peek(this.channel, this.mode);

  readonly subscribe = (changed: () => void): Off => {
    const { share, channel, mode, limit, latest } = this;
    const { since, last } = latest.current;
    const begin: SubscribeOptions = { mode, ...(since === undefined ? {} : { since }), ...(last === undefined ? {} : { last }) };
    const follower: Follower = { limit, changed, delivered: (item) => tell(latest.current, item) };
    const feed = share.follow(channel, mode, begin, follower);
    if (feed !== null) {
      this.conflict = null;
      return () => share.leave(channel, feed, follower);
    }
    const text = `"${channel}" is followed by another component whose "mode" is not "${mode}": give both the same`;
    this.conflict = { ...nothingYet, state: 'ended', error: new HoldfastError('exists', text) };
    return () => (this.conflict = null);
  };
}

/** What a handler throws is reported as the platform reports uncaught errors, and keeps nothing from the other components. */
function tell({ onMessage, onGap }: ChannelOptions, item: Delivery): void {
  try {
    if (item.type === 'message') onMessage?.(item);
    else onGap?.(item);
  } catch (error) {
    queueMicrotask(() => {
      throw error;
    });
  }
}

function checkLimit(limit: number): number {
  if (!Number.isInteger(limit) || limit < 1 || limit > limitMax) throw new HoldfastError('invalid', `"limit" is no whole number from 1 to ${limitMax}`);
  return limit;
}

/* --- the hooks --- */

/** Where the connection of the nearest `HoldfastProvider`'s client stands, and why. The component renders anew when that changes. */
export function useConnection(): Connection {
  const { connection } = shareOf(useHoldfast());
  return useSyncExternalStore(connection.subscribe, connection.snapshot, () => connectionOnServer);
}

/**
 * Follow a channel for as long as the component is mounted, and have its newest messages. Components that follow the same channel share one subscription and what it has brought; `since` and
 * `last` of the first say where it begins, and later changes of these two change nothing. One that the application has made by `client.subscribe()` is used as it is, from now on, and
 * not ended. Another name, client or `mode` is another subscription.
 *
 *     const { messages, gaps, publish } = useChannel<ChatLine>('room:lobby', { last: 20 });
 */
export function useChannel<P = unknown>(channel: string, options: ChannelOptions<P> = {}): Channel<P> {
  const { mode = 'all', limit = limitDefault } = options;
  checkLimit(limit);
  const client = useHoldfast();
  const latest = useRef(options as unknown as ChannelOptions);
  // Before the effect of useSyncExternalStore(), which reads it.
  useEffect(() => {
    latest.current = options as unknown as ChannelOptions;
  });
  const view = useMemo(() => new ChannelView(shareOf(client), channel, mode, limit, latest), [client, channel, mode, limit]);
  const snapshot = useSyncExternalStore(view.subscribe, view.snapshot, () => nothingYet);
  const publish = useCallback((payload: P, how?: PublishOptions) => client.publish(channel, payload, how), [client, channel]);
  return useMemo(() => {
    const { state, error } = snapshot;
    const items = snapshot.items.slice(-limit) as readonly Delivery<P>[];
    const messages = items.filter((item) => item.type === 'message');
    return { state, error, items, messages, last: snapshot.last as Message<P> | null, gaps: snapshot.gaps.slice(-limit), publish };
  }, [snapshot, limit, publish]);
}

/**
 * Who subscribes to a channel, for as long as the component is mounted: the list follows who comes and goes, and is asked for anew after each break. It shares the subscription of `useChannel()`, and begins
 * one where there is none. A server without presence answers `unavailable`, one that tells this user nothing `forbidden`: that is `error` then, and the members are not known.
 *
 *     const { members } = usePresence('room:lobby');
 */
export function usePresence(channel: string, { follow = true }: PresenceOptions = {}): ChannelPresence {
  const client = useHoldfast();
  const view = useMemo(() => (follow ? followedPresence(shareOf(client), channel) : askedPresence(client, channel)), [client, channel, follow]);
  const answer = useSyncExternalStore(view.subscribe, view.snapshot, () => presenceLoading);
  return useMemo(() => ({ ...answer, refresh: view.refresh }), [answer, view]);
}

/** Of a channel's presence, as useSyncExternalStore() wants it. */
interface PresenceView {
  subscribe(changed: () => void): Off;
  snapshot(): PresenceAnswer;
  refresh(): void;
}

function followedPresence(share: ClientShare, channel: string): PresenceView {
  return {
    subscribe: (changed) => share.watch(channel, changed),
    snapshot: () => share.peekPresence(channel),
    refresh: () => share.refresh(channel),
  };
}

/** Asked once, and when it is told to. */
function askedPresence(client: Client, channel: string): PresenceView {
  let answer = presenceLoading;
  /** What is shown is the answer to the newest question. */
  let asked = 0;
  let tell = (): void => undefined;
  const refresh = (): void => {
    const question = ++asked;
    const settle = (next: PresenceAnswer): void => {
      if (question !== asked) return;
      answer = next;
      tell();
    };
    client.presence(channel).then(
      (members) => settle({ state: 'known', members, error: null }),
      (error: Error) => settle(failedAnswer(error)),
    );
  };
  return {
    snapshot: () => answer,
    refresh,
    subscribe: (changed) => {
      tell = changed;
      const began = asked;
      // Behind the end that StrictMode gives each effect at once, so that it is asked once.
      queueMicrotask(() => {
        if (tell === changed && asked === began) refresh();
      });
      return () => {
        if (tell === changed) tell = () => undefined;
        asked++; // An answer that comes now is nobody's.
      };
    },
  };
}
