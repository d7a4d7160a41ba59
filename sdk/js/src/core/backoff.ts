/**
 * backoff.ts - when a client tries again after its connection ended, or an attempt failed: src/session/backoff.h, number for number.
 * The cause decides the first delay; after failures comes full jitter: U(0, 0.5 s * 2^n), n counting the failures, up to 30 s, or 300 s in the background.
 *
 * What counts as a failure: an attempt that reached no `welcome`, and a connection that ended before it had been of any use (no message delivered, no publish
 * acknowledged). A connection that was of use leaves the count as it is, and clears it once it has also been stable for 30 s: so a server that accepts and dies
 * cannot be hammered, and a client that moves its messages through a bad hour is not slowed down for it.
 */
import type { Random } from './random.js';

export const backoffBaseMs = 500;
export const backoffCapMs = 30_000;
export const backoffBackgroundCapMs = 300_000;
/** After the first failure; keeps U(0, x) from being no pause at all. */
export const backoffFloorMs = 100;
/** A connection that old, and of use, clears the count. */
export const backoffStableMs = 30_000;
/** A server names no more. */
export const backoffLossMsMax = 60_000;
export const backoffOwnMsMax = 100;
/** "the client adds a random part of a second" (PROTOCOL.md "Opening") */
export const backoffRandomMsMax = 1000;
/** A server that asks for more is taken for this; a guess. */
export const backoffAdviceMsMax = 3_600_000;

export type BackoffCause =
  /** The network changed or the machine woke up: what was before says nothing about now. */
  | 'signal'
  /** Own evidence otherwise: the hard deadline passed. */
  | 'own'
  /** The connection ended and nobody said why. */
  | 'loss'
  /** The server's `reconnect {after: [min, max]}`. */
  | 'advice'
  /** An HTTP refusal with Retry-After. */
  | 'retry'
  /** Any other failed attempt. */
  | 'refused';

/** What is known about the end of a connection or attempt. */
export interface BackoffEnd {
  readonly cause: BackoffCause;
  /** There was no `welcome`. */
  readonly attemptFailed: boolean;
  /** `loss`: the last welcome's lossSpread. */
  readonly lossSpreadMs: number;
  /** `advice`: the window; `retry`: minMs is the Retry-After. */
  readonly minMs: number;
  readonly maxMs: number;
}

/** Uniform in [0, max]. */
function uniform(random: Random, max: number): number {
  return random.below(max + 1);
}

/** The delay of an attempt that a signal brings forward. */
export function signalDelay(random: Random): number {
  return uniform(random, backoffOwnMsMax);
}

/** What the server said about the time holds whatever the count says: it knows its load, the client does not. */
function toldDelay(end: BackoffEnd, random: Random): number {
  const min = Math.min(end.minMs, backoffAdviceMsMax);
  const max = end.cause === 'retry' ? min + backoffRandomMsMax : Math.min(end.maxMs, backoffAdviceMsMax);
  return max > min ? min + uniform(random, max - min) : min;
}

export class Backoff {
  /** n of the formula. */
  failures = 0;
  private capMs = backoffCapMs;
  /** When the welcome of the connection that stands came; null: none stands. */
  private connectedAt: number | null = null;
  /** On this connection, a message was delivered or acknowledged. */
  private useful = false;

  /** Whether nobody is looking: see the caps. */
  background(background: boolean): void {
    this.capMs = background ? backoffBackgroundCapMs : backoffCapMs;
  }

  /** The welcome has come. */
  connected(now: number): void {
    this.connectedAt = now;
    this.useful = false;
  }

  /** A message was delivered, or a publish acknowledged. */
  progressed(): void {
    this.useful = true;
  }

  /** The connection or attempt has ended: how many ms to wait before the next attempt. */
  ended(end: BackoffEnd, random: Random, now: number): number {
    const useful = this.connectedAt !== null && this.useful;
    const failed = (end.attemptFailed || !useful) && end.cause !== 'signal';
    if (!end.attemptFailed && useful && now - (this.connectedAt ?? now) >= backoffStableMs) this.failures = 0;
    let delay: number;
    if (end.cause === 'advice' || end.cause === 'retry') delay = toldDelay(end, random);
    else if (this.failures === 0 || end.cause === 'signal') delay = this.firstDelay(end, random);
    else delay = this.fullJitter(random);
    if (failed) this.failures++;
    this.connectedAt = null;
    this.useful = false;
    return delay;
  }

  /** The delay that the cause alone asks for; it holds for the first attempt after it. */
  private firstDelay(end: BackoffEnd, random: Random): number {
    if (end.cause === 'signal' || end.cause === 'own') return uniform(random, backoffOwnMsMax);
    if (end.cause === 'loss') return uniform(random, Math.min(end.lossSpreadMs, backoffLossMsMax));
    return this.fullJitter(random);
  }

  private fullJitter(random: Random): number {
    const limit = this.failures < 16 ? Math.min(this.capMs, backoffBaseMs * 2 ** this.failures) : this.capMs;
    return Math.max(uniform(random, limit), backoffFloorMs);
  }
}
