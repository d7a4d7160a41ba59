/**
 * world.ts - virtual time, a network that can be cut, and a small Holdfast server in it: what the client's tests run against. Nothing here waits for real: run() jumps from event to event.
 * The server keeps PROTOCOL.md as far as a client can see it: sessions with tickets and publish numbers, channels with epochs, offsets and logs, resume, gaps, acks.
 */
import type { Connection, ConnectionEvents, ConnectionRequest, Platform, PlatformSignals, Transport } from '../src/types.js';

interface Timer {
  /** Of the network, and not of the client's. */
  network: boolean;
  at: number;
  order: number;
  callback: () => void;
}

/** A small generator, so that a failing test fails again. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

export class World {
  now = 1000;
  online = true;
  hidden = false;
  kind = '';
  readonly warnings: string[] = [];
  signals: PlatformSignals | null = null;
  private timers: Timer[] = [];
  private order = 0;

  after(delay: number, callback: () => void, network = false): () => void {
    const timer = { network, at: this.now + Math.max(0, delay), order: this.order++, callback };
    this.timers.push(timer);
    return () => {
      this.timers = this.timers.filter((other) => other !== timer);
    };
  }

  /** Let so much time pass. Promises that have settled are seen in between. */
  async run(ms: number): Promise<void> {
    const until = this.now + ms;
    for (;;) {
      await flush();
      const [next] = this.timers.sort((a, b) => a.at - b.at || a.order - b.order);
      if (next === undefined || next.at > until) break;
      this.timers.shift();
      this.now = Math.max(this.now, next.at);
      next.callback();
    }
    this.now = until;
    await flush();
  }

  /** Until it holds, but no longer than a virtual hour. */
  async until(holds: () => boolean, ms = 3_600_000): Promise<void> {
    const end = this.now + ms;
    await flush();
    while (!holds()) {
      if (this.now >= end) throw new Error(`it did not come about within ${ms} ms`);
      await this.run(10);
    }
  }

  /** The machine sleeps: time passes, and no timer fires before it is over. What the network has brought meanwhile comes behind the timers. */
  async sleep(ms: number): Promise<void> {
    this.now += ms;
    for (const timer of this.timers) if (timer.network) timer.at = Math.max(timer.at, this.now + 1);
    await flush();
  }

  platform(seed = 1): Platform {
    const random = seeded(seed);
    return {
      now: () => this.now,
      wallClock: () => 1_700_000_000_000 + this.now,
      timer: (delay, callback) => this.after(delay, callback),
      random,
      online: () => this.online,
      background: () => this.hidden,
      networkKey: () => this.kind,
      watch: (signals) => {
        this.signals = signals;
        return () => (this.signals = null);
      },
      transport: () => {
        throw new Error('the test gives the transport');
      },
      warn: (text) => void this.warnings.push(text),
    };
  }
}

/** Let everything run that only waits for promises. */
export async function flush(): Promise<void> {
  for (let i = 0; i < 20; i++) await Promise.resolve();
}

type Json = Record<string, unknown>;

interface LogEntry {
  offset: number;
  id: string;
  payload: unknown;
  timestamp: number;
}

class FakeChannel {
  readonly log: LogEntry[] = [];
  head = 0;

  constructor(public epoch: string) {}

  /** Keep the newest n only. */
  evict(keep: number): void {
    this.log.splice(0, Math.max(0, this.log.length - keep));
  }

  get first(): number {
    return this.log[0]?.offset ?? this.head + 1;
  }
}

interface Cursor {
  acked: number;
  next: number;
  latest: boolean;
}

export class FakeSession {
  readonly cursors = new Map<string, Cursor>();
  lastSeq = 0;
  lastAttempt = 0;
  connection: ServerConnection | null = null;
  /** Answers to publishes, in order. */
  readonly refused = new Map<number, string>();

  constructor(
    readonly id: string,
    readonly ticket: string,
  ) {}
}

/** What passes on the network between a client and the server. */
export class ServerConnection {
  session: FakeSession | null = null;
  open = true;
  /** Nothing arrives any more, in either direction, and nobody is told. */
  dead = false;
  readonly received: Json[] = [];

