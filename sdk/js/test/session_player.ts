/**
 * session_player.ts - plays a vector of events into a session: it is driver, server and application in one, as the vector tells. What the session wants, says and tells is put into the
 * words of the vector, as tests/unit/session_player.h does for the C client.
 */
import { HoldfastError } from '../src/errors.js';
import { AdaptiveHeartbeat } from '../src/core/heartbeat_adaptive.js';
import { ClassicHeartbeat } from '../src/core/heartbeat_classic.js';
import type { HeartbeatPolicy } from '../src/core/heartbeat.js';
import { jsonCodec } from '../src/core/codec_json.js';
import type { Ending, SessionEvent } from '../src/core/events.js';
import type { DataMessage, MemberRecord } from '../src/core/message.js';
import { Prober } from '../src/core/prober.js';
import type { RequestWhat } from '../src/core/requests.js';
import { Session } from '../src/core/session.js';
import { probeSlot, type Path } from '../src/core/session_types.js';
import type { SessionStore, Stored } from '../src/core/store.js';
import type { StoredPublish, StoredState, SubscribeOptions } from '../src/types.js';
import { numberOf, SplitMix, textOf, type Entry, type Json, type Vector } from './vector_file.js';

/** The session's clock at the vector's 0. */
const beginMs = 1_000_000;
const turnsMax = 10_000;
const slots = [0, 1, 2] as const;

type Members = Record<string, Json>;

/** One connection as its driver and its server see it. */
interface Connection {
  readonly attempt: number;
  upgraded: boolean;
  /** Its end has been told, or said. */
  over: boolean;
  /** The socket takes nothing. */
  full: boolean;
}

/** What has been given survives the session that gave it. */
class MemoryStore implements SessionStore {
  state: StoredState = { firstId: 1, sentId: 0, seqBase: 0, attempts: 0, ticket: '' };
  publishes: StoredPublish[] = [];

  put({ publishId, channel, id, payload }: StoredPublish): void {
    this.publishes.push({ publishId, channel, id, payload });
  }

  refuse(publishId: number, refusal: string): void {
    this.publishes = this.publishes.map((publish) => (publish.publishId === publishId ? { ...publish, refusal } : publish));
  }

  save(state: StoredState): 'kept' {
    this.state = { ...state };
    this.publishes = this.publishes.filter((publish) => publish.publishId >= state.firstId);
    return 'kept';
  }

  stored(): Stored {
    return { state: this.state, publishes: [...this.publishes] };
  }
}

const results: Readonly<Record<string, string>> = { outbox_full: 'full', requests_full: 'full' };

function endingOf({ cause, closeCode, httpStatus }: Ending): Members {
  return { cause, ...(closeCode > 0 ? { code: closeCode } : {}), ...(httpStatus > 0 ? { status: httpStatus } : {}) };
}

function messageOf({ offset, id, payload, timestamp, from }: DataMessage): Members {
  return { offset, id, payload: payload as Json, timestamp, ...(from === undefined ? {} : { from }) };
}

function memberOf({ session, user, info }: MemberRecord): Members {
  return { session, user, ...(info === undefined ? {} : { info: info as Json }) };
}

/** The words for the answer to a request. */
const answers = { history: 'history', presence: 'members', call: 'reply', ping: 'pong' } as const;

