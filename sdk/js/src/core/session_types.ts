/** session_types.ts - what a session is given, what it wishes, and the facts that its parts tell each other. */
import type { Cause } from '../codes.js';
import type { CodecKind } from './codec.js';
import type { SessionEvent } from './events.js';
import type { HeartbeatPolicy } from './heartbeat.js';
import type { Link } from './link.js';
import type { Prober } from './prober.js';
import type { Random } from './random.js';
import type { SessionCore } from './session_core.js';
import type { SessionStore, Stored } from './store.js';

/** The slot of the network's probes; 0 and 1 are the session's own. */
export const probeSlot = 2;

export interface SessionConfig {
  /** In the order of preference. */
  readonly codecs: readonly CodecKind[];
  readonly token: string | null;
  /** Whether a fresh token can be had: then an expired one does not end the session. */
  readonly tokenSource: boolean;
  readonly outboxMessages: number;
  readonly outboxBytes: number;
  readonly window: number;
  readonly subscriptions: number;
  /** To ask of the server; 0: the server's own, or what the policy may need. */
  readonly heartbeatIntervalMs: number;
  /** null: always the server's interval. */
  readonly policy: HeartbeatPolicy | null;
  /** Makes what probes the network for the policy, in the slot for that; null: nothing does. */
  readonly prober: ((session: SessionCore, link: Link) => Prober) | null;
  readonly background: boolean;
  readonly random: Random;
  /** The driver can tell a connection that stands from one that has been asked for. */
  readonly splitDial: boolean;
  /** Keeps the outbox; null: nothing does. */
  readonly store: SessionStore | null;
  /** What the store has; null: nothing. */
  readonly stored: Stored | null;
  onEvent(event: SessionEvent): void;
}

export type Wish = 'none' | 'connect' | 'carry' | 'close';

export interface Want {
  readonly wish: Wish;
  /** Which connection is meant; 0 with `none`. */
  readonly attempt: number;
  /** `connect`: then the session gives it up. */
  readonly until: number;
  /** `connect`: only prepare it; a driver that can only dial and ask at once does nothing yet. */
  readonly held: boolean;
  /** `close`: to tell the server; 0: nothing. */
  readonly closeCode: number;
}

/** What is known of the way that a slot's connection takes: a new one would take the same; another; its own is not there any more. */
export type Path = 'same' | 'moved' | 'gone';

export interface NetworkFacts {
  /** There is no way to the server at all. */
  readonly offline: boolean;
  readonly paths: readonly [Path, Path, Path];
}

/** Why the state changes: how a connection or an attempt ended, or what else happened. */
export interface Why {
  readonly cause: Cause;
  readonly evidence?: string;
  readonly closeCode?: number;
  readonly httpStatus?: number;
  readonly reason?: string;
  readonly minMs?: number;
  readonly maxMs?: number;
  readonly asked?: boolean;
  /** No further attempt would help. */
  readonly final?: boolean;
}
