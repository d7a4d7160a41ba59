/**
 * hub.ts - what the leading tab is to the others: a server of PROTOCOL.md, as far as a client of ours needs one, in front of the one connection. A tab's session here has its name as its ticket,
 * and lives in the database: so a tab that comes back, be it to another leader, is resumed, and each of its publishes is applied once. A tab that comes without that ticket begins another session,
 * whose publishes are numbered anew. Subscriptions are not kept: `welcome` names none of them, and the tab asks for each from where it stands.
 */
import { closeCodes, type State } from '../codes.js';
import { fromBase64 } from '../core/base64.js';
import type { EndingEvent, SessionEvent } from '../core/events.js';
import { isLabel, isNumber, type Raw, type Since } from '../core/message.js';
import type { RequestWhat } from '../core/requests.js';
import { isConnected } from '../core/state.js';
import { HoldfastError } from '../errors.js';
import type { Locks } from '../outbox_indexeddb.js';
import type { HoldfastOptions, Platform, SubscribeOptions } from '../types.js';
import { dataOf, Feed, payloadOf, type FeedHost, type Listener } from './feed.js';
import { HubClient } from './hub_client.js';
import type { HubStore } from './hub_store.js';
import { newName, type Broadcast, type OpenBroadcast, type Origin, type TabRecord, type ToLeader, type ToTab } from './wire.js';

/** As many as a server keeps ("the session's last 32 refusals"). */
const refusedMax = 32;
/** After a refusal for now. */
const askAgainMs = 500;
const brokenText = 'the connection to the server was broken: who came and went meanwhile is not known';

type Members = Readonly<Record<string, unknown>>;

/** A tab's publishes. Those in (settled, accepted] that are not in `done` are in the outbox. */
interface Tab {
  readonly name: string;
  /** Of the session whose numbers these are: one that the tab begins later is another Tab. */
  readonly session: string;
  /** All up to here are done, which the database knows: the tab may be told. */
  lastSeq: number;
  /** All up to here are done, which the database may not know yet. */
  settled: number;
  accepted: number;
  /** What came before those in front of it: the offset, null where there is none. */
  readonly done: Map<number, number | null>;
  refused: TabRecord['refused'];
  connection: TabConnection | null;
  /** It will not come back. */
  isGone: boolean;
}

class TabConnection implements Listener {
  private isClosed = false;

  constructor(
    readonly name: string,
    readonly tab: Tab,
    private readonly broadcast: Broadcast,
  ) {}

  /** What was asked for by a tab that has gone meanwhile is for nobody. */
  say(message: ToTab): void {
    if (!this.isClosed) this.broadcast.postMessage(message);
  }

  send(message: object): void {
    this.sendText(JSON.stringify(message));
  }

  sendText(text: string): void {
    this.say({ t: 'message', text });
  }

  /** 0: the other side knows. */
  close(code: number): void {
    if (code !== 0) this.say({ t: 'closed', code });
    this.isClosed = true;
    this.broadcast.close();
  }
}

export interface HubOptions {
  readonly url: string | readonly string[];
  readonly client: HoldfastOptions;
  readonly platform: Platform;
  readonly store: HubStore;
  readonly locks: Locks;
  readonly openBroadcast: OpenBroadcast;
  /** The name of a tab's lock, which is held as long as the tab lives. */
  tabLock(tab: string): string;
  upstream(state: State): void;
  problem(error: HoldfastError): void;
}

export class Hub implements FeedHost {
  private readonly client: HubClient;
  private readonly tabs = new Map<string, Tab>();
  private readonly feeds = new Map<string, Feed>();
  private origins = new Map<number, Origin>();
  private readonly requests = new Map<number, (event: SessionEvent) => void>();
  private isOver = false;
  /** What the present connection had to bring of the past has come. */
  private isCaughtUp = false;

  constructor(
    private readonly options: HubOptions,
    readonly name: string,
  ) {
    const { url, client, platform, store } = options;
    this.client = new HubClient(url, { ...client, autoConnect: false, storage: { ...client.storage, outbox: store } }, platform);
    this.client.on('problem', ({ error }) => options.problem(error));
    this.client.on('state', ({ to }) => this.upstreamChanged(to));
    this.client.on('connected', () => this.connected());
    this.client.on('caughtUp', () => (this.isCaughtUp = true));
    this.client.on('ended', (ending) => this.ended(ending.closeCode));
  }

  get state(): State {
    return this.client.state;
  }