  constructor(
    private readonly server: FakeServer,
    readonly request: ConnectionRequest,
    private readonly events: ConnectionEvents,
  ) {}

  /** To the client. */
  send(message: Json): void {
    const text = JSON.stringify(message);
    this.server.later(this, () => {
      this.server.sent.push(message);
      this.events.message(text);
    });
  }

  opened(protocol: string): void {
    this.server.later(this, () => this.events.opened(protocol));
  }

  refuse(status: number, retryAfter = 0): void {
    this.server.later(this, () => {
      this.open = false;
      this.events.refused(status, retryAfter);
    });
  }

  /** Close it with this code, 1006: without a word. */
  close(code: number, reason = ''): void {
    this.server.later(this, () => {
      this.open = false;
      this.leave();
      this.events.closed(code, reason);
    });
  }

  leave(): void {
    if (this.session?.connection === this) this.session.connection = null;
  }
}

/** The protocol tokens of a request. */
function tokens(request: ConnectionRequest, prefix: string): string | undefined {
  return request.protocols.find((token) => token.startsWith(prefix))?.slice(prefix.length);
}

export class FakeServer {
  latency = 20;
  heartbeat = { interval: 25_000, min: 10_000, max: 60_000 };
  lossSpread = 0;
  maxMessage = 65_536;
  address = '127.0.0.1:50000';
  /** The log keeps so many messages. */
  keep = 1000;
  /** Nobody answers: attempts find no server. */
  down = false;
  /** Packets vanish: attempts wait for ever. */
  blackHole = false;
  /** Refuse the next attempts with these statuses. */
  refusals: { status: number; retryAfter: number }[] = [];
  goodToken: string | null = null;
  /** To the next connections, in place of the welcome: these messages, and this close code. */
  insteadOfWelcome: { messages: Json[]; code: number }[] = [];
  /** Called with each message of a client before it is obeyed; true: it was. */
  intercept: ((connection: ServerConnection, message: Json) => boolean) | null = null;
  readonly connections: ServerConnection[] = [];
  readonly sessions = new Map<string, FakeSession>();
  readonly channels = new Map<string, FakeChannel>();
  /** Of old sessions, by their tickets: the seq that was applied last. */
  readonly tombstones = new Map<string, { lastSeq: number; refusals: { seq: number; code: string; reason: string }[] }>();
  /** What has been delivered to clients. */
  readonly sent: Json[] = [];
  attempts = 0;
  private ids = 0;

  constructor(readonly world: World) {}

  /** The newest connection that stands. */
  get connection(): ServerConnection {
    const standing = this.connections.filter((connection) => connection.open && !connection.dead);
    const newest = standing[standing.length - 1];
    if (newest === undefined) throw new Error('no connection stands');
    return newest;
  }

  channel(name: string): FakeChannel {
    let channel = this.channels.get(name);
    if (channel === undefined) {
      channel = new FakeChannel(`e${++this.ids}`);
      this.channels.set(name, channel);
    }
    return channel;
  }

  /** By the backend. */
  publish(name: string, payload: unknown, id?: string): number {
    const channel = this.channel(name);
    const offset = ++channel.head;
    channel.log.push({ offset, id: id ?? `${channel.epoch}-${offset}`, payload, timestamp: this.world.now });
    channel.evict(this.keep);
    for (const session of this.sessions.values()) this.deliver(session, name);
    return offset;
  }

  /** The channel begins anew. */
  restartChannel(name: string): void {
    this.channels.delete(name);
    this.channel(name);
  }

  /** All sessions are forgotten; what was applied of their publishes is, or is not, remembered. */
  forgetSessions(tombstones: boolean): void {
    for (const session of this.sessions.values()) {
      const refusals = [...session.refused].map(([seq, code]) => ({ seq, code, reason: code }));
      if (tombstones) this.tombstones.set(session.ticket, { lastSeq: session.lastSeq, refusals });
    }
    this.sessions.clear();
  }

