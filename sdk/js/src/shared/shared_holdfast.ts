/**
 * shared_holdfast.ts - one connection for all tabs of an origin, its own entry point:
 *
 *     import { SharedHoldfast } from 'holdfast-client/shared';
 *     const holdfast = new SharedHoldfast(url, { getToken });
 *
 * It is used as `Holdfast` is. One of the tabs leads: it has the connection, and the outbox in IndexedDB. When it is closed, or dies, another goes on with its session: no message is lost or
 * doubled, and what was published and not answered is sent by the next. All tabs are one user, and one session, at the server.
 */
import type { State } from '../codes.js';
import { coreParts } from '../client/use.js';
import type { SessionEvent } from '../core/events.js';
import { HoldfastError } from '../errors.js';
import { HoldfastClient } from '../holdfast.js';
import type { IndexedDbOutboxOptions, Locks } from '../outbox_indexeddb.js';
import { systemPlatform } from '../platform/system.js';
import type { AnyChannels, ChannelMap, HoldfastOptions, Off, Platform } from '../types.js';
import { Group } from './group.js';
import type { OpenBroadcast } from './wire.js';

/** What can be chosen for a shared connection, beside what can be for any client. */
export interface SharedOptions extends Omit<HoldfastOptions, 'autoConnect'> {
  /** Tabs with the same name share; default `default`. What two users, or two servers, are to get belongs into two. */
  name?: string;
  /** As of `indexedDbOutbox()`. */
  durability?: 'relaxed' | 'strict';
  /** In place of the platform's. */
  indexedDB?: IDBFactory;
  /** In place of the platform's Web Locks. */
  locks?: Locks;
  /** In place of the platform's BroadcastChannel: makes one of that name. For tests. @hidden */
  openBroadcast?: OpenBroadcast;
}

interface Globals {
  readonly navigator?: { readonly locks?: Locks };
  readonly BroadcastChannel?: new (name: string) => ReturnType<OpenBroadcast>;
}

/** What a tab can be without: it shows no token, and its leader is as near as can be. */
const tabOptions: HoldfastOptions = { encoding: 'json', heartbeat: 'fixed' };

/**
 * A client whose connection is shared by all tabs of the origin; see `Client` for what it does.
 *
 *     const holdfast = new SharedHoldfast('wss://example.org/ws', { getToken });
 */
export class SharedHoldfast<M extends ChannelMap = AnyChannels> extends HoldfastClient<M> {
  private readonly group: Group;
  private readonly upstreamHandlers = new Set<(state: State) => void>();

  /** The options are those of the client that has the connection, if this tab leads; bounds, `subscriptions` and `requestTimeout` hold for the tab itself as well. */
  constructor(url: string | readonly string[], options: SharedOptions = {}) {
    const { name = 'default', durability, indexedDB, locks: ownLocks, openBroadcast: ownBroadcast, ...client } = options;
    const platform = options.platform ?? systemPlatform();
    const globals = globalThis as Globals;
    const locks = ownLocks ?? globals.navigator?.locks;
    const { BroadcastChannel } = globals;
    const openBroadcast = ownBroadcast ?? (BroadcastChannel === undefined ? undefined : (channel: string) => new BroadcastChannel(channel));
    if (locks === undefined || openBroadcast === undefined)
      throw new HoldfastError(
        'unsupported',
        'a shared connection needs Web Locks and BroadcastChannel, which browsers have in secure contexts: serve the page by https, or from localhost',
      );
    const store: IndexedDbOutboxOptions = { name: `shared:${name}` };
    if (durability !== undefined) store.durability = durability;
    if (indexedDB !== undefined) store.indexedDB = indexedDB;
    const group = new Group({ url, client, name, platform, locks, openBroadcast, store });
    const own: HoldfastOptions = { ...tabOptions, transport: group.transport };
    for (const bound of ['outboxMessages', 'outboxBytes', 'window', 'subscriptions', 'requestTimeout'] as const)
      if (client[bound] !== undefined) own[bound] = client[bound];
    const ownPlatform: Platform = {
      ...platform,
      watch: (signals) => {
        group.onLead = () => signals.network(true, false); // An attempt is worth its while.
        return platform.watch(signals);
      },
    };
    super(url, own, ownPlatform, coreParts);
    this.group = group;
    group.onUpstream = (state) => {
      for (const handler of [...this.upstreamHandlers]) handler(state);
    };
    group.onProblem = (error) => this.problem(error);
    this.on('ended', () => group.leave());
  }

  /** Whether this tab has the connection. */
  get leads(): boolean {
    return this.group.leads;
  }

  /** The state of the connection to the server, whichever tab has it. `state` is that of this tab's to the tab that leads. */
  get upstream(): State {
    return this.group.upstream;
  }

  /** Be told when `upstream` changes. What it gives stops that. */
  onUpstream(handler: (state: State) => void): Off {
    const own = (state: State): void => handler(state);
    this.upstreamHandlers.add(own);
    return () => void this.upstreamHandlers.delete(own);
  }

  /** A refusal of the leader's that is none: nobody knows. */
  protected override onEvent(event: SessionEvent): void {
    if (event.type !== 'refused' || event.code !== 'uncertain') {
      super.onEvent(event);
      return;
    }
    const { publishId, channel } = event;
    const item = this.driver?.session.publishing.outbox.byId(publishId);
    super.onEvent({ type: 'uncertain', publishId, channel, id: item?.id, payload: item?.payload ?? 'null' });
  }
}