  /** Read what the last leader has left, and connect. */
  async begin(): Promise<void> {
    await this.client.begun();
    if (this.isOver || this.client.state === 'ended') return;
    const { store } = this.options;
    for (const record of store.tabs) this.tabs.set(record.tab, this.newTab(record));
    for (const [publishId, origin] of store.origins()) {
      const tab = this.tabs.get(origin.tab) ?? this.newTab({ lastSeq: 0, refused: [], ...origin });
      this.tabs.set(tab.name, tab);
      if (isOf(origin, tab)) tab.accepted = Math.max(tab.accepted, origin.seq);
      if (this.client.isWaiting(publishId)) this.origins.set(publishId, origin);
    }
    for (const tab of this.tabs.values()) this.sortDone(tab);
    for (const name of this.tabs.keys()) this.watchTab(name);
    this.client.tellTo((event) => this.heardOf(event));
    this.client.connect();
  }

  /** A tab asks for a connection on this channel. */
  open(name: string, tabName: string, protocols: readonly string[]): void {
    const known = this.tabs.get(tabName);
    // It has asked twice, because it heard of this leader meanwhile.
    if (this.isOver || known?.connection?.name === name) return;
    const broadcast = this.options.openBroadcast(name);
    if (known !== undefined && known.connection !== null) this.drop(known.connection, closeCodes.superseded);
    // Without the ticket it numbers its publishes from 1 again, and the answers of those it had are nobody's.
    const resumed = known !== undefined && protocols.includes(`hf.resume.${known.session}`);
    const tab = resumed ? known : this.newTab({ tab: tabName, session: newName(), lastSeq: 0, refused: [] });
    this.tabs.set(tabName, tab);
    if (known === undefined) this.watchTab(tabName);
    const connection = new TabConnection(name, tab, broadcast);
    broadcast.onmessage = ({ data }) => this.heard(connection, data as ToLeader);
    tab.connection = connection;
    connection.say({ t: 'opened', leader: this.name });
    connection.say({ t: 'upstream', state: this.client.state });
    this.welcome(connection, resumed);
  }

  /** Another tab is to lead. What there is it finds in the database. */
  resign(): void {
    if (this.isOver) return;
    this.isOver = true;
    this.client.abandon();
    this.options.store.close();
    for (const { connection } of this.tabs.values()) connection?.close(closeCodes.goingAway);
  }

  /* --- tabs --- */

  private newTab({ tab: name, session = name, lastSeq, refused }: TabRecord): Tab {
    const accepted = refused.reduce((highest, { seq }) => Math.max(highest, seq), lastSeq);
    return { name, session, lastSeq, settled: lastSeq, accepted, done: new Map(), refused, connection: null, isGone: false };
  }

  /** What was accepted by an earlier leader, and is not in the outbox any more, is done. */
  private sortDone(tab: Tab): void {
    const waiting = new Set([...this.origins.values()].filter((origin) => isOf(origin, tab)).map(({ seq }) => seq));
    for (let seq = tab.settled + 1; seq <= tab.accepted; seq++) if (!waiting.has(seq)) tab.done.set(seq, null);
    this.settle(tab);
  }

  /** A tab's lock is free when the tab is gone, however it went. */
  private watchTab(name: string): void {
    const { locks, tabLock } = this.options;
    locks
      .request(tabLock(name), {}, () => {
        this.tabGone(name);
        return Promise.resolve();
      })
      .catch(() => undefined); // This page is on its way out itself.
  }

  private tabGone(name: string): void {
    const tab = this.tabs.get(name);
    if (this.isOver || tab === undefined) return;
    tab.isGone = true;
    if (tab.connection !== null) this.drop(tab.connection, 0);
    this.forgetGone(tab);
  }

  /** Once its publishes have their answers. */
  private forgetGone(tab: Tab): void {
    if (!tab.isGone || tab.settled < tab.accepted || this.tabs.get(tab.name) !== tab) return;
    this.tabs.delete(tab.name);
    this.options.store.note(tab.name, null);
  }

  private note(tab: Tab): void {
    const { name, session, settled, refused } = tab;
    if (this.tabs.get(name) === tab) this.options.store.note(name, { tab: name, session, lastSeq: settled, refused });
  }

  private drop(connection: TabConnection, code: number): void {
    for (const feed of [...this.feeds.values()]) feed.unsubscribe(connection);
    connection.close(code);
    if (connection.tab.connection === connection) connection.tab.connection = null;
  }