  later(connection: ServerConnection, deliver: () => void): void {
    const arrive = (): void => {
      if (connection.open && !connection.dead) deliver();
    };
    this.world.after(this.latency, arrive, true);
  }

  transport(): Transport {
    return { open: (request, events) => this.dial(request, events) };
  }

  private dial(request: ConnectionRequest, events: ConnectionEvents): Connection {
    const connection = new ServerConnection(this, request, events);
    this.attempts++;
    if (this.down) {
      this.world.after(this.latency, () => {
        if (connection.open) events.closed(1006, '');
      });
    } else if (!this.blackHole) {
      this.world.after(this.latency, () => {
        if (connection.open) this.accept(connection);
      });
    }
    return {
      send: (data) => {
        const message = JSON.parse(String(data)) as Json;
        this.later(connection, () => {
          connection.received.push(message);
          if (this.intercept?.(connection, message) !== true) this.obey(connection, message);
        });
      },
      bufferedAmount: 0,
      close: () => {
        connection.leave();
        connection.open = false;
      },
    };
  }

  private accept(connection: ServerConnection): void {
    const refusal = this.refusals.shift();
    const token = tokens(connection.request, 'hf.token.');
    if (refusal !== undefined) return connection.refuse(refusal.status, refusal.retryAfter);
    if (this.goodToken !== null && token !== this.goodToken) return connection.refuse(401);
    const instead = this.insteadOfWelcome.shift();
    if (instead !== undefined) {
      connection.opened('holdfast.v1.json');
      for (const message of instead.messages) connection.send(message);
      return instead.code === 0 ? undefined : connection.close(instead.code);
    }
    const ticket = tokens(connection.request, 'hf.resume.') ?? '';
    const attempt = Number(tokens(connection.request, 'hf.attempt.') ?? 0);
    let session = [...this.sessions.values()].find((each) => each.ticket === ticket);
    const resumed = session !== undefined;
    if (session !== undefined) {
      if (attempt <= session.lastAttempt) return connection.refuse(409);
      const old = session.connection;
      this.world.after(0, () => old?.close(4001)); // behind the welcome
    } else {
      session = new FakeSession(`s${++this.ids}`, `ticket-${this.ids}`);
      this.sessions.set(session.id, session);
    }
    const tombstone = this.tombstones.get(ticket);
    session.lastAttempt = attempt;
    session.connection = connection;
    connection.session = session;
    this.connections.push(connection);
    connection.opened('holdfast.v1.json');
    connection.send({
      type: 'welcome',
      session: session.id,
      ticket: session.ticket,
      resumed,
      lastSeq: resumed ? session.lastSeq : (tombstone?.lastSeq ?? null),
      ...(resumed || tombstone === undefined || tombstone.refusals.length === 0 ? {} : { refusals: tombstone.refusals }),
      ttl: 120_000,
      serverId: 'fake',
      serverTime: this.world.now,
      heartbeat: this.heartbeat,
      lossSpread: this.lossSpread,
      maxMessage: this.maxMessage,
      address: this.address,
      channels: [...session.cursors].map(([channel, { acked }]) => ({ channel, epoch: this.channel(channel).epoch, offset: acked })),
    });
    for (const [seq, code] of session.refused) connection.send({ type: 'nack', seq, code, reason: code });
    for (const [channel, cursor] of session.cursors) {
      cursor.next = cursor.acked + 1;
      this.deliver(session, channel);
    }
  }

  private deliver(session: FakeSession, name: string): void {
    const cursor = session.cursors.get(name);
    const channel = this.channel(name);
    if (cursor === undefined || session.connection === null) return;
    if (cursor.latest) cursor.next = Math.max(cursor.next, channel.head);
    if (cursor.next < channel.first) {
      session.connection.send({
        type: 'gap',
        channel: name,
        epoch: channel.epoch,
        from: cursor.next,
        to: channel.first - 1,
        code: 'evicted',
      });
      cursor.next = channel.first;
    }
    for (const entry of channel.log)
      if (entry.offset >= cursor.next) session.connection.send({ type: 'data', channel: name, ...entry });
    cursor.next = channel.head + 1;
  }

