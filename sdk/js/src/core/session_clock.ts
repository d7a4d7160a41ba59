/** session_clock.ts - when something is due, and doing it then (src/session/client_session_clock.c). */
import * as has from '../features.js';
import { dropNext, releaseNext, startAttempt } from './session_attempt.js';
import type { SessionCore } from './session_core.js';
import { end, giveUpNext, liveEnded } from './session_ending.js';
import { putAcks } from './session_send.js';
import { suspect } from './session_signal.js';
import { isConnected } from './state.js';

const outputStuckMs = 2000;

export function deadline(s: SessionCore): number {
  let at = (has.takesParts ? s.prober?.at : undefined) ?? Infinity;
  for (const link of s.links) at = Math.min(at, link.lingerUntil);
  if (s.state === 'waiting' || s.state === 'offline') at = Math.min(at, s.attemptAt);
  if (isConnected(s.state) && !s.superseded)
    at = Math.min(
      at,
      s.heartbeat.deadline(),
      s.ackAt,
      s.channels.syncUntil,
      s.channels.resubscribeAt,
      s.leaveAt,
      s.outputFrom + outputStuckMs,
      has.keepsOutbox ? s.publishing.saveAgainAt : Infinity,
      answerLateAt(s),
    );
  if (s.state === 'closing') at = Math.min(at, s.closeUntil);
  if (s.next >= 0) at = Math.min(at, s.attemptUntil);
  return at;
}

export function tick(s: SessionCore, now: number): void {
  for (const link of s.links) if (link.state === 'closing' && now >= link.lingerUntil) link.drop();
  if (s.next >= 0 && now >= s.attemptUntil) {
    if (has.prepares && s.nextHeld) dropNext(s); // A spare that was not needed, or does not get through either.
    else giveUpNext(s, { cause: 'timed_out' }, now);
  }
  if (isConnected(s.state) && !s.superseded) tickLive(s, now);
  if (has.takesParts) s.prober?.tick(now);
  if (s.state === 'closing' && now >= s.closeUntil) end(s, { cause: 'closed', asked: true }, now);
  if ((s.state === 'waiting' || s.state === 'offline') && now >= s.attemptAt) startAttempt(s, false, now);
}

/** When the oldest request has waited so long for its answer that the path is doubtful. */
function answerLateAt(s: SessionCore): number {
  return s.answerFrom + s.heartbeat.softMs();
}

function tickLive(s: SessionCore, now: number): void {
  if (now >= answerLateAt(s)) {
    s.heartbeat.answerLate(s.answerFrom);
    s.answerFrom = now;
    s.doubt('answer_late', now);
  }
  if (now >= s.outputFrom + outputStuckMs) {
    s.outputFrom = now;
    s.doubt('output_stuck', now);
  }
  if (now >= s.ackAt) putAcks(s, now);
  s.channels.tick(now);
  if (has.keepsOutbox && now >= s.publishing.saveAgainAt) s.publishing.save(now);
  if (now >= s.leaveAt) {
    s.leaveAt = Infinity;
    if (s.next < 0) startAttempt(s, false, now);
    else releaseNext(s, now);
  }
  tickHeartbeat(s, now);
}

function tickHeartbeat(s: SessionCore, now: number): void {
  const due = s.heartbeat.tick(now);
  if (due === 'ping') s.put({ type: 'ping', id: `${s.heartbeat.pingId}` });
  else if (due === 'suspect') suspect(s, now);
  else if (due === 'dead') liveEnded(s, { cause: 'heartbeat_missed' }, now);
}