/** An event in the vector's words. */
function wordsOf(event: SessionEvent): [name: string, members: Members] | undefined {
  switch (event.type) {
    case 'state':
      return ['state', { from: event.from, to: event.to, ...endingOf(event), delay: event.nextAttempt }];
    case 'connected':
      return ['connected', { session: event.session, resumed: event.resumed, retries: event.retries }];
    case 'caughtUp':
      return ['caught_up', { count: event.count }];
    case 'disconnected':
    case 'retrying':
      return [event.type, { ...endingOf(event), delay: event.nextAttempt }];
    case 'ended':
      return ['ended', endingOf(event)];
    case 'subscribed': {
      const { channel, epoch, offset, recovered } = event;
      return ['subscribed', { channel, epoch, offset, recovered }];
    }
    case 'unsubscribed':
      return ['unsubscribed', { channel: event.channel, code: event.code }];
    case 'message':
      return ['message', { channel: event.message.channel, ...messageOf(event.message) }];
    case 'gap': {
      const { channel, epoch, from, to, code } = event;
      return ['gap', { channel, epoch, from, to, code }];
    }
    case 'acked':
      return ['acked', { publish: event.publishId, offset: event.offset === 0 ? null : event.offset }];
    case 'refused':
      return ['refused', { publish: event.publishId, code: event.code }];
    case 'uncertain':
      return ['uncertain', { publish: event.publishId, channel: event.channel, payload: JSON.parse(String(event.payload)) as Json }];
    case 'pong':
      return ['pong', { request: event.requestId }];
    case 'history': {
      const { requestId: request, channel, epoch, offset, messages } = event;
      return ['history', { request, channel, epoch, offset, messages: messages.map(messageOf) }];
    }
    case 'members': {
      const { requestId: request, channel, members } = event;
      return ['members', { request, channel, members: members.map(memberOf) }];
    }
    case 'reply':
      return ['reply', { request: event.requestId, payload: event.payload as Json }];
    case 'presence':
      return [event.kind, { channel: event.channel, ...memberOf(event.member) }];
    case 'error':
      return ['error', { channel: event.channel, code: event.code }];
    default:
      return undefined;
  }
}

export class SessionPlayer {
  /** The timeline as it was played: inputs with their results, outputs. */
  readonly seen: Entry[] = [];
  private session!: Session;
  private now = beginMs;
  private started = false;
  private readonly connections: (Connection | undefined)[] = [];
  private readonly store = new MemoryStore();
  /** By their numbers. */
  private readonly asked = new Map<number, RequestWhat>();

  constructor(private readonly vector: Vector) {}

  play(): Entry[] {
    for (const entry of this.vector.timeline) if ('in' in entry) this.step(entry);
    return this.seen;
  }

  private out(name: string, members: Members): void {
    this.seen.push({ at: this.now - beginMs, out: name, ...members });
  }

  private step(entry: Entry): void {
    const at = beginMs + entry.at;
    if (entry['slept'] === true) this.now = at; // No timer has run.
    else if (this.started) this.advance(at, entry['in'] === 'wait');
    const seen: Members = { ...entry };
    this.seen.push(seen as Entry);
    Object.assign(seen, this.apply(entry));
    this.settle();
    const deadline = this.session.deadline();
    seen['deadline'] = deadline === Infinity ? null : deadline - beginMs;
  }

  /* --- time --- */

  private advance(until: number, waiting: boolean): void {
    for (let turns = 0; ; turns++) {
      const at = this.session.deadline();
      if (at > until) break;
      if (at === until && !waiting) throw new Error(`at ${until - beginMs} a timer is due at the time of an input`);
      if (turns === turnsMax) throw new Error('it never comes to rest');
      this.now = at;
      this.session.tick(at);
      this.settle();
    }
    this.now = until;
  }

  /** Until there is nothing more to do at this time. */
  private settle(): void {
    for (let turns = 0; turns < turnsMax; turns++) {
      for (const slot of slots) this.obey(slot);
      if (this.session.deadline() > this.now) return;
      this.session.tick(this.now);
    }
    throw new Error('it never comes to rest');
  }

  /* --- what the session wants and says --- */

  private nameOf(slot: number, attempt: number): Json {
    return slot === probeSlot ? `probe ${attempt}` : attempt;
  }

  private obey(slot: number): void {
    const want = this.session.want(slot);
    let connection = this.connections[slot];
    if (connection !== undefined && connection.attempt !== want.attempt) {
      if (!connection.over) this.out('drop', { on: this.nameOf(slot, connection.attempt) });
      this.connections[slot] = connection = undefined;
    }
    if (want.wish === 'connect' && connection === undefined) {
      this.connections[slot] = { attempt: want.attempt, upgraded: false, over: false, full: false };
      this.out('connect', { on: this.nameOf(slot, want.attempt) });
    } else if (want.wish === 'carry' && connection !== undefined) {
      this.read(slot, connection);
    } else if (want.wish === 'close' && connection !== undefined) {
      this.read(slot, connection);
      if (!connection.over) this.out('close', { on: this.nameOf(slot, connection.attempt), code: want.closeCode });
      connection.over = true;
      this.session.lost(slot, 'closed', this.now);
    }
  }