  private heard(connection: TabConnection, data: ToLeader): void {
    if (this.isOver || connection.tab.connection !== connection) return;
    if (data.t === 'close') this.drop(connection, 0);
    else this.obey(connection, JSON.parse(data.text) as Members);
  }

  private welcome(connection: TabConnection, resumed: boolean): void {
    const { session, lastSeq, refused } = connection.tab;
    connection.send({
      type: 'welcome',
      session,
      ticket: session,
      resumed,
      lastSeq: resumed ? lastSeq : null,
      ttl: 86_400_000,
      serverId: this.name,
      serverTime: this.options.platform.wallClock(),
      heartbeat: { interval: 25_000, min: 10_000, max: 60_000 },
      lossSpread: 0,
      maxMessage: this.client.payloadBytesMax,
      address: '',
      channels: [],
    });
    for (const { seq, code, reason } of refused) connection.send({ type: 'nack', seq, code, reason });
    if (!resumed) this.note(connection.tab);
  }

  /* --- what a tab says --- */

  private obey(connection: TabConnection, m: Members): void {
    const { platform } = this.options;
    const channel = String(m['channel']);
    switch (m['type']) {
      case 'ping':
        // The application's own are numbered apart from heartbeats, and are to go through to the server.
        if (String(m['id']).startsWith('r')) this.ask(connection, m);
        else connection.send({ type: 'pong', id: m['id'], serverTime: platform.wallClock(), serverId: this.name });
        return;
      case 'heartbeat':
        connection.send({ type: 'heartbeat', interval: m['interval'] });
        return;
      case 'subscribe':
        this.subscribe(connection, channel, m);
        return;
      case 'unsubscribe':
        this.feeds.get(channel)?.unsubscribe(connection);
        connection.send({ type: 'unsubscribed', channel });
        return;
      case 'sync_request':
        this.feeds.get(channel)?.sync(connection, Number(m['offset']));
        return;
      case 'data':
        this.publish(connection, channel, m);
        return;
      case 'history':
      case 'presence':
      case 'call':
        this.ask(connection, m);
        return;
      case 'bye':
        connection.tab.isGone = true;
        this.drop(connection, closeCodes.normal);
        this.forgetGone(connection.tab);
        return;
      default: // Acknowledgements and pongs: what a tab has is known by the tab alone.
        return;
    }
  }

  /* --- publishes --- */

  private publish(connection: TabConnection, channel: string, m: Members): void {
    const { tab } = connection;
    const seq = Number(m['seq']);
    if (seq <= tab.lastSeq) {
      connection.send({ type: 'ack', seq, offsets: [null] });
      return;
    }
    if (seq <= tab.accepted) return; // Its answer will come.
    if (seq !== tab.accepted + 1) {
      connection.send({ type: 'error', re: 'data', code: 'bad_seq', reason: 'a publish is missing', expected: tab.accepted + 1 });
      return;
    }
    tab.accepted = seq;
    const { store } = this.options;
    store.origin = { tab: tab.name, session: tab.session, seq };
    try {
      const publishId = this.client.publishRaw(channel, rawOf(m), m['id'] as string | undefined);
      this.origins.set(publishId, store.origin);
    } catch (error) {
      this.refused(tab, seq, error instanceof HoldfastError ? refusalOf(error) : 'internal', String(error), true);
    } finally {
      store.origin = null;
    }
  }

  private refused(tab: Tab, seq: number, code: string, reason: string, here: boolean): void {
    // It may come again after a change of leaders.
    if (!tab.refused.some((known) => known.seq === seq)) tab.refused = [...tab.refused, { seq, code, reason }].slice(-refusedMax);
    const tell = (): void => {
      if (this.isOver) return;
      tab.connection?.send({ type: 'nack', seq, code, reason });
      // Not before: an ack that covers it would say that it was published.
      tab.done.set(seq, null);
      this.settle(tab);
    };
    this.note(tab);
    // The server knows what it has refused; what was refused here must be known to the next leader before the tab is.
    if (here) this.options.store.flushed(tell);
    else tell();
  }

