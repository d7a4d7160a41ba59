/** client/parts.ts - what a client is made of beside its core. Each entry point says which parts it has, so that a page loads no other. */
import type { CodecKind } from '../core/codec.js';
import type { HeartbeatPolicy } from '../core/heartbeat.js';
import type { Random } from '../core/random.js';
import type { SessionConfig } from '../core/session_types.js';
import type { Host } from './host.js';

/** The adaptive heartbeat, to the client. */
export interface Adaptive {
  readonly policy: HeartbeatPolicy;
  readonly prober: NonNullable<SessionConfig['prober']>;
  tolerate(toleranceMs: number): void;
  /** The server sees us at this address. */
  connected(address: string): void;
  /** Keep what is known of networks; not too often, unless it is the last time. */
  save(atOnce: boolean): void;
}

export interface Parts {
  /** In the order of preference. */
  readonly codecs: readonly CodecKind[];
  /** null: there is none, and the classic heartbeat is the default. */
  readonly adaptive: ((host: Host, toleranceMs: number, random: Random) => Adaptive) | null;
}