  /** The dial has succeeded. A session that knows no difference between that and the upgrade (features.ts, prepares) is asked for the request then. */
  private connected(slot: number): void {
    const { session } = this;
    if ((session.connected as unknown) !== undefined) session.connected(slot, this.now);
    else this.upgrade(slot, this.connections[slot] as Connection);
  }

  private upgrade(slot: number, connection: Connection): void {
    connection.upgraded = true;
    const on = this.nameOf(slot, connection.attempt);
    this.out('upgrade', { on, resume: null, ...this.upgradeOf(this.session.request(slot, this.now)) });
  }

  private read(slot: number, connection: Connection): void {
    const on = this.nameOf(slot, connection.attempt);
    if (!connection.upgraded && this.session.requestDue(slot)) this.upgrade(slot, connection);
    if (connection.full) {
      this.hold(slot);
      return;
    }
    const frames = [...this.takeHeld(slot), ...this.session.output(slot, this.now)];
    if (frames.length > 0) this.session.sent(slot, frames.reduce((sum, { bytes }) => sum + bytes, 0), this.now);
    for (const { data } of frames) this.out('send', { on, message: JSON.parse(String(data)) as Json });
  }

  /** What was taken of the session, as a WebSocket does, and not by the socket. */
  private held: { slot: number; data: unknown; bytes: number }[] = [];

  private hold(slot: number): void {
    this.held.push(...this.session.output(slot, this.now).map((output) => ({ slot, ...output })));
  }

  private takeHeld(slot: number): { data: unknown; bytes: number }[] {
    const mine = this.held.filter((each) => each.slot === slot);
    this.held = this.held.filter((each) => each.slot !== slot);
    return mine;
  }

  private upgradeOf(protocols: readonly string[]): Members {
    const members: Members = {};
    for (const protocol of protocols) {
      if (protocol.startsWith('hf.resume.')) members['resume'] = protocol.slice(10);
      else if (protocol.startsWith('hf.attempt.')) members['attempt'] = Number(protocol.slice(11));
      else if (protocol.startsWith('hf.token.')) members['token'] = protocol.slice(9);
    }
    return members;
  }

  /* --- making and ending --- */

  private policy(): HeartbeatPolicy | null {
    const policy = this.vector.config['policy'] as Members | undefined;
    if (policy === undefined) return null;
    if (policy['name'] === 'classic') return new ClassicHeartbeat();
    return new AdaptiveHeartbeat(numberOf(policy, 'tolerance'), null, new SplitMix(textOf(policy, 'seed', '0')));
  }

  private begin(): void {
    const { config } = this.vector;
    const keeps = config['store'] === true;
    this.session = new Session(
      {
        codecs: [jsonCodec],
        token: config['token'] === undefined ? null : textOf(config, 'token'),
        tokenSource: config['tokenSource'] === true,
        outboxMessages: numberOf(config, 'outboxMessages', 100),
        outboxBytes: numberOf(config, 'outboxBytes', 100_000),
        window: numberOf(config, 'window', 50),
        subscriptions: numberOf(config, 'subscriptions', 4),
        heartbeatIntervalMs: numberOf(config, 'heartbeatInterval'),
        policy: this.policy(),
        prober: (session, link) => new Prober(session, link),
        background: config['background'] === true,
        random: new SplitMix(textOf(config, 'seed')),
        splitDial: true,
        store: keeps ? this.store : null,
        stored: keeps ? this.store.stored() : null,
        onEvent: (event) => {
          const words = event.type === 'failed' ? this.failed(event.requestId, event.code) : wordsOf(event);
          if (words !== undefined) this.out(...words);
        },
      },
      this.now,
    );
    this.started = true;
  }

  private failed(request: number, code: string): [name: string, members: Members] {
    const what = this.asked.get(request);
    if (what === undefined) throw new Error(`request ${request} was not made`);
    return [answers[what.type], { request, ...('channel' in what ? { channel: what.channel } : {}), code }];
  }

  private ask(what: RequestWhat): Members {
    const request = this.session.ask(what, this.now);
    this.asked.set(request, what);
    return { request };
  }

  /* --- inputs --- */

  private slotOf(on: Json | undefined): number {
    const slot = slots.find((each) => {
      const connection = this.connections[each];
      return connection !== undefined && this.nameOf(each, connection.attempt) === on;
    });
    if (slot === undefined) throw new Error(`at ${this.now - beginMs} there is no connection ${String(on)}`);
    return slot;
  }

