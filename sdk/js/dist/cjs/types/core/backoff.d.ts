/**
 * backoff.ts - when a client tries again after its connection ended, or an attempt failed: src/session/backoff.h, number for number.
 * The cause decides the first delay; after failures comes full jitter: U(0, 0.5 s * 2^n), n counting the failures, up to 30 s, or 300 s in the background.
 *
 * What counts as a failure: an attempt that reached no `welcome`, and a connection that ended before it had been of any use (no message delivered, no publish
 * acknowledged). A connection that was of use leaves the count as it is, and clears it once it has also been stable for 30 s: so a server that accepts and dies
 * cannot be hammered, and a client that moves its messages through a bad hour is not slowed down for it.
 */
import type { Random } from './random.js';
export declare const backoffBaseMs = 500;
export declare const backoffCapMs = 30000;
export declare const backoffBackgroundCapMs = 300000;
/** After the first failure; keeps U(0, x) from being no pause at all. */
export declare const backoffFloorMs = 100;
/** A connection that old, and of use, clears the count. */
export declare const backoffStableMs = 30000;
/** A server names no more. */
export declare const backoffLossMsMax = 60000;
export declare const backoffOwnMsMax = 100;
/** "the client adds a random part of a second" (PROTOCOL.md "Opening") */
export declare const backoffRandomMsMax = 1000;
/** A server that asks for more is taken for this; a guess. */
export declare const backoffAdviceMsMax = 3600000;
export type BackoffCause = 
/** The network changed or the machine woke up: what was before says nothing about now. */
'signal'
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
/** The delay of an attempt that a signal brings forward. */
export declare function signalDelay(random: Random): number;
export declare class Backoff {
    /** n of the formula. */
    failures: number;
    private capMs;
    /** When the welcome of the connection that stands came; null: none stands. */
    private connectedAt;
    /** On this connection, a message was delivered or acknowledged. */
    private useful;
    /** Whether nobody is looking: see the caps. */
    background(background: boolean): void;
    /** The welcome has come. */
    connected(now: number): void;
    /** A message was delivered, or a publish acknowledged. */
    progressed(): void;
    /** The connection or attempt has ended: how many ms to wait before the next attempt. */
    ended(end: BackoffEnd, random: Random, now: number): number;
    /** The delay that the cause alone asks for; it holds for the first attempt after it. */
    private firstDelay;
    private fullJitter;
}
