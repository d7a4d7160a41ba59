/**
 * tiny_server.ts - as much of a Holdfast server as the tests of whole clients need: sessions with tickets, publishes applied once, channels with their history. It lives in the test, and a
 * Transport is its wire; all that goes over it takes a turn of the event loop.
 */
import type { Connection, ConnectionEvents, ConnectionRequest, Transport } from '../src/types.js';

interface TinyMessage {
  readonly offset: number;
  readonly id: string;
  readonly payload: unknown;
}

interface TinySession {
  readonly ticket: string;
  attempt: number;
  lastSeq: number;
  /** By channel: the last offset that the client has acknowledged. */
  readonly cursors: Map<string, number>;
  wire: Wire | null;
}

type Members = Record<string, unknown>;

/** A payload of bytes, as it came. */
class Base64 {
  constructor(readonly text: string) {}
}

class Wire implements Connection {
  readonly bufferedAmount = 0;
  isOpen = true;
  session: TinySession | null = null;

  constructor(
    private readonly server: TinyServer,
    private readonly events: ConnectionEvents,
  ) {}

  send(data: string | Uint8Array): void {
    setTimeout(() => this.server.receive(this, JSON.parse(String(data)) as Members));
  }

  /** The client's side. */
  close(): void {
    this.isOpen = false;
    this.server.left(this);
  }

  accept(): void {
    this.events.opened('holdfast.v1.json');
  }

  tell(message: Members): void {
    if (this.isOpen) this.later(() => this.events.message(JSON.stringify(message)));
  }

  /** The server's side, or the network's: 1006. */
  cut(code = 1006): void {
    if (!this.isOpen) return;
    this.later(() => {
      this.isOpen = false;
      this.events.closed(code, '');
    });
    this.server.left(this);
  }

  private later(call: () => void): void {
    setTimeout(() => {
      if (this.isOpen) call();
    });
  }
}

export class TinyServer {
  /** No connection is made. */
  isDown = false;
  /** Publishes are applied, and their acks are lost. */
  losesAcks = false;
  /** Publishes to these channels are refused. */
  readonly forbidden = new Set<string>();
  pings = 0;
  /** How many connections were made. */
  connections = 0;
  private readonly channels = new Map<string, TinyMessage[]>();
  private readonly sessions = new Map<string, TinySession>();

  readonly transport: Transport = { open: (request, events) => this.open(request, events) };

  /** What was applied, in order. */
  payloads(channel: string): unknown[] {
    return this.log(channel).map(({ payload }) => payload);
  }

  /** The connections that stand. */
  get wires(): Wire[] {
    return [...this.sessions.values()].flatMap(({ wire }) => (wire === null ? [] : [wire]));
  }

  get sessionCount(): number {
    return this.sessions.size;
  }

  isFollowed(channel: string): boolean {
    return [...this.sessions.values()].some(({ cursors }) => cursors.has(channel));
  }

  cutAll(): void {
    for (const wire of this.wires) wire.cut();
  }

  /** Without any client. */
  publish(channel: string, payload: unknown): void {
    const log = this.log(channel);
    const message = { offset: log.length + 1, id: `e-${log.length + 1}`, payload };
    log.push(message);
    for (const { cursors, wire } of this.sessions.values()) if (cursors.has(channel)) wire?.tell(dataOf(channel, message));
  }

  forgetSessions(): void {
    this.cutAll();
    this.sessions.clear();
  }

  private log(channel: string): TinyMessage[] {
    const log = this.channels.get(channel) ?? [];
    this.channels.set(channel, log);
    return log;
  }

  private open(request: ConnectionRequest, events: ConnectionEvents): Connection {
    const wire = new Wire(this, events);
    const value = (prefix: string): string | undefined => request.protocols.find((each) => each.startsWith(prefix))?.slice(prefix.length);
    setTimeout(() => {
      if (!wire.isOpen) return;
      if (this.isDown) {
        wire.isOpen = false;
        events.closed(1006, '');
        return;
      }
      this.connections++;
      wire.accept();
      this.welcome(wire, value('hf.resume.'), Number(value('hf.attempt.') ?? 0));
    });
    return wire;
  }

