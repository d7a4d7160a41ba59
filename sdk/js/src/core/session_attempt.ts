/** session_attempt.ts - when a connection is made, and when it is left (src/session/client_session_attempt.c). */
import type { Cause, State } from '../codes.js';
import * as has from '../features.js';
import { backoffRandomMsMax, type BackoffCause } from './backoff.js';
import type { SessionCore } from './session_core.js';
import type { Why } from './session_types.js';

/** A connect timeout of 4 s, then 8 s, as others do; here up to the welcome. */
const firstAttemptMs = 4000;
const nextAttemptMs = 8000;
/** Connections that are made ahead, on doubt alone, in a minute. */
const preparedMax = 3;
const preparedMs = 60_000;
/** Such a one is kept after the doubt has proven unfounded. */
export const spareMs = 5000;
/** "one probe per 30 s because signals lie" */
const offlineProbeMs = 30_000;

function freeSlot(s: SessionCore): number {
  const [first, second] = s.links;
  let slot = s.live === 0 ? 1 : 0;
  if (s.live < 0 && first.state !== 'idle' && second.state === 'idle') slot = 1;
  s.link(slot).drop(); // If it was closing, its time is over.
  return slot;
}

function attemptMs(s: SessionCore): number {
  return s.retries === 0 ? firstAttemptMs : nextAttemptMs;
}

/** Begin to make a connection; held: only prepare it, its upgrade waits for releaseNext(). */
export function startAttempt(s: SessionCore, held: boolean, now: number): void {
  s.next = freeSlot(s);
  if (has.prepares) s.nextHeld = held;
  s.attempts++;
  s.attemptFrom = now;
  s.attemptUntil = now + attemptMs(s);
  s.advice = null;
  s.link(s.next).dial(s.attempts);
  if (s.state === 'waiting' || s.state === 'offline') s.move('connecting', { cause: s.attemptCause }, now);
}

/** Whether a slot's request may have reached the server. */
export function requestIsOut(s: SessionCore, slot: number): boolean {
  return s.link(slot).requested;
}

/** `next` is not wanted any more. */
export function dropNext(s: SessionCore): void {
  const link = s.link(s.next);
  // The server may yet take it for the session's newest connection.
  if (link.requested) s.givenUp = Math.max(s.givenUp, link.attempt);
  link.drop();
  s.next = -1;
  if (has.prepares) s.nextHeld = false;
}

function backoffCause(s: SessionCore, cause: Cause): BackoffCause {
  switch (cause) {
    case 'unreachable':
    case 'timed_out': // Without a way to the server that says nothing about the server.
      return s.offline ? 'signal' : 'refused';
    case 'network_changed':
    case 'address_gone':
    case 'woke_up':
    case 'foreground':
      return 'signal';
    case 'heartbeat_missed':
    case 'superseded': // By ourselves, and the server is well: it concerns no herd.
      return 'own';
    case 'connection_lost':
    case 'closed_by_server':
      return 'loss';
    case 'server_drain':
      return 'advice';
    case 'retry_after':
      return 'retry';
    default:
      return 'refused';
  }
}

/** Decide when the next attempt is made. */
export function schedule(s: SessionCore, why: Why, attemptFailed: boolean, now: number): void {
  const { minMs = 0, maxMs = 0 } = why;
  const cause = backoffCause(s, why.cause);
  const end = { cause, attemptFailed, lossSpreadMs: s.lossSpreadMs, minMs, maxMs };
  s.attemptAt = now + s.backoff.ended(end, s.random, now);
  s.attemptCause = 'due';
  s.toldUntil = cause === 'advice' || cause === 'retry' ? s.attemptAt : 0;
  // "All others: reconnects and resumes, after the delay of the last `reconnect`, if there was one."
  if (s.leaveAt !== Infinity) s.attemptAt = s.toldUntil = Math.max(s.leaveAt, now);
  s.leaveAt = Infinity;
  if (s.offline) awaitNetwork(s, now);
}

export function waitingState(s: SessionCore): State {
  return s.offline ? 'offline' : 'waiting';
}

export function requestUpgrade(s: SessionCore, now: number): void {
  if (!has.prepares) return;
  s.requestAt = now;
  s.link(s.next).request();
  s.publishing.saveAttempt(now);
}

/** The doubt about the live connection is confirmed: what was prepared is wanted now. */
export function releaseNext(s: SessionCore, now: number): void {
  if (!has.prepares || s.next < 0 || !s.nextHeld) return;
  s.nextHeld = false;
  s.attemptUntil = now + attemptMs(s);
  if (s.link(s.next).state === 'ready') requestUpgrade(s, now);
}

/** "Rate-limit: 3 pre-dials/min": each costs the server an accept, and a handshake of TLS. */
export function mayPrepare(s: SessionCore, now: number): boolean {
  s.prepared = s.prepared.filter((at) => now - at < preparedMs);
  if (s.prepared.length >= preparedMax) return false;
  s.prepared.push(now);
  return true;
}

/** The next attempt is a probe. */
export function awaitNetwork(s: SessionCore, now: number): void {
  const spread = s.random.below(backoffRandomMsMax + 1);
  s.attemptAt = Math.max(now + offlineProbeMs + spread, s.toldUntil);
  s.attemptCause = 'probe';
}

/** Make, or go on to make, the connection that shall follow. This is knowledge and no doubt: no bound of what is made ahead holds. */
export function makeNext(s: SessionCore, useless: boolean, now: number): void {
  if (s.next >= 0 && !useless) {
    releaseNext(s, now);
    return;
  }
  if (s.next >= 0) dropNext(s);
  startAttempt(s, false, now);
}
