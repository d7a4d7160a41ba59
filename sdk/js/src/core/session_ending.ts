/** session_ending.ts - what ends a connection or an attempt, and what that means (src/session/client_session_ending.c). */
import { closeCodes } from '../codes.js';
import * as has from '../features.js';
import { dropNext, releaseNext, requestIsOut, schedule, waitingState } from './session_attempt.js';
import type { SessionCore } from './session_core.js';
import type { Why } from './session_types.js';
import { isConnected } from './state.js';

const byeMs = 2000;

/** The codes that mean something of their own; all others: the server closed the connection. */
function closeMeaning(code: number): Why {
  switch (code) {
    case closeCodes.normal:
      return { cause: 'ended_by_server', final: true };
    case closeCodes.ended:
      return { cause: 'ended_by_server', final: true, evidence: "the session was ended by the application's backend" };
    case closeCodes.tokenExpired:
      return { cause: 'token_expired', final: true };
    case closeCodes.superseded:
      return { cause: 'superseded', final: true };
    case closeCodes.heartbeatMissed:
      return { cause: 'heartbeat_missed', evidence: 'the server missed our heartbeat' };
    default:
      return { cause: 'closed_by_server' };
  }
}

export function end(s: SessionCore, why: Why, now: number): void {
  if (s.state === 'closing') why = { cause: 'closed', closeCode: closeCodes.normal, asked: true };
  if (s.next >= 0) dropNext(s);
  if (s.live >= 0 && s.link(s.live).state !== 'closing') s.link(s.live).drop();
  s.live = -1;
  s.superseded = false;
  s.move('ended', why, now);
  s.emitEnding('ended', why, 0);
}

/** `next` has failed. Its link is closing already, or is dropped here. */
export function attemptEnded(s: SessionCore, why: Why, now: number): void {
  if (s.superseded) liveEnded(s, { cause: 'superseded', closeCode: closeCodes.superseded }, now); // It was a break after all.
  const link = s.link(s.next);
  if (link.state !== 'closing') link.drop();
  s.next = -1;
  if (has.prepares) s.nextHeld = false;
  if (s.live >= 0) return; // "if the new attempt is refused, stay until closed" (PROTOCOL.md, reconnect)
  if (why.final === true) {
    end(s, why, now);
    return;
  }
  schedule(s, why, true, now);
  s.retries++;
  const delay = s.attemptAt - now;
  s.move(waitingState(s), why, now);
  s.emitEnding('retrying', why, delay);
}

export function giveUpNext(s: SessionCore, why: Why, now: number): void {
  const link = s.link(s.next);
  if (link.requested) s.givenUp = link.attempt;
  attemptEnded(s, why, now);
}

/** The connection under way said something else than `welcome`. */
export function failNext(s: SessionCore, evidence: string, now: number): void {
  s.link(s.next).close(closeCodes.policy);
  attemptEnded(s, { cause: 'protocol_error', evidence }, now);
}

/** Nothing of what was going on on a connection goes on. */
export function resetConnection(s: SessionCore): void {
  s.publishing.disconnected();
  if (has.asks) s.questions?.disconnected();
  s.channels.disconnected();
  s.superseded = false;
  s.greeting = false;
  s.welcomePing = 0;
  s.unackedMessages = 0;
  s.unackedBytes = 0;
  s.ackAt = Infinity;
  s.outputFrom = Infinity;
  s.answerFrom = Infinity;
  s.badMessages = 0;
  s.failed = null;
}

/**
 * Make before break: the server has taken `next` for the session's connection, and its welcome is behind the end of the old one, on another way. For the application nothing is
 * broken until `next` fails.
 */
function liveSuperseded(s: SessionCore): void {
  resetConnection(s);
  s.superseded = true;
  s.greeting = true;
}

/** The live connection is no more. Its link is closing already, or is dropped here. */
export function liveEnded(s: SessionCore, why: Why, now: number): void {
  const link = s.link(s.live);
  let delay = 0;
  if (link.state !== 'closing') link.drop();
  resetConnection(s);
  if (has.takesParts) s.prober?.abandon(now);
  if (why.final === true || s.state === 'closing') {
    end(s, why, now);
    return;
  }
  s.live = -1;
  s.retries = 0;
  if (s.next >= 0) {
    s.leaveAt = Infinity;
    s.move('connecting', why, now);
  } else {
    schedule(s, why, false, now);
    delay = s.attemptAt - now;
    s.move(waitingState(s), why, now);
  }
  s.emitEnding('disconnected', why, delay);
  releaseNext(s, now);
}

export function beginClose(s: SessionCore, now: number): void {
  s.closeWanted = false;
  if (s.state === 'ended' || s.state === 'closing') return;
  const why: Why = { cause: 'closed', asked: true };
  if (!isConnected(s.state) || s.superseded) {
    end(s, why, now); // There is no connection to say goodbye on.
    return;
  }
  if (s.next >= 0) dropNext(s);
  s.put({ type: 'bye' });
  if (has.takesParts) s.prober?.abandon(now);
  s.closeUntil = now + byeMs;
  s.move('closing', why, now);
}

/** Something on the live connection went wrong in a way that a new connection, or a new session, mends. */
export function endFailed(s: SessionCore, evidence: string, now: number): void {
  if (s.forgetSession) s.ticket = '';
  s.forgetSession = false;
  s.link(s.live).close(s.failedCode);
  liveEnded(s, { cause: 'protocol_error', evidence }, now);
}

/** 4001: "stays away, unless it has an attempt of its own that is unanswered or was given up: then it resumes once more" (PROTOCOL.md "Close codes"). */
function supersededByOurselves(s: SessionCore, slot: number): boolean {
  return (s.next >= 0 && s.next !== slot && !(has.prepares && s.nextHeld)) || s.givenUp > s.link(slot).attempt;
}

export function onClosed(s: SessionCore, slot: number, closeCode: number, reason: string, now: number): void {
  let why: Why = { ...closeMeaning(closeCode), closeCode, reason };
  if (why.cause === 'superseded' && supersededByOurselves(s, slot)) why = { ...why, final: false };
  if (why.cause === 'token_expired' && s.config.tokenSource) why = { ...why, final: ++s.tokenRefusals > 2 };
  // Only an attempt that the server has heard of can have taken the session over.
  if (slot === s.live && why.cause === 'superseded' && s.next >= 0 && requestIsOut(s, s.next)) {
    liveSuperseded(s);
    return;
  }
  if (slot === s.live) {
    if (closeCode === closeCodes.tooBig) s.publishing.refuseOldestLater();
    // It had asked before.
    if (s.leaveAt !== Infinity && why.cause === 'closed_by_server') why = { ...why, cause: 'server_drain' };
    liveEnded(s, why, now);
  } else if (slot === s.next) {
    if (s.advice !== null) {
      const [minMs, maxMs] = s.advice;
      why = { ...why, cause: 'server_drain', evidence: 'the server asked to come back later', minMs, maxMs };
    }
    attemptEnded(s, why, now);
  }
}

/**
 * Whether repeating the request cannot help. After a success a 400, 404 or 426 is more likely a proxy in the midst of a deployment than the truth. Where tokens can be
 * had, a 401 is worth two more.
 */
export function refusalIsFinal(s: SessionCore, status: number): boolean {
  if (status === 401 && s.config.tokenSource) return ++s.tokenRefusals > 2;
  if (status === 401 || status === 403) return true;
  return s.connections === 0 && (status === 400 || status === 404 || status === 426);
}