  /** "acks leave in the order of `seq`, one for all that is ready": once the next leader would know it, which must not know less than the tab. */
  private settle(tab: Tab): void {
    const offsets: (number | null)[] = [];
    for (let seq = tab.settled + 1; tab.done.has(seq); seq++) {
      offsets.push(tab.done.get(seq) ?? null);
      tab.done.delete(seq);
      tab.settled = seq;
    }
    if (offsets.length === 0) return;
    const seq = tab.settled;
    this.note(tab);
    this.options.store.flushed(() => {
      if (this.isOver) return;
      tab.lastSeq = seq;
      tab.connection?.send({ type: 'ack', seq, offsets });
    });
    this.forgetGone(tab);
  }

  /* --- subscriptions --- */

  private subscribe(connection: TabConnection, channel: string, m: Members): void {
    // "Again on a subscribed channel: `since` or `last` move the cursor, `mode` and `presence` are replaced": our clients ask for nothing but the last.
    const isAgain = m['since'] === undefined && m['last'] === undefined && m['mode'] === undefined && m['presence'] !== undefined;
    if (isAgain && this.feeds.get(channel)?.watch(connection, m['presence'] === true) === true) return;
    this.feedOf(channel).subscribe(connection, subscribeOptions(m));
  }

  private feedOf(channel: string): Feed {
    const feed = this.feeds.get(channel) ?? new Feed(channel, this);
    this.feeds.set(channel, feed);
    return feed;
  }

  follow(channel: string, options: SubscribeOptions): void {
    try {
      this.client.followRaw(channel, options);
    } catch (error) {
      this.feeds.get(channel)?.unsubscribed(error instanceof HoldfastError ? refusalOf(error) : 'internal', String(error));
    }
  }

  unfollow(channel: string): void {
    this.client.unfollowRaw(channel);
  }

  watch(channel: string, presence: boolean): void {
    this.client.watchRaw(channel, presence);
  }

  get isCurrent(): boolean {
    return this.isCaughtUp && isConnected(this.client.state);
  }

  later(call: () => void): void {
    this.options.platform.timer(askAgainMs, () => {
      if (!this.isOver) call();
    });
  }

  idle(feed: Feed): void {
    this.feeds.delete(feed.channel);
  }

  history(
    what: { readonly channel: string; readonly since: Since | undefined; readonly limit: number; readonly reverse: boolean },
    answer: Parameters<FeedHost['history']>[1],
    refused: Parameters<FeedHost['history']>[2],
  ): void {
    this.request({ type: 'history', ...what }, (event) => {
      if (event.type === 'history') answer(event);
      else if (event.type === 'failed') refused(event.code, event.reason);
    });
  }

  /* --- requests --- */

  private request(what: RequestWhat, told: (event: SessionEvent) => void): void {
    try {
      this.requests.set(this.client.askRaw(what), told);
    } catch (error) {
      told({ type: 'failed', requestId: 0, code: error instanceof HoldfastError ? refusalOf(error) : 'internal', reason: String(error) });
    }
  }

  private ask(connection: TabConnection, m: Members): void {
    const { type } = m;
    const id = String(m['id']);
    const channel = String(m['channel']);
    const since = m['since'] as Since | undefined;
    const what: RequestWhat =
      type === 'ping'
        ? { type }
        : type === 'history'
        ? { type, channel, since, limit: isNumber(m['limit']) ? m['limit'] : 100, reverse: m['reverse'] === true }
        : type === 'presence'
          ? { type, channel }
          : { type: 'call', method: String(m['method']), payload: rawOf(m) };
    this.request(what, (event) => {
      if (event.type === 'pong') {
        connection.send({ type: 'pong', id, serverTime: this.options.platform.wallClock(), serverId: this.name });
      } else if (event.type === 'history') {
        const { epoch, offset, messages } = event;
        connection.send({ type, id, channel, epoch, offset, messages: messages.map(dataOf) });
      } else if (event.type === 'members') {
        connection.send({ type, id, channel, members: event.members });
      } else if (event.type === 'reply') {
        connection.send({ type: 'reply', id, ...payloadOf(event.payload) });
      } else if (event.type === 'failed') {
        const { code, reason } = event;
        connection.send(type === 'call' ? { type: 'reply', id, code, reason } : { type: 'error', re: type, id, channel, code, reason });
      }
    });
  }

  /* --- what the session tells --- */

  /** The session is in the middle of something, which a failure of ours must not end. */
  private heardOf(event: SessionEvent): boolean {
    try {
      return this.told(event);
    } catch (error) {
      this.options.problem(new HoldfastError('internal', `the leading tab failed to pass on "${event.type}": ${String(error)}`));
      return true;
    }
  }