  private welcome(wire: Wire, ticket: string | undefined, attempt: number): void {
    const known = this.sessions.get(ticket ?? '');
    if (known !== undefined && attempt <= known.attempt) {
      wire.cut(); // 409, as a browser sees it
      return;
    }
    const session = known ?? { ticket: `t${this.sessions.size + 1}-${Math.random().toString(36).slice(2)}`, attempt, lastSeq: 0, cursors: new Map(), wire: null };
    this.sessions.set(session.ticket, session);
    session.wire?.cut(4001);
    session.wire = wire;
    session.attempt = attempt;
    wire.session = session;
    const channels = [...session.cursors].map(([channel, offset]) => ({ channel, epoch: 'e', offset }));
    wire.tell({
      type: 'welcome', session: `s-${session.ticket}`, ticket: session.ticket, resumed: known !== undefined,
      lastSeq: known === undefined ? null : session.lastSeq, ttl: 120_000, serverId: 'tiny', serverTime: 1,
      heartbeat: { interval: 25_000, min: 10_000, max: 60_000 }, lossSpread: 0, maxMessage: 65_536, address: '::1', channels,
    });
    for (const { channel, offset } of channels) this.deliver(wire, channel, offset);
  }

  private deliver(wire: Wire, channel: string, behind: number): void {
    for (const message of this.log(channel).slice(behind)) wire.tell(dataOf(channel, message));
  }

  left(wire: Wire): void {
    if (wire.session?.wire === wire) wire.session.wire = null;
  }

  receive(wire: Wire, m: Members): void {
    const { session } = wire;
    if (session === null || session.wire !== wire) return;
    const channel = String(m['channel']);
    const log = this.log(channel);
    switch (m['type']) {
      case 'ping':
        this.pings++;
        wire.tell({ type: 'pong', id: m['id'], serverTime: 1, serverId: 'tiny' });
        return;
      case 'heartbeat':
        wire.tell(m);
        return;
      case 'subscribe': {
        const since = m['since'] as { offset: number } | undefined;
        const last = (m['last'] as number | undefined) ?? (m['mode'] === 'latest' ? 1 : 0);
        const offset = since?.offset ?? Math.max(0, log.length - last);
        session.cursors.set(channel, offset);
        wire.tell({ type: 'subscribed', channel, epoch: 'e', offset: log.length, recovered: true });
        this.deliver(wire, channel, offset);
        return;
      }
      case 'unsubscribe':
        session.cursors.delete(channel);
        wire.tell({ type: 'unsubscribed', channel });
        return;
      case 'ack':
        session.cursors.set(channel, Number(m['offset']));
        return;
      case 'history': {
        const since = (m['since'] as { offset: number } | undefined)?.offset ?? 0;
        const limit = Number(m['limit']);
        const kept = m['reverse'] === true ? [...log].reverse().slice(0, limit) : log.slice(since, since + limit);
        const messages = kept.map((message) => dataOf(channel, message));
        wire.tell({ type: 'history', id: m['id'], channel, epoch: 'e', offset: log.length, messages });
        return;
      }
      case 'presence':
        wire.tell({ type: 'presence', id: m['id'], channel, members: [{ session: session.ticket, user: 'ann' }] });
        return;
      case 'call':
        wire.tell({ type: 'reply', id: m['id'], ...('payloadBase64' in m ? { payloadBase64: m['payloadBase64'] } : { payload: m['payload'] }) });
        return;
      case 'data':
        this.apply(wire, session, channel, m);
        return;
      case 'bye':
        this.sessions.delete(session.ticket);
        wire.cut(1000);
        return;
    }
  }

  private apply(wire: Wire, session: TinySession, channel: string, m: Members): void {
    const seq = Number(m['seq']);
    const repeated = seq <= session.lastSeq;
    if (!repeated) session.lastSeq = seq;
    if (this.forbidden.has(channel)) {
      wire.tell({ type: 'nack', seq, code: 'forbidden', reason: 'no' });
      return;
    }
    if (!repeated) this.publish(channel, typeof m['payloadBase64'] === 'string' ? new Base64(m['payloadBase64']) : m['payload']);
    if (!this.losesAcks) wire.tell({ type: 'ack', seq, offsets: [repeated ? null : this.log(channel).length] });
  }
}

function dataOf(channel: string, { offset, id, payload }: TinyMessage): Members {
  const member = payload instanceof Base64 ? { payloadBase64: payload.text } : { payload };
  return { type: 'data', channel, offset, id, timestamp: 1, ...member };
}
