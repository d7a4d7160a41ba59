/** session_send.ts - what is acknowledged and answered, and when (src/session/client_session_send.c). */
import type { SessionCore } from './session_core.js';

/** Acknowledgements and pongs wait above that: the server does not read. */
const optionalBelowBytes = 256 * 1024;
const ackDelayMs = 1000;
const ackMessages = 256;
const ackBytes = 64 * 1024;
const acksOfPongMax = 1000;

export function putHeartbeat(s: SessionCore): void {
  // The server ends silence of twice its interval, and pings after one of it: what it is asked for is the longest that the policy may come to, once a connection.
  const interval = s.config.policy?.longestMs() ?? s.config.heartbeatIntervalMs;
  if (interval > 0 && interval !== s.heartbeat.serverIntervalMs) s.put({ type: 'heartbeat', interval });
}

/** Something new was delivered, and is to be acknowledged in its time. */
export function delivered(s: SessionCore, bytes: number, now: number): void {
  s.unackedMessages++;
  s.unackedBytes += bytes;
  if (s.ackAt === Infinity) s.ackAt = now + ackDelayMs;
  if (s.unackedMessages >= ackMessages || s.unackedBytes >= ackBytes) putAcks(s, now);
}

function hasRoom(s: SessionCore): boolean {
  return s.live >= 0 && s.outBytes < optionalBelowBytes;
}

function acksFlushed(s: SessionCore, all: boolean): void {
  s.unackedMessages = 0;
  s.unackedBytes = 0;
  if (all) s.ackAt = Infinity;
}

export function putAcks(s: SessionCore, now: number): void {
  for (const [channel, offset] of s.channels.acksDue(() => hasRoom(s))) s.put({ type: 'ack', channel, offset });
  if (hasRoom(s)) acksFlushed(s, true);
  else s.ackAt = now + ackDelayMs;
}

/** "answer to a heartbeat, with acks on board" (PROTOCOL.md, pong). */
export function putPong(s: SessionCore): void {
  if (!hasRoom(s)) return;
  if (s.ackAt === Infinity) {
    s.put({ type: 'pong' });
    return;
  }
  const acks = [...s.channels.acksDue((count) => count < acksOfPongMax)];
  acksFlushed(s, acks.length < acksOfPongMax);
  s.put({ type: 'pong', acks });
}
