/**
 * group.ts - a tab as a member of its group: it asks the tab that leads for connections, and leads itself when the Web Lock of the group comes to it. The lock is passed on by the browser when
 * its tab leaves or dies. A leader that answers nobody, because it is frozen, is relieved of it.
 */
import type { State } from '../codes.js';
import type { HoldfastError } from '../errors.js';
import type { IndexedDbOutboxOptions, Locks } from '../outbox_indexeddb.js';
import type { Connection, ConnectionEvents, ConnectionRequest, HoldfastOptions, Platform, PlatformSignals, Transport } from '../types.js';
import { Hub } from './hub.js';
import { HubStore } from './hub_store.js';
import { newName, type Broadcast, type GroupMessage, type OpenBroadcast, type ToLeader, type ToTab } from './wire.js';

/** A leader that has not answered for so long does not any more. Reading a large outbox on a slow disk takes less. */
const silenceMs = 6000;
const goingAway = 1001;

/** What the session is told by its transport: a connection to whoever leads. */
class LeaderConnection implements Connection {
  readonly bufferedAmount = 0;
  readonly name: string;
  leader: string | null = null;
  private isOver = false;
  private readonly broadcast: Broadcast;

  constructor(
    private readonly group: Group,
    private readonly request: ConnectionRequest,
    private readonly events: ConnectionEvents,
  ) {
    this.name = `${group.channel}:${newName()}`;
    this.broadcast = group.openBroadcast(this.name);
    this.broadcast.onmessage = ({ data }) => this.heard(data as ToTab);
    this.ask();
  }

  ask(): void {
    this.group.post({ t: 'open', connection: this.name, tab: this.group.tab, protocols: this.request.protocols });
  }

  send(data: string | Uint8Array): void {
    if (!this.isOver) this.post({ t: 'message', text: data as string });
  }

  close(): void {
    if (this.isOver) return;
    if (this.leader !== null) this.post({ t: 'close' });
    this.end();
  }

  /** Its leader leads no more. */
  broken(): void {
    if (this.isOver) return;
    this.end();
    this.events.closed(goingAway, '');
  }

  private post(message: ToLeader): void {
    this.broadcast.postMessage(message);
  }

  private end(): void {
    this.isOver = true;
    this.broadcast.close();
    this.group.forget(this);
  }

  private heard(message: ToTab): void {
    if (this.isOver) return;
    this.group.leaderLives();
    switch (message.t) {
      case 'opened':
        this.leader = message.leader;
        this.events.opened('holdfast.v1.json');
        return;
      case 'message':
        this.events.message(message.text);
        return;
      case 'upstream':
        this.group.upstreamIs(message.state as State);
        return;
      case 'closed':
        this.end();
        this.events.closed(message.code, '');
        return;
    }
  }
}

export interface GroupOptions {
  readonly url: string | readonly string[];
  /** Of the leader's client. */
  readonly client: HoldfastOptions;
  readonly name: string;
  readonly platform: Platform;
  readonly locks: Locks;
  readonly openBroadcast: OpenBroadcast;
  readonly store: IndexedDbOutboxOptions;
}

export class Group {
  readonly tab = newName();
  readonly channel: string;
  readonly openBroadcast: OpenBroadcast;
  upstream: State = 'waiting';
  onUpstream: (state: State) => void = () => undefined;
  onProblem: (error: HoldfastError) => void = () => undefined;
  /** There is a leader, and no connection under way. */
  onLead: () => void = () => undefined;
  /** null: another tab leads, or none. */
  private hub: Hub | null = null;
  /** For the hub, and for the tab: what one says the other hears. */
  private readonly broadcast: Broadcast;
  private hubBroadcast: Broadcast | null = null;
  private readonly connections = new Set<LeaderConnection>();
  private releaseLead: (() => void) | null = null;
  private queue: AbortController | null = null;
  private releaseTab: (() => void) | null = null;
  private isOver = false;
  private cancelSilence: (() => void) | null = null;
  private isHidden = false;
  private readonly unwatch: () => void;

  constructor(private readonly options: GroupOptions) {
    const { platform, name, locks } = options;
    this.channel = `holdfast:${name}`;
    this.openBroadcast = options.openBroadcast;
    this.broadcast = this.openBroadcast(this.channel);
    this.broadcast.onmessage = ({ data }) => this.heard(data as GroupMessage);
    this.isHidden = platform.background();
    // Held as long as this tab lives: who leads waits for it, to know when it does not.
    void locks.request(this.tabLock(this.tab), {}, () => new Promise((release) => (this.releaseTab = release))).catch(() => undefined);
    const signals: PlatformSignals = {
      network: () => undefined,
      background: (background) => (this.isHidden = background),
      leaving: () => this.resign(),
      wokeUp: () => this.queueForLead(),
    };
    this.unwatch = platform.watch(signals);
    this.queueForLead();
  }