  private told(event: SessionEvent): boolean {
    switch (event.type) {
      case 'acked':
        return this.answered(event.publishId, (tab, seq) => {
          tab.done.set(seq, event.offset === 0 ? null : event.offset);
          this.settle(tab);
        });
      case 'refused':
        return this.answered(event.publishId, (tab, seq) => this.refused(tab, seq, event.code, event.reason, false));
      case 'uncertain':
        return this.answered(event.publishId, (tab, seq) =>
          this.refused(tab, seq, 'uncertain', 'the server lost the session before it answered: it may have been applied', false),
        );
      case 'message':
        this.feeds.get(event.message.channel)?.message(event.message, event.epoch);
        return true;
      case 'gap':
        this.feeds.get(event.channel)?.gap(event.epoch, event.from, event.to, event.code);
        return true;
      case 'subscribed':
        this.subscribed(event);
        return true;
      case 'unsubscribed':
        this.feeds.get(event.channel)?.unsubscribed(event.code, event.reason);
        return true;
      case 'presence':
        this.feeds.get(event.channel)?.presenceChanged(event.kind, event.member);
        return true;
      case 'presenceLost':
        this.feeds.get(event.channel)?.presenceLost(event.code, event.reason);
        return true;
      case 'pong':
      case 'history':
      case 'members':
      case 'reply':
      case 'failed': {
        const told = this.requests.get(event.requestId);
        this.requests.delete(event.requestId);
        told?.(event);
        return true;
      }
      default:
        return false;
    }
  }

  private subscribed({ channel, epoch, offset, recovered, head }: Extract<SessionEvent, { type: 'subscribed' }>): void {
    if (this.feeds.has(channel)) {
      this.feeds.get(channel)?.subscribed(epoch, offset, recovered, head);
      return;
    }
    const connections = [...this.tabs.values()].flatMap(({ connection }) => (connection === null ? [] : [connection]));
    this.feedOf(channel).adopted(connections, epoch, offset);
  }

  /** Whether it is a tab's. One whose tab has had the answer already comes again after a change of leaders. */
  private answered(publishId: number, tell: (tab: Tab, seq: number) => void): boolean {
    const origin = this.origins.get(publishId);
    this.origins.delete(publishId);
    const tab = this.tabs.get(origin?.tab ?? '');
    if (origin !== undefined && tab !== undefined && isOf(origin, tab) && origin.seq > tab.settled) tell(tab, origin.seq);
    return origin !== undefined;
  }

  /** The tabs notice nothing of it, but that they must ask who is there. */
  private connected(): void {
    this.isCaughtUp = false;
    for (const feed of this.feeds.values()) feed.presenceLost('overloaded', brokenText, true);
  }

  private upstreamChanged(state: State): void {
    if (this.isOver) return;
    for (const { connection } of this.tabs.values()) connection?.say({ t: 'upstream', state });
    this.options.upstream(state);
  }

  /** By the server, for good: so it is for the tabs. */
  private ended(closeCode: EndingEvent['closeCode']): void {
    if (this.isOver) return;
    this.isOver = true;
    const code = closeCode === closeCodes.tokenExpired ? closeCode : closeCodes.ended;
    for (const { connection } of this.tabs.values()) connection?.close(code);
  }
}

/** Whether a publish is one of this session's. */
function isOf({ tab, session = tab }: Origin, { name, session: own }: Tab): boolean {
  return tab === name && session === own;
}

/** What a tab publishes, or calls with. */
function rawOf(m: Members): Raw {
  const base64 = m['payloadBase64'];
  return typeof base64 === 'string' ? fromBase64(base64) : JSON.stringify(m['payload']);
}

function subscribeOptions(m: Members): SubscribeOptions {
  const since = m['since'] as Since | undefined;
  const options: SubscribeOptions = {};
  if (since !== undefined && isLabel(since.epoch, true)) options.since = { epoch: since.epoch, offset: since.offset };
  if (isNumber(m['last']) && m['last'] > 0) options.last = m['last'];
  if (m['mode'] === 'latest') options.mode = 'latest';
  if (m['presence'] === true) options.presence = true;
  return options;
}

/** A refusal of our own, in the words of the protocol. */
function refusalOf({ code }: HoldfastError): string {
  switch (code) {
    case 'too_large':
    case 'limit':
      return code;
    case 'outbox_full':
    case 'requests_full':
      return 'overloaded';
    case 'closed':
      return 'unavailable';
    default:
      return 'bad_message';
  }
}

