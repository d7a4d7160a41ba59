/** session_recv.ts - the welcome, and which of the others a message is for (src/session/client_session_recv.c). */
import { closeCodes } from '../codes.js';
import * as has from '../features.js';
import { backoffAdviceMsMax } from './backoff.js';
import { BadMessage, WrongKind } from './codec.js';
import { isHeaderToken, isLabel, type Of, type ServerMessage } from './message.js';
import { spareMs } from './session_attempt.js';
import type { SessionCore } from './session_core.js';
import { attemptEnded, failNext, liveEnded, resetConnection } from './session_ending.js';
import { putHeartbeat, putPong } from './session_send.js';
import type { Why } from './session_types.js';

/** On a connection; as many as a server takes from a client. */
const badMessagesMax = 32;
const ticketMax = 512;

/** `next` has got its welcome: it is the live one now. */
function adoptNext(s: SessionCore, now: number): void {
  if (s.live >= 0) s.link(s.live).drop(); // The session has left it; what it still carried comes again.
  s.live = s.next;
  s.next = -1;
  resetConnection(s);
  s.greeting = true;
  if (has.prepares) s.nextHeld = false;
  s.leaveAt = Infinity;
  s.toldUntil = 0;
  s.tokenRefusals = 0;
  s.connections++;
  s.backoff.connected(now);
  s.heartbeat.opened(now);
  if (has.prepares && s.config.splitDial) s.heartbeat.measured(now - s.requestAt); // Else it is several round trips, and says nothing of one.
  if (s.state !== 'live') s.move('live', { cause: 'welcomed' }, now); // Else it was made before the other was broken, and nothing paused.
}

export function received(s: SessionCore, now: number): void {
  s.heartbeat.dataReceived(now);
  if (s.state !== 'doubtful' || s.heartbeat.pingId < s.proofPing) return;
  if (has.prepares && s.nextHeld) s.attemptUntil = Math.min(s.attemptUntil, now + spareMs); // Where there was one doubt there may be another.
  s.move('live', { cause: 'proven' }, now);
}

export function obey(s: SessionCore, slot: number, message: ServerMessage | BadMessage, now: number): void {
  if (message instanceof WrongKind) {
    s.link(slot).close(closeCodes.unsupported);
    const why: Why = { cause: 'protocol_error', evidence: message.reason, closeCode: closeCodes.unsupported };
    if (slot === s.live) liveEnded(s, why, now);
    else attemptEnded(s, why, now);
  } else if (slot === s.next) {
    obeyFirst(s, message, now);
  } else if (message instanceof BadMessage) {
    s.emitError('bad_message', message.reason);
    if (++s.badMessages >= badMessagesMax) s.fail('the server sends what cannot be understood');
  } else {
    obeyLive(s, message, now);
  }
}

/** "`welcome`: first message of every connection", or the advice to come later. */
function obeyFirst(s: SessionCore, message: ServerMessage | BadMessage, now: number): void {
  if (message instanceof BadMessage) failNext(s, message.reason, now);
  else if (message.type === 'welcome') onWelcome(s, message, now);
  else if (message.type === 'reconnect') s.advice = message.after;
  else failNext(s, "the server's first message was no welcome", now);
}

function obeyLive(s: SessionCore, message: ServerMessage, now: number): void {
  switch (message.type) {
    case 'subscribed':
      return s.channels.onSubscribed(message, now);
    case 'unsubscribed':
      return s.channels.onUnsubscribed(message, now);
    case 'data':
      return s.channels.onData(message, now);
    case 'gap':
      return s.channels.onGap(message, now);
    case 'ack':
      return s.publishing.onAck(message, now);
    case 'nack':
      return s.publishing.onNack(message, now);
    case 'ping':
      return putPong(s);
    case 'pong':
      return onPong(s, message, now);
    case 'heartbeat':
      return s.heartbeat.setInterval(message.interval);
    case 'reconnect':
      return onReconnect(s, message, now);
    case 'error':
      if (message.code === 'bad_seq') s.publishing.onBadSeq(message);
      else if (!s.channels.onError(message, now) && !(has.asks && s.questions?.onError(message, now) === true))
        s.emitError(message.code, message.reason, message.channel);
      return;
    case 'welcome': // It answers nothing that this client asks.
      return;
    default:
      if (has.asks) obeyAnswer(s, message, now);
  }
}

