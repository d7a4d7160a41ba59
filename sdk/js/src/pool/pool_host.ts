/** pool_host.ts - what the parts of a pool share: its places, who of them is connected (pool_core.ts), its one timer, and how the application is told. */
import type { Raw } from '../core/message.js';
import { Emitter } from '../emitter.js';
import type { HoldfastError } from '../errors.js';
import type { Platform, Published } from '../types.js';
import type { AsksOwner } from './pool_asks.js';
import type { PoolCore, PutFor } from './pool_core.js';
import type { PoolMember } from './pool_member.js';
import type { PoolEvents } from './pool_types.js';

/** One publish of the application's, until its result is known. */
export interface PoolPublish {
  readonly publishId: number;
  readonly channel: string;
  readonly raw: Raw;
  readonly id: string | undefined;
  readonly bytes: number;
  readonly putFor: PutFor;
  resolve(published: Published): void;
  reject(error: unknown): void;
}

/** A place in the pool. */
export interface Place {
  readonly member: number;
  /** undefined: its session has ended, and the next is not made yet. */
  client: PoolMember | undefined;
  urlIndex: number;
  /** Of the present session. */
  connections: number;
  /** By the session's publish ids. */
  readonly publishes: Map<number, PoolPublish>;
  readonly counts: { published: number; acknowledged: number; refused: number; uncertain: number; reconnects: number; replaced: number };
}

export class PoolHost implements AsksOwner {
  readonly emitter = new Emitter<PoolEvents>();
  readonly places: readonly Place[];
  /** close() was called. */
  isClosed = false;
  /** And all sessions are over. */
  hasEnded = false;
  /** What is due by the clock is to be done. */
  timerFired: () => void = () => undefined;
  private cancelTimer: () => void = () => undefined;
  private timerAt = Infinity;

  constructor(
    readonly platform: Platform,
    readonly urls: readonly string[],
    readonly core: PoolCore<PoolPublish>,
    count: number,
  ) {
    this.places = Array.from({ length: count }, (_, i) => ({
      member: i,
      client: undefined,
      urlIndex: i % urls.length,
      connections: 0,
      publishes: new Map<number, PoolPublish>(),
      counts: { published: 0, acknowledged: 0, refused: 0, uncertain: 0, reconnects: 0, replaced: 0 },
    }));
  }

  get count(): number {
    return this.places.length;
  }

  /** undefined: its session has ended. */
  client(member: number): PoolMember | undefined {
    return this.places[member]?.client;
  }

  isUp(member: number): boolean {
    return this.core.isUp(member);
  }

  now(): number {
    return this.platform.now();
  }

  timer(delay: number, callback: () => void): () => void {
    return this.platform.timer(delay, callback);
  }

  /** Something has changed that decides when something is due. */
  arm(): void {
    const at = this.hasEnded ? Infinity : this.core.deadline();
    if (at === this.timerAt) return;
    this.cancelTimer();
    this.cancelTimer = () => undefined;
    this.timerAt = at;
    if (at === Infinity) return;
    this.cancelTimer = this.platform.timer(Math.max(0, at - this.platform.now()), () => {
      this.timerAt = Infinity;
      this.timerFired();
    });
  }

  problem(error: HoldfastError, member: number, channel?: string): void {
    if (!this.emitter.has('problem')) this.platform.warn(`holdfast: member ${member}: ${error.message}`);
    this.emitter.emit('problem', { error, member, ...(channel === undefined ? {} : { channel }) });
  }
}
