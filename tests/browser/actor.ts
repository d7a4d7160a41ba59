/**
 * actor.ts - a user of the client library, for the tests: it follows channels, publishes numbers, and writes down all that it is told. The same in a page, where the tests call it from outside,
 * and in Node. What it gives and takes is JSON.
 */
import { Holdfast, HoldfastError } from '../../sdk/js/src/index.js';
import { indexedDbOutbox } from '../../sdk/js/src/outbox_indexeddb.js';
import { SharedHoldfast } from '../../sdk/js/src/shared/shared_holdfast.js';
import type { Client, Disconnected, HoldfastOptions, State } from '../../sdk/js/src/index.js';

export { webSocketTransport } from '../../sdk/js/src/index.js';

/** What actors publish: who, and which of his messages. */
export interface Line {
  readonly who: string;
  readonly n: number;
}

export interface Report {
  readonly state: State;
  readonly session: string;
  readonly lines: readonly (Line & { offset: number; epoch: string })[];
  readonly gaps: readonly { code: string; from: number | null; to: number | null }[];
  readonly connected: readonly { resumed: boolean; encoding: string }[];
  readonly disconnected: readonly string[];
  readonly states: readonly string[];
  readonly problems: readonly string[];
  /** Own publishes: how each ended; absent: not yet. */
  readonly published: Readonly<Record<number, number | string | null>>;
  readonly publishes: number;
}

export class Actor {
  private client: Client<Record<string, Line>> | undefined;
  private lines: (Line & { offset: number; epoch: string })[] = [];
  private gaps: { code: string; from: number | null; to: number | null }[] = [];
  private connected: { resumed: boolean; encoding: string }[] = [];
  private disconnected: string[] = [];
  private states: string[] = [];
  private problems: string[] = [];
  private published: Record<number, number | string | null> = {};
  private publishes = 0;

  constructor(readonly who: string) {}

  /** outbox: the name of one in IndexedDB. shared: the name of a group of tabs. */
  open(url: string, { outbox, shared, ...options }: HoldfastOptions & { outbox?: string; shared?: string } = {}): void {
    if (shared !== undefined) {
      this.use(new SharedHoldfast<Record<string, Line>>(url, { ...options, name: shared }));
      return;
    }
    const storage = outbox === undefined ? {} : { storage: { outbox: indexedDbOutbox({ name: outbox }) } };
    this.use(new Holdfast<Record<string, Line>>(url, { ...options, ...storage }));
  }

  /** Any client, however it was made. */
  use(client: Client<Record<string, Line>>): void {
    this.client = client;
    client.onState((change) => this.states.push(`${change.to} ${change.cause}`));
    client.on('connected', ({ resumed, encoding }) => this.connected.push({ resumed, encoding }));
    client.on('disconnected', (event: Disconnected) => this.disconnected.push(`${event.cause}: ${event.evidence}`));
    client.on('gap', ({ code, from, to }) => this.gaps.push({ code, from, to }));
    client.on('problem', ({ error }) => this.problems.push(`${error.code}: ${error.message}`));
  }

  private get have(): Client<Record<string, Line>> {
    if (!this.client) throw new Error('open() first');
    return this.client;
  }

  /** Settles when the server has confirmed it. */
  async follow(channel: string, options: { last?: number; mode?: 'all' | 'latest' } = {}): Promise<void> {
    const subscription = this.have.subscribe(channel, options, ({ payload, offset, epoch }) => {
      this.lines.push({ who: payload.who, n: payload.n, offset, epoch });
    });
    await subscription.ready();
  }

  /** The next number of this actor. */
  publish(channel: string): number {
    const n = ++this.publishes;
    this.have.publish(channel, { who: this.who, n }).then(
      ({ offset }) => {
        this.published[n] = offset;
      },
      (error: unknown) => {
        this.published[n] = error instanceof HoldfastError ? error.code : String(error);
      },
    );
    return n;
  }

  /** So many, one each time. It goes on by itself. */
  stream(channel: string, count: number, everyMs: number): void {
    const timer = setInterval(() => {
      if (count-- > 0) this.publish(channel);
      else clearInterval(timer);
    }, everyMs);
  }

  /** Without waiting. */
  burst(channel: string, count: number): void {
    for (let i = 0; i < count; i++) this.publish(channel);
  }

  report(): Report {
    const { state, session } = this.have;
    const { lines, gaps, connected, disconnected, states, problems, published, publishes } = this;
    return { state, session, lines, gaps, connected, disconnected, states, problems, published, publishes };
  }

  /** Of that which changes much, the little that is polled. */
  progress(): { state: State; lines: number; settled: number; connections: number } {
    return { state: this.have.state, lines: this.lines.length, settled: Object.keys(this.published).length, connections: this.connected.length };
  }

  async close(): Promise<void> {
    await this.client?.close();
  }
}