  readonly transport: Transport = {
    open: (request, events) => {
      const connection = new LeaderConnection(this, request, events);
      this.connections.add(connection);
      this.listenForSilence();
      return connection;
    },
  };

  get leads(): boolean {
    return this.hub !== null;
  }

  /** The tab wants no more of it. Others go on. */
  leave(): void {
    if (this.isOver) return;
    this.isOver = true;
    this.resign();
    this.queue?.abort();
    this.unwatch();
    this.cancelSilence?.();
    this.releaseTab?.();
    this.broadcast.close();
  }

  /* --- for connections --- */

  post(message: GroupMessage): void {
    if (!this.isOver) this.broadcast.postMessage(message);
  }

  forget(connection: LeaderConnection): void {
    this.connections.delete(connection);
  }

  upstreamIs(state: State): void {
    if (state === this.upstream) return;
    this.upstream = state;
    this.onUpstream(state);
  }

  leaderLives(): void {
    this.cancelSilence?.();
    this.cancelSilence = null;
  }

  /* --- who leads --- */

  private tabLock(tab: string): string {
    return `holdfast-tab:${tab}`;
  }

  private heard(message: GroupMessage): void {
    if (message.t === 'open') return;
    this.leaderLives();
    if (message.t === 'lead' && this.connections.size === 0) this.onLead();
    for (const connection of [...this.connections])
      if (connection.leader === null) {
        if (message.t === 'lead') connection.ask();
      } else if (message.t === 'lead' ? connection.leader !== message.leader : connection.leader === message.leader) {
        connection.broken();
      }
  }

  private queueForLead(): void {
    if (this.isOver || this.queue !== null || this.hub !== null) return;
    const queue = new AbortController();
    this.queue = queue;
    this.requestLead({ signal: queue.signal });
  }

  private requestLead(how: { signal?: AbortSignal; steal?: boolean }): void {
    const { locks } = this.options;
    locks.request(this.channel, how, () => this.lead()).catch(() => {
      // Given up; or taken away while it was ours: this tab was asleep, and stands in line again.
      const wasLeading = this.hub !== null;
      this.resign();
      if (wasLeading) this.queueForLead();
    });
  }

  /** Until it is given up. */
  private async lead(): Promise<void> {
    if (this.isOver) return;
    const { url, client, platform, locks, store: where } = this.options;
    const store = new HubStore(where);
    const hub = new Hub(
      {
        url,
        client,
        platform,
        store,
        locks,
        openBroadcast: this.openBroadcast,
        tabLock: (tab) => this.tabLock(tab),
        upstream: (state) => this.upstreamIs(state),
        problem: (error) => this.onProblem(error),
      },
      newName(),
    );
    this.hub = hub;
    const released = new Promise<void>((release) => (this.releaseLead = release));
    await hub.begin();
    if (hub.state === 'ended') {
      this.resign(); // The outbox cannot be read, which has been told. Another tab may try.
    } else if (this.hub === hub) {
      const broadcast = this.openBroadcast(this.channel);
      this.hubBroadcast = broadcast;
      broadcast.onmessage = ({ data }) => {
        const message = data as GroupMessage;
        if (message.t === 'open') hub.open(message.connection, message.tab, message.protocols);
      };
      broadcast.postMessage({ t: 'lead', leader: hub.name } satisfies GroupMessage);
    }
    await released;
  }

  private resign(): void {
    const { hub, hubBroadcast } = this;
    this.queue?.abort();
    this.queue = null;
    this.hub = null;
    this.hubBroadcast = null;
    if (hub === null) return;
    hub.resign();
    hubBroadcast?.postMessage({ t: 'resign', leader: hub.name } satisfies GroupMessage);
    hubBroadcast?.close();
    this.releaseLead?.();
    this.releaseLead = null;
  }

  /** Somebody holds the lock, and answers nobody. */
  private listenForSilence(): void {
    if (this.cancelSilence !== null || this.hub !== null) return;
    this.cancelSilence = this.options.platform.timer(silenceMs, () => {
      this.cancelSilence = null;
      const isWaiting = [...this.connections].some(({ leader }) => leader === null);
      if (this.isOver || this.hub !== null || !isWaiting) return;
      if (this.isHidden) {
        this.listenForSilence();
        return;
      }
      this.queue?.abort();
      this.queue = new AbortController();
      this.requestLead({ steal: true });
    });
  }
}