  private connectionOf(on: Json | undefined): Connection {
    return this.connections[this.slotOf(on)] as Connection;
  }

  private receive(slot: number, messages: Json | undefined): void {
    // What is no object is sent as it is written, to be something that no server sends.
    for (const message of (messages ?? []) as readonly Json[])
      this.session.message(slot, typeof message === 'string' ? message : JSON.stringify(message), this.now);
  }

  /** What a call of the application's returned. */
  private result(call: () => Members | void): Members {
    try {
      return { result: 'ok', ...call() };
    } catch (error) {
      if (!(error instanceof HoldfastError)) throw error;
      return { result: results[error.code] ?? error.code };
    }
  }

  private apply(entry: Entry): Members {
    const { session, now } = this;
    const channel = textOf(entry, 'channel');
    switch (entry['in']) {
      case 'start':
        this.begin();
        return {};
      case 'wait':
        return {};
      case 'connected':
        this.connected(this.slotOf(entry['on']));
        return {};
      case 'accept': {
        const slot = this.slotOf(entry['on']);
        session.opened(slot, jsonCodec.protocol, now);
        this.receive(slot, entry['messages']);
        return {};
      }
      case 'receive':
        this.receive(this.slotOf(entry['on']), entry['messages']);
        return {};
      case 'refuse': {
        const slot = this.slotOf(entry['on']);
        this.connectionOf(entry['on']).over = true;
        session.refused(slot, numberOf(entry, 'status', 503), numberOf(entry, 'retryAfter'), now);
        return {};
      }
      case 'closed': {
        const slot = this.slotOf(entry['on']);
        this.connectionOf(entry['on']).over = true;
        session.closed(slot, numberOf(entry, 'code', 1000), '', now);
        return {};
      }
      case 'lost': {
        const slot = this.slotOf(entry['on']);
        this.connectionOf(entry['on']).over = true;
        session.lost(slot, 'reset', now);
        return {};
      }
      case 'full':
      case 'drained':
        this.connectionOf(entry['on']).full = entry['in'] === 'full';
        return {};
      case 'publish':
        return this.result(() => {
          const id = entry['id'] as string | undefined;
          return { publish: session.publishing.publish(channel, JSON.stringify(entry['payload']), id) };
        });
      case 'subscribe': {
        const { since, last, mode, presence } = entry as Partial<Entry>;
        const options = { ...(since && { since }), ...(last && { last }), ...(mode && { mode }), ...(presence && { presence }) } as unknown as SubscribeOptions;
        return session.within(now, () => this.result(() => session.channels.subscribe(channel, options, now)));
      }
      case 'unsubscribe':
        return session.within(now, () => ({ result: session.channels.unsubscribe(channel, now) ? 'ok' : 'not_found' }));
      case 'history': {
        const since = entry['since'] as never;
        const what = { type: 'history', channel, since, limit: numberOf(entry, 'limit', 100), reverse: entry['reverse'] === true } as const;
        return this.result(() => this.ask(what));
      }
      case 'ping':
        return this.result(() => this.ask({ type: 'ping' }));
      case 'presence':
        return this.result(() => this.ask({ type: 'presence', channel }));
      case 'call':
        return this.result(() => this.ask({ type: 'call', method: textOf(entry, 'method'), payload: JSON.stringify(entry['payload'] ?? null) }));
      case 'token':
        return { result: session.setToken(textOf(entry, 'token'), now) ? 'ok' : 'invalid' };
      case 'close':
        session.close(now);
        return {};
      case 'background':
        session.background(entry['background'] === true, now);
        return {};
      case 'network': {
        const paths: [Path, Path, Path] = ['same', 'same', 'same'];
        for (const { on, path } of (entry['paths'] ?? []) as unknown as readonly { on: Json; path: Path }[])
          paths[this.slotOf(on)] = path;
        session.network({ offline: entry['offline'] === true, paths }, now);
        return {};
      }
      case 'woke_up':
        session.wokeUp(now);
        return {};
      case 'network_key':
        session.setNetwork(textOf(entry, 'key'), now);
        return {};
      case 'restart':
        if (entry['crash'] !== true) session.publishing.saveLast(now);
        this.connections.length = 0;
        this.begin();
        return {};
      default:
        throw new Error(`there is no input "${String(entry['in'])}"`);
    }
  }
}