  private obey(connection: ServerConnection, message: Json): void {
    const { session } = connection;
    if (session === null || session.connection !== connection) return;
    const name = message['channel'] as string;
    switch (message['type']) {
      case 'subscribe':
        return this.subscribe(connection, session, message);
      case 'unsubscribe':
        session.cursors.delete(name);
        return connection.send({ type: 'unsubscribed', channel: name });
      case 'data': {
        const seq = message['seq'] as number;
        if (seq === session.lastSeq + 1) {
          session.lastSeq = seq;
          const offset = this.publish(name, message['payload'], message['id'] as string | undefined);
          connection.send({ type: 'ack', seq, offsets: [offset] });
        } else if (seq <= session.lastSeq) {
          connection.send({ type: 'ack', seq, offsets: [null] });
        } else {
          connection.send({ type: 'error', code: 'bad_seq', reason: 'a number was left out', re: 'data', expected: session.lastSeq + 1 });
        }
        return;
      }
      case 'ack':
        return this.acked(session, name, message['offset'] as number);
      case 'pong':
        for (const [channel, offset] of Object.entries((message['acks'] as Record<string, number> | undefined) ?? {}))
          this.acked(session, channel, offset);
        return;
      case 'ping':
        return connection.send({ type: 'pong', id: message['id'], serverTime: this.world.now, serverId: 'fake' });
      case 'heartbeat': {
        const interval = Math.min(Math.max(message['interval'] as number, this.heartbeat.min), this.heartbeat.max);
        return connection.send({ type: 'heartbeat', interval });
      }
      case 'sync_request': {
        const cursor = session.cursors.get(name);
        if (cursor !== undefined) cursor.next = (message['offset'] as number) + 1;
        return this.deliver(session, name);
      }
      case 'history': {
        const channel = this.channel(name);
        const messages = channel.log.map((entry) => ({ type: 'data', channel: name, ...entry }));
        return connection.send({ type: 'history', id: message['id'], channel: name, epoch: channel.epoch, offset: channel.head, messages });
      }
      case 'presence':
        return connection.send({ type: 'presence', id: message['id'], channel: name, members: [{ session: session.id, user: 'me' }] });
      case 'call':
        return connection.send({ type: 'reply', id: message['id'], payload: { method: message['method'], got: message['payload'] } });
      case 'bye':
        this.sessions.delete(session.id);
        return connection.close(1000);
    }
  }

  private acked(session: FakeSession, name: string, offset: number): void {
    const cursor = session.cursors.get(name);
    if (cursor !== undefined) cursor.acked = Math.max(cursor.acked, offset);
  }

  private subscribe(connection: ServerConnection, session: FakeSession, message: Json): void {
    const name = message['channel'] as string;
    const channel = this.channel(name);
    const since = message['since'] as { epoch: string; offset: number } | undefined;
    const last = message['last'] as number | undefined;
    const latest = message['mode'] === 'latest';
    let next = channel.head + 1;
    let recovered = true;
    if (latest) next = Math.max(1, channel.head);
    else if (last !== undefined) next = Math.max(channel.first, channel.head - last + 1);
    else if (since !== undefined && since.epoch !== channel.epoch) {
      recovered = false;
      next = channel.first;
      connection.send({ type: 'gap', channel: name, epoch: channel.epoch, from: null, to: null, code: 'epoch' });
      if (next > 1) connection.send({ type: 'gap', channel: name, epoch: channel.epoch, from: 1, to: next - 1, code: 'evicted' });
    } else if (since !== undefined) {
      next = since.offset + 1;
      recovered = next >= channel.first;
      if (!recovered) {
        connection.send({ type: 'gap', channel: name, epoch: channel.epoch, from: next, to: channel.first - 1, code: 'evicted' });
        next = channel.first;
      }
    }
    session.cursors.set(name, { acked: next - 1, next, latest });
    connection.send({ type: 'subscribed', channel: name, epoch: channel.epoch, offset: channel.head, recovered });
    this.deliver(session, name);
  }
}