function obeyAnswer(s: SessionCore, message: Of<'join' | 'leave'> | Of<'history' | 'presence' | 'reply'>, now: number): void {
  if (message.type === 'join' || message.type === 'leave') s.channels.onPresence(message);
  else s.questions?.onAnswer(message as Of<'history' | 'presence' | 'reply'>, now);
}

function onWelcome(s: SessionCore, welcome: Of<'welcome'>, now: number): void {
  const resumed = welcome.resumed && s.ticket !== '';
  if (!isHeaderToken(welcome.ticket, ticketMax) || !isLabel(welcome.session)) {
    failNext(s, "the server's ticket cannot be used", now);
    return;
  }
  s.ticket = welcome.ticket;
  s.id = welcome.session;
  s.lossSpreadMs = welcome.lossSpread;
  s.publishing.payloadBytesMax = welcome.maxMessage;
  s.heartbeat.setInterval(welcome.heartbeat.interval);
  if (has.takesParts) s.config.policy?.setBound?.(welcome.heartbeat.max);
  adoptNext(s, now);
  emitConnected(s, resumed, welcome);
  if (!resumed) s.publishing.renewed(welcome.lastSeq ?? null, welcome.refusals ?? []);
  else if (!s.publishing.resumed(welcome.lastSeq ?? null)) return;
  if (resumed) for (const at of welcome.channels) if (s.failed === null) s.channels.named(at, now);
  if (s.failed !== null) return;
  s.channels.sort();
  s.greeting = false;
  speakFirst(s, now);
}

function emitConnected(s: SessionCore, resumed: boolean, welcome: Of<'welcome'>): void {
  const retries = s.retries;
  s.retries = 0;
  s.caughtUpCount = 0;
  const encoding = s.liveCodec?.encoding ?? 'json';
  s.emit({ type: 'connected', resumed, session: s.id, retries, address: welcome.address, encoding });
}

/** What is said first: requests without an answer, and the ping whose pong ends the catching up. */
function speakFirst(s: SessionCore, now: number): void {
  putHeartbeat(s);
  s.channels.putRequests(now);
  if (has.asks) s.questions?.put(now);
  s.heartbeat.doubted();
  if (s.heartbeat.tick(now) === 'ping') s.put({ type: 'ping', id: `${s.heartbeat.pingId}` });
  s.welcomePing = s.heartbeat.pingId;
}

function onPong(s: SessionCore, message: Of<'pong'>, now: number): void {
  if (has.asks && s.questions?.onAnswer(message, now) === true) return;
  if (message.id === undefined || !/^(0|[1-9]\d{0,15})$/.test(message.id)) return;
  const pingId = Number(message.id);
  s.heartbeat.pongReceived(pingId, now);
  if (has.takesParts) s.prober?.networkGood(now);
  if (s.welcomePing !== 0 && pingId === s.welcomePing) caughtUp(s, now);
}

function caughtUp(s: SessionCore, now: number): void {
  s.welcomePing = 0;
  if (has.keepsOutbox && s.inherited) {
    // What was sent before that ping has been obeyed.
    s.inherited = false;
    s.channels.putRequests(now);
  }
  s.publishing.settled(now);
  s.emit({ type: 'caughtUp', count: s.caughtUpCount });
}

/** "leave this connection at a random time in that window" (PROTOCOL.md, reconnect). */
function onReconnect(s: SessionCore, message: Of<'reconnect'>, now: number): void {
  const min = Math.min(message.after[0], backoffAdviceMsMax);
  const max = Math.min(message.after[1], backoffAdviceMsMax);
  if (has.takesParts) s.heartbeat.disturbed();
  s.leaveAt = now + min + s.random.below(Math.max(0, max - min) + 1);
}
