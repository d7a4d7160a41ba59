/** session_signal.ts - doubts, and what the system says about the network (src/session/client_session_signal.c). */
import type { Cause } from '../codes.js';
import * as has from '../features.js';
import { backoffCapMs, signalDelay } from './backoff.js';
import { awaitNetwork, dropNext, makeNext, mayPrepare, requestIsOut, startAttempt } from './session_attempt.js';
import type { SessionCore } from './session_core.js';
import { giveUpNext, liveEnded } from './session_ending.js';
import type { NetworkFacts } from './session_types.js';
import { isConnected } from './state.js';

/** An attempt without a connection after that is on the network that was. A guess. */
const redialMs = 1000;

export function network(s: SessionCore, facts: NetworkFacts, now: number): void {
  const back = s.offline && !facts.offline;
  s.offline = facts.offline;
  disturbed(s, now);
  if (s.state === 'waiting') {
    if (s.offline) goOffline(s, now);
    else bringForward(s, 'network_changed', now);
  } else if (s.state === 'connecting' || s.superseded) {
    networkOfAttempt(s, facts, back, now);
  } else if (isConnected(s.state)) {
    networkOfConnected(s, facts, back, now);
  } else if (s.state === 'offline' && !s.offline) {
    s.attemptAt = Infinity;
    bringForward(s, 'network_changed', now);
    s.move('waiting', { cause: 'network_changed' }, now);
  }
}

/** The soft deadline of a heartbeat has passed. */
export function suspect(s: SessionCore, now: number): void {
  // "TCP and TLS at the first doubt, the upgrade when the doubt is confirmed" (DESIGN.md "Sessions, resume and handover")
  if (has.prepares && s.next < 0 && !s.offline && mayPrepare(s, now)) startAttempt(s, true, now);
  else if (has.prepares && s.nextHeld && s.link(s.next).state === 'ready') s.attemptUntil = Infinity; // The last doubt's, still there.
  s.doubt('heartbeat_late', now);
}

/**
 * waiting: the attempt is made at once. Where the server had named a time it still holds, but not for long: it may not have been the server, but something on the network
 * that was.
 */
function bringForward(s: SessionCore, cause: Cause, now: number): void {
  let at = now + signalDelay(s.random);
  s.toldUntil = Math.min(s.toldUntil, now + backoffCapMs);
  at = Math.max(at, s.toldUntil);
  if (at >= s.attemptAt) return;
  s.attemptAt = at;
  s.attemptCause = cause;
}

/** connecting: an attempt without an answer is made anew. */
function redial(s: SessionCore, cause: Cause, now: number): void {
  if (s.link(s.next).state === 'dialing' && now - s.attemptFrom >= redialMs) giveUpNext(s, { cause }, now);
}

/** What was measured, or is being measured, says nothing about what is now. */
export function disturbed(s: SessionCore, now: number): void {
  if (has.takesParts) s.heartbeat.disturbed();
  if (has.takesParts) s.prober?.abandon(now);
}

/** A first attempt is made whatever the system says: it may be to this machine. */
function goOffline(s: SessionCore, now: number): void {
  if (s.attempts === 0) return;
  awaitNetwork(s, now);
  s.move('offline', { cause: 'offline' }, now);
}

/**
 * Whether `next` is of no use: nothing can arrive on it, or its packets went out on a way that may not be the way any more. Once its request is out the latter does not count: the
 * server could take it after the new one, and the session would be superseded by itself. It has its deadline.
 */
function nextIsUseless(s: SessionCore, facts: NetworkFacts, back: boolean): boolean {
  if (s.next < 0) return false;
  const path = facts.paths[s.next] ?? 'same';
  if (requestIsOut(s, s.next)) return has.prepares && path === 'gone';
  return back || path !== 'same';
}

function networkOfConnected(s: SessionCore, facts: NetworkFacts, back: boolean, now: number): void {
  const path = facts.paths[s.live] ?? 'same';
  let useless = nextIsUseless(s, facts, back);
  if (has.prepares && useless && (s.nextHeld || path === 'gone')) {
    dropNext(s);
    useless = false;
  }
  if (has.prepares && path === 'gone') {
    liveEnded(s, { cause: 'address_gone' }, now);
    return;
  }
  s.doubt(facts.offline ? 'offline' : 'network_changed', now);
  if (!facts.offline && (path === 'moved' || back || useless)) makeNext(s, useless, now);
}

function networkOfAttempt(s: SessionCore, facts: NetworkFacts, back: boolean, now: number): void {
    if (has.prepares && facts.paths[s.next] === 'gone' && (requestIsOut(s, s.next) || facts.offline)) {
    giveUpNext(s, { cause: 'address_gone' }, now);
  } else if (facts.offline) {
    return; // It has its deadline.
  } else if (nextIsUseless(s, facts, back)) {
    // Without a pause, and without news for the application: it is connecting as before.
    dropNext(s);
    startAttempt(s, false, now);
  } else {
    redial(s, 'network_changed', now);
  }
}

export function signalled(s: SessionCore, cause: Cause, now: number): void {
  disturbed(s, now);
  if (s.state === 'waiting' && !s.offline) bringForward(s, cause, now);
  else if (s.state === 'connecting' || s.superseded) redial(s, cause, now);
  else if (isConnected(s.state)) {
    if (has.prepares && s.nextHeld) dropNext(s); // It was prepared on what was.
    s.doubt(cause, now);
  }
}
