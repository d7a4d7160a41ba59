/**
 * session.ts - the reliable session as a client keeps it: one pure state machine over the connections that break, the same as src/session/client_session.h in C. No socket and no
 * clock: a driver makes the connections, carries the messages and says what time it is. Its states, and what may follow what, are in state.ts.
 *
 * A session has two slots for connections: the one it lives on, and one that is being made to follow it (make before break), or that is being closed. A third one is for probes of
 * the network, where a heartbeat policy wants them. How a driver uses it:
 *
 *   for each slot, after every call, obey want(slot):
 *     - its connection in that slot has another attempt number: close that at once, and report nothing;
 *     - `connect` and none yet: make one, with the subprotocols of request(slot); report opened(), refused() or lost().
 *       A driver that can dial without asking reports connected() first, and asks when `carry` comes. One that cannot makes nothing while `held`;
 *     - `carry`: what comes is message(), what output() has is to be sent, and told by sent(); on its end closed() or lost();
 *     - `close`: send what output() has, close it with closeCode, report lost();
 *   when deadline() has passed, deliver what has come first, then call tick().
 *
 * What is told comes by onEvent, during one of these calls. In it the driver may call publish(), subscribe(), unsubscribe(), close() and the requests, and nothing else.
 * Times are milliseconds of one clock that never goes back.
 */
import { causeTexts, closeCodes, type Cause, type State } from '../codes.js';
import {
  Backoff,
  backoffAdviceMsMax,
  backoffCapMs,
  backoffRandomMsMax,
  signalDelay,
  type BackoffCause,
} from './backoff.js';
import { Channels } from './channels.js';
import { BadMessage, WrongKind, type CodecKind } from './codec.js';
import type { EndingEvent, SessionEvent } from './events.js';
import { Heartbeat, type HeartbeatPolicy } from './heartbeat.js';
import { Link, type Output } from './link.js';
import { isHeaderToken, isLabel, type ClientMessage, type Of, type ServerMessage } from './message.js';
import { Prober } from './prober.js';
import { Publishing } from './publishing.js';
import { Questions } from './questions.js';
import type { Random } from './random.js';
import { assert, isConnected, stateMayFollow } from './state.js';
import type { SessionStore, Stored } from './store.js';

export const probeSlot = 2;
/** A connect timeout of 4 s, then 8 s, as others do; here up to the welcome. */
const firstAttemptMs = 4000;
const nextAttemptMs = 8000;
/** For the driver to write a close frame. */
const lingerMs = 1000;
const byeMs = 2000;
const outputStuckMs = 2000;
/** Connections that are made ahead, on doubt alone, in a minute. */
const preparedMax = 3;
const preparedMs = 60_000;
/** Such a one is kept after the doubt has proven unfounded. */
const spareMs = 5000;
/** "one probe per 30 s because signals lie" */
const offlineProbeMs = 30_000;
/** An attempt without a connection after that is on the network that was. A guess. */
const redialMs = 1000;
/** On a connection; as many as a server takes from a client. */
const badMessagesMax = 32;
/** Acknowledgements and pongs wait above that: the server does not read. */
const optionalBelowBytes = 256 * 1024;
const ackDelayMs = 1000;
const ackMessages = 256;
const ackBytes = 64 * 1024;
const acksOfPongMax = 1000;
const ticketMax = 512;
const tokenMax = 4096;

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

export class Session {
  state: State = 'waiting';
  id = '';
  /** Connections that were welcomed. */
  connections = 0;
  /** The slot that the session lives on; -1: none. */
  live = -1;
  readonly random: Random;
  readonly heartbeat: Heartbeat;
  readonly backoff = new Backoff();
  readonly publishing: Publishing;
  readonly channels: Channels;
  readonly questions: Questions;

  /** A welcome is being looked at, or `superseded`: requests wait until it has been. */
  greeting = false;
  /** The live connection was closed in favour of `next`, as it seems: nothing is told, and nothing said, until that is welcomed or fails. */
  private superseded = false;
  /** The session was another process's, and its subscriptions are not all ended yet. */
  inherited = false;
  /** Empty: there is no session to resume. */
  ticket = '';
  /** Attempts made so far; the last one's number. */
  attempts = 0;
  /** The live connection cannot go on: why; null: it can. */
  failed: string | null = null;
  /** And the session cannot, either. */
  forgetSession = false;
  /** close() was called in an event. */
  closeWanted = false;
  caughtUpCount = 0;

  private readonly links: readonly [Link, Link, Link];
  private readonly prober: Prober;
  private token: string | null;
  /** The slot that shall follow; -1: none. */
  private next = -1;
  /** `next` is prepared only: the upgrade waits until the doubt is confirmed. */
  private nextHeld = false;
  /** The highest attempt whose request went out and whose answer was not waited for. */
  private givenUp = 0;
  /** waiting, offline: when the next one is due, and why then. */
  private attemptAt: number;
  private attemptCause: Cause = 'started';
  /** The server has named a time, which signals bring forward only within bounds; 0: it has not. */
  private toldUntil = 0;
  /** `next`: when it was begun; when it is given up (Infinity: it is prepared, and the doubt stands); when its request was put out. */
  private attemptFrom = 0;
  private attemptUntil = Infinity;
  private requestAt = 0;
  private prepared: number[] = [];
  /** doubtful: anything that comes after this ping was sent proves the connection. */
  private proofPing = 0;
  private offline = false;
  /** live: when the server's `reconnect` is to be followed; Infinity: there is none. */
  private leaveAt = Infinity;
  /** A `reconnect` on a connection that got no welcome. */
  private advice: readonly [number, number] | null = null;
  /** closing: the wait for the server's answer to `bye`. */
  private closeUntil = Infinity;
  private lossSpreadMs = 0;
  private retries = 0;
  private failedCode = 0;
  /** Refusals in a row for want of a good token. */
  private tokenRefusals = 0;
  /** Sent behind the welcome; its pong ends catching up and settling. 0: had. */
  private welcomePing = 0;
  private badMessages = 0;
  private unackedMessages = 0;
  private unackedBytes = 0;
  /** When acknowledgements are due; Infinity: nothing to acknowledge. */
  private ackAt = Infinity;
  /** Output waits, and the socket has taken nothing since; Infinity: none waits. */
  private outputFrom = Infinity;
  /** The last answer, or the first request without one; Infinity: none waits. */
  private answerFrom = Infinity;
  /** Calls under way: an event is possible. */
  private busy = 0;

  constructor(
    readonly config: SessionConfig,
    now: number,
  ) {
    this.random = config.random;
    this.token = config.token;
    this.backoff.background(config.background);
    this.heartbeat = new Heartbeat(config.policy);
    this.links = [new Link(), new Link(), new Link()];
    this.attemptAt = now;
    this.channels = new Channels(this);
    this.questions = new Questions(this);
    this.publishing = new Publishing(this);
    this.prober = new Prober(this, this.links[probeSlot]);
  }

  /* --- for the application --- */

  /** Say goodbye: the server forgets the session. `ended` follows, at the latest after two seconds. */
  close(now: number): void {
    this.enter();
    this.closeWanted = true; // In an event the call that it came from is finished first.
    this.leave(now);
  }

  get closing(): boolean {
    return this.state === 'ended' || this.state === 'closing' || this.closeWanted;
  }

  /** Whether nobody is looking: then delays after failures grow up to 300 s and not to 30 s. Coming to the foreground is a signal. */
  background(background: boolean, now: number): void {
    this.enter();
    this.backoff.background(background);
    if (!background) this.signalled('foreground', now);
    this.leave(now);
  }

  /** Shown from now on; the connection that stands gets it too. */
  setToken(token: string, now: number): boolean {
    if (!isHeaderToken(token, tokenMax)) return false;
    this.enter();
    this.token = token;
    if (isConnected(this.state)) this.put({ type: 'refresh', token });
    this.leave(now);
    return true;
  }

  /** The network in use has this key; empty: not known. To be told before network() at each change. */
  setNetwork(key: string, now: number): void {
    this.config.policy?.setNetwork?.(key, now);
    this.prober.abandon(now);
  }

  /** The policy was given another tolerance: the server is asked anew. */
  heartbeatChanged(now: number): void {
    this.enter();
    if (isConnected(this.state)) this.putHeartbeat();
    this.leave(now);
  }

  /* --- signals --- */

  /**
   * Something on the way to the server changed, and this is how things stand now. It verifies a connection that stands, by a ping with a deadline of the round trip's size, and brings
   * a waiting attempt forward to within 100 ms; only where the server had named the time, to 30 s at the soonest.
   */
  network(facts: NetworkFacts, now: number): void {
    const back = this.offline && !facts.offline;
    this.enter();
    this.offline = facts.offline;
    this.disturbed(now);
    if (this.state === 'waiting') {
      if (this.offline) this.goOffline(now);
      else this.bringForward('network_changed', now);
    } else if (this.state === 'connecting' || this.superseded) {
      this.networkOfAttempt(facts, back, now);
    } else if (isConnected(this.state)) {
      this.networkOfConnected(facts, back, now);
    } else if (this.state === 'offline' && !this.offline) {
      this.attemptAt = Infinity;
      this.bringForward('network_changed', now);
      this.move('waiting', { cause: 'network_changed' }, now);
    }
    this.leave(now);
  }

  /** The machine slept: a signal. */
  wokeUp(now: number): void {
    this.enter();
    this.signalled('woke_up', now);
    this.leave(now);
  }

  /** The driver has closed all connections, because the page is left or frozen: that says nothing about the network. wokeUp() goes on. */
  suspended(evidence: string, now: number): void {
    this.enter();
    this.disturbed(now);
    for (const slot of [0, 1]) this.lost(slot, evidence, now);
    this.leave(now);
  }

  /* --- for the driver --- */

  want(slot: number): Want {
    const link = this.link(slot);
    const wish: Wish =
      link.state === 'idle' ? 'none' : link.state === 'dialing' ? 'connect' : link.state === 'closing' ? 'close' : 'carry';
    const isProbe = slot === probeSlot;
    return {
      wish,
      attempt: wish === 'none' ? 0 : link.attempt,
      until: isProbe ? this.prober.at : this.attemptUntil,
      held: slot === this.next && this.nextHeld,
      closeCode: link.closeCode,
    };
  }

  /** The wanted connection stands, and nothing has been said on it. */
  connected(slot: number, now: number): void {
    if (slot === probeSlot) this.prober.connected();
    if (slot !== this.next || this.link(slot).state !== 'dialing') return;
    this.enter();
    this.offline = false; // There is a way: the system was wrong.
    this.link(slot).connected();
    if (this.nextHeld) this.attemptUntil = this.state === 'doubtful' ? Infinity : now + spareMs;
    else this.requestUpgrade(now);
    this.leave(now);
  }

  /** Whether the request is to go out now on a connection that stands: carry, and it has not. */
  requestDue(slot: number): boolean {
    return this.link(slot).state === 'opening';
  }

  /** The subprotocols to ask for. From here on the server may have got them. */
  request(slot: number, now: number): string[] {
    const link = this.link(slot);
    if (link.state === 'dialing') {
      this.enter();
      if (slot !== probeSlot) this.publishing.saveAttempt(now);
      link.request();
      this.leave(now);
    }
    const list = this.config.codecs.map((codec) => codec.protocol);
    if (this.token !== null) list.push(`hf.token.${this.token}`);
    if (slot !== probeSlot && this.ticket !== '') list.push(`hf.resume.${this.ticket}`);
    // "numbers them (`hf.attempt.<n>`, rising)" (PROTOCOL.md "Resume" 4)
    if (slot !== probeSlot) list.push(`hf.attempt.${link.attempt}`);
    return list;
  }

  /** The upgrade was accepted, with this subprotocol. */
  opened(slot: number, protocol: string, now: number): void {
    const link = this.link(slot);
    if (link.state !== 'opening' && !(link.state === 'dialing' && link.requested)) return;
    this.enter();
    const codec = this.config.codecs.find((kind) => kind.protocol === protocol);
    if (slot === probeSlot) {
      if (codec === undefined) this.prober.abandon(now);
      else this.prober.opened(codec);
    } else if (codec === undefined) {
      const names = this.config.codecs.map((kind) => kind.protocol).join(' or ');
      link.end(closeCodes.protocolError);
      this.attemptEnded(
        { cause: 'protocol_error', evidence: `the server does not speak ${names}`, final: this.connections === 0 },
        now,
      );
    } else {
      if (link.state === 'dialing') this.offline = false; // There is a way: the system was wrong.
      link.open(codec.create());
    }
    this.leave(now);
  }

  /** The answer was another than 101; status 0: it was no HTTP at all. */
  refused(slot: number, status: number, retryAfterS: number, now: number): void {
    if (slot === probeSlot) {
      this.prober.abandon(now);
      return;
    }
    if (slot !== this.next) return;
    this.enter();
    const final = this.refusalIsFinal(status);
    this.link(slot).end();
    this.attemptEnded(
      {
        cause: retryAfterS > 0 ? 'retry_after' : status === 0 ? 'protocol_error' : 'refused',
        httpStatus: status,
        minMs: retryAfterS * 1000,
        final,
      },
      now,
    );
    this.leave(now);
  }

  /** What came in one WebSocket message. */
  message(slot: number, data: string | Uint8Array, now: number): void {
    const link = this.link(slot);
    if (link.state !== 'open' || link.codec === null) return;
    this.enter();
    if (slot === this.live) this.received(now);
    for (const each of link.codec.decode(data)) {
      if (slot === probeSlot) this.prober.message(each, now);
      else this.obey(slot, each, now);
      if (link.state !== 'open' || this.failed !== null) break;
    }
    this.leave(now);
  }

  /** The server closed the connection, with this code. */
  closed(slot: number, code: number, reason: string, now: number): void {
    const link = this.link(slot);
    if (slot === probeSlot) {
      this.prober.lost(now);
      return;
    }
    if (link.state === 'closing' || link.state === 'idle') {
      link.drop();
      return;
    }
    this.enter();
    if (slot === this.live) this.received(now);
    if (link.state === 'open') link.close(code);
    else link.end();
    this.onClosed(slot, code, reason, now);
    this.leave(now);
  }

  /** It could not be made, or has ended without a word. */
  lost(slot: number, evidence: string, now: number): void {
    const link = this.link(slot);
    if (link.state === 'idle') return;
    this.enter();
    if (slot === this.live && this.superseded) {
      link.drop();
    } else if (slot === this.live) {
      this.heartbeat.lost(now);
      this.liveEnded({ cause: 'connection_lost', evidence }, now);
    } else if (slot === this.next) {
      this.giveUpNext({ cause: 'unreachable', evidence }, now);
    } else if (slot === probeSlot) {
      this.prober.lost(now);
    } else {
      link.drop();
    }
    this.leave(now);
  }

  /** What is to be sent. sent() tells when the socket has taken it. */
  output(slot: number, now: number): Output[] {
    const link = this.link(slot);
    this.enter();
    if (slot === this.live && isConnected(this.state) && !this.superseded) this.publishing.put(now);
    if (slot === this.live && link.outBytes > 0 && this.outputFrom === Infinity) this.outputFrom = now;
    this.leave(now);
    return link.takeOutput();
  }

  /** The socket has taken so many bytes of the output. */
  sent(slot: number, bytes: number, now: number): void {
    const link = this.link(slot);
    link.sent(bytes);
    if (slot !== this.live) return;
    if (bytes > 0) this.heartbeat.dataSent(now);
    this.outputFrom = link.outBytes > 0 ? now : Infinity;
    if (link.outBytes > 0) this.heartbeat.outputMoved(now);
  }

  /** The store has what it was last given, or has not. */
  saved(ok: boolean, now: number): void {
    this.enter();
    this.publishing.saved(ok, now);
    this.leave(now);
  }

  /** Nothing more will be asked of it. */
  saveLast(now: number): void {
    this.enter();
    this.publishing.saveLast(now);
    this.leave(now);
  }

  /** When to call tick(); Infinity: never. */
  deadline(): number {
    let at = this.prober.at;
    for (const link of this.links) at = Math.min(at, link.lingerUntil);
    if (this.state === 'waiting' || this.state === 'offline') at = Math.min(at, this.attemptAt);
    if (isConnected(this.state) && !this.superseded)
      at = Math.min(
        at,
        this.heartbeat.deadline(),
        this.ackAt,
        this.channels.syncUntil,
        this.channels.resubscribeAt,
        this.leaveAt,
        this.outputFrom + outputStuckMs,
        this.publishing.saveAgainAt,
        this.answerLateAt(),
      );
    if (this.state === 'closing') at = Math.min(at, this.closeUntil);
    if (this.next >= 0) at = Math.min(at, this.attemptUntil);
    return at;
  }

  tick(now: number): void {
    this.enter();
    for (const link of this.links) if (link.state === 'closing' && now >= link.lingerUntil) link.drop();
    if (this.next >= 0 && now >= this.attemptUntil) {
      if (this.nextHeld) this.dropNext(); // A spare that was not needed, or does not get through either.
      else this.giveUpNext({ cause: 'timed_out' }, now);
    }
    if (isConnected(this.state) && !this.superseded) this.tickLive(now);
    this.prober.tick(now);
    if (this.state === 'closing' && now >= this.closeUntil) this.end({ cause: 'closed', asked: true }, now);
    if ((this.state === 'waiting' || this.state === 'offline') && now >= this.attemptAt) this.startAttempt(false, now);
    this.leave(now);
  }

  /** After so much silence behind a ping a connection is dead; it follows the measured round trip. */
  hardMs(): number {
    return this.heartbeat.hardMs();
  }

  /* --- for the parts of the session --- */

  emit(event: SessionEvent): void {
    assert(this.busy > 0, 'an event outside of a call');
    this.config.onEvent(event);
  }

  emitError(code: string, reason: string, channel = ''): void {
    this.emit({ type: 'error', code, reason, channel });
  }

  /** The live connection must be ended after the call under way, with this close code. */
  fail(why: string, closeCode: number = closeCodes.policy): void {
    if (this.failed !== null) return;
    this.failed = why;
    this.failedCode = closeCode;
  }

  enter(): void {
    this.busy++;
  }

  leave(now: number): void {
    if (this.busy === 1) {
      if (this.failed !== null && this.live >= 0) this.endFailed(this.failed, now);
      if (this.closeWanted) this.beginClose(now);
      this.questions.tellLost();
      for (const link of this.links)
        link.lingerUntil =
          link.state !== 'closing' ? Infinity : link.lingerUntil === Infinity ? now + lingerMs : link.lingerUntil;
    }
    this.busy--;
  }

  get hasNext(): boolean {
    return this.next >= 0;
  }

  /** Put a message into the live connection's output; does nothing where there is none. */
  put(message: ClientMessage): void {
    if (this.live >= 0) this.link(this.live).put(message);
  }

  get outBytes(): number {
    return this.live < 0 ? 0 : this.link(this.live).outBytes;
  }

  get liveCodec(): CodecKind | undefined {
    const codec = this.live < 0 ? null : this.link(this.live).codec;
    return codec === null ? undefined : codec.kind;
  }

  putHeartbeat(): void {
    // The server ends silence of twice its interval, and pings after one of it: what it is asked for is the longest that the policy may come to, once a connection.
    const interval = this.config.policy?.longestMs() ?? this.config.heartbeatIntervalMs;
    if (interval > 0 && interval !== this.heartbeat.serverIntervalMs) this.put({ type: 'heartbeat', interval });
  }

  /** Something new was delivered, and is to be acknowledged in its time. */
  delivered(bytes: number, now: number): void {
    this.unackedMessages++;
    this.unackedBytes += bytes;
    if (this.ackAt === Infinity) this.ackAt = now + ackDelayMs;
    if (this.unackedMessages >= ackMessages || this.unackedBytes >= ackBytes) this.putAcks(now);
  }

  get ackPlanned(): boolean {
    return this.ackAt !== Infinity;
  }

  /** A request waits for its answer. */
  awaitingAnswer(now: number): void {
    if (this.answerFrom === Infinity) this.answerFrom = now;
  }

  /** One has been answered, and others, or none, wait. */
  answered(now: number): void {
    const waits = this.publishing.outbox.written > 0 || this.channels.asked > 0 || this.questions.asked > 0;
    this.answerFrom = waits ? now : Infinity;
  }

  /** Something makes the connection doubtful: it is verified. Does nothing where there is none. */
  doubt(cause: Cause, now: number): void {
    if (!isConnected(this.state) || this.superseded) return;
    if (this.state === 'live') this.proofPing = this.heartbeat.pingId + (this.heartbeat.pingedAt === null ? 1 : 0);
    this.heartbeat.doubted(); // It asks at once, if it is not asking.
    if (this.state === 'live') this.move('doubtful', { cause }, now);
  }

  /* --- states --- */

  private link(slot: number): Link {
    const link = this.links[slot];
    assert(link !== undefined, `there is no slot ${slot}`);
    return link;
  }

  /** Change the state, and tell: everything else has been set before. */
  private move(to: State, why: Why, now: number): void {
    const from = this.state;
    assert(stateMayFollow(from, to), `a session cannot go from ${from} to ${to}`);
    this.state = to;
    this.check();
    this.emit({ type: 'state', from, to, ...this.ending(why), delayMs: this.nextAttemptMs(now) });
  }

  /** What holds in each state. */
  private check(): void {
    const lives = isConnected(this.state) || this.state === 'closing';
    assert(lives === this.live >= 0, `${this.state} with a live slot ${this.live}`);
    if (this.state === 'connecting') assert(this.next >= 0, 'connecting without a connection');
    else if (!isConnected(this.state)) assert(this.next < 0, `${this.state} with a connection under way`);
    assert(this.next < 0 || this.next !== this.live, 'one slot for two connections');
    assert(this.next >= 0 || !this.nextHeld, 'nothing is held');
    assert(!this.superseded || (isConnected(this.state) && this.next >= 0), 'superseded by nothing');
  }

  /** How long until the next attempt, as the state's change tells it. */
  private nextAttemptMs(now: number): number | null {
    if (this.state === 'connecting') return 0;
    if (this.state !== 'waiting' && this.state !== 'offline') return null;
    return Math.max(0, this.attemptAt - now);
  }

  private ending(why: Why): { cause: Cause; evidence: string; reason: string; closeCode: number; httpStatus: number } {
    const { cause, evidence = causeTexts[cause], reason = '', closeCode = 0, httpStatus = 0 } = why;
    return { cause, evidence, reason, closeCode, httpStatus };
  }

  private emitEnding(type: EndingEvent['type'], why: Why, delayMs: number): void {
    this.emit({ type, ...this.ending(why), delayMs, asked: why.asked === true });
  }

  /* --- attempts --- */

  private freeSlot(): number {
    const [first, second] = this.links;
    let slot = this.live === 0 ? 1 : 0;
    if (this.live < 0 && first.state !== 'idle' && second.state === 'idle') slot = 1;
    this.link(slot).drop(); // If it was closing, its time is over.
    return slot;
  }

  private attemptMs(): number {
    return this.retries === 0 ? firstAttemptMs : nextAttemptMs;
  }

  /** Begin to make a connection; held: only prepare it, its upgrade waits for releaseNext(). */
  private startAttempt(held: boolean, now: number): void {
    this.next = this.freeSlot();
    this.nextHeld = held;
    this.attempts++;
    this.attemptFrom = now;
    this.attemptUntil = now + this.attemptMs();
    this.advice = null;
    this.link(this.next).dial(this.attempts);
    if (this.state === 'waiting' || this.state === 'offline') this.move('connecting', { cause: this.attemptCause }, now);
  }

  /** Whether a slot's request may have reached the server. */
  private requestIsOut(slot: number): boolean {
    return this.link(slot).requested;
  }

  /** `next` is not wanted any more. */
  private dropNext(): void {
    const link = this.link(this.next);
    // The server may yet take it for the session's newest connection.
    if (link.requested) this.givenUp = Math.max(this.givenUp, link.attempt);
    link.drop();
    this.next = -1;
    this.nextHeld = false;
  }

  private end(why: Why, now: number): void {
    if (this.state === 'closing') why = { cause: 'closed', closeCode: closeCodes.normal, asked: true };
    if (this.next >= 0) this.dropNext();
    if (this.live >= 0 && this.link(this.live).state !== 'closing') this.link(this.live).drop();
    this.live = -1;
    this.superseded = false;
    this.move('ended', why, now);
    this.emitEnding('ended', why, 0);
  }

  private backoffCause(cause: Cause): BackoffCause {
    switch (cause) {
      case 'unreachable':
      case 'timed_out': // Without a way to the server that says nothing about the server.
        return this.offline ? 'signal' : 'refused';
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
  private schedule(why: Why, attemptFailed: boolean, now: number): void {
    const { minMs = 0, maxMs = 0 } = why;
    const cause = this.backoffCause(why.cause);
    const end = { cause, attemptFailed, lossSpreadMs: this.lossSpreadMs, minMs, maxMs };
    this.attemptAt = now + this.backoff.ended(end, this.random, now);
    this.attemptCause = 'due';
    this.toldUntil = cause === 'advice' || cause === 'retry' ? this.attemptAt : 0;
    // "All others: reconnects and resumes, after the delay of the last `reconnect`, if there was one."
    if (this.leaveAt !== Infinity) this.attemptAt = this.toldUntil = Math.max(this.leaveAt, now);
    this.leaveAt = Infinity;
    if (this.offline) this.awaitNetwork(now);
  }

  private waitingState(): State {
    return this.offline ? 'offline' : 'waiting';
  }

  /** `next` has failed. Its link is closing already, or is dropped here. */
  private attemptEnded(why: Why, now: number): void {
    if (this.superseded) this.liveEnded({ cause: 'superseded', closeCode: closeCodes.superseded }, now); // It was a break after all.
    const link = this.link(this.next);
    if (link.state !== 'closing') link.drop();
    this.next = -1;
    this.nextHeld = false;
    if (this.live >= 0) return; // "if the new attempt is refused, stay until closed" (PROTOCOL.md, reconnect)
    if (why.final === true) {
      this.end(why, now);
      return;
    }
    this.schedule(why, true, now);
    this.retries++;
    const delay = this.attemptAt - now;
    this.move(this.waitingState(), why, now);
    this.emitEnding('retrying', why, delay);
  }

  private giveUpNext(why: Why, now: number): void {
    const link = this.link(this.next);
    if (link.requested) this.givenUp = link.attempt;
    this.attemptEnded(why, now);
  }

  /** The connection under way said something else than `welcome`. */
  private failNext(evidence: string, now: number): void {
    this.link(this.next).close(closeCodes.policy);
    this.attemptEnded({ cause: 'protocol_error', evidence }, now);
  }

  private requestUpgrade(now: number): void {
    this.requestAt = now;
    this.link(this.next).request();
    this.publishing.saveAttempt(now);
  }

  /** The doubt about the live connection is confirmed: what was prepared is wanted now. */
  private releaseNext(now: number): void {
    if (this.next < 0 || !this.nextHeld) return;
    this.nextHeld = false;
    this.attemptUntil = now + this.attemptMs();
    if (this.link(this.next).state === 'ready') this.requestUpgrade(now);
  }

  /* --- the live connection --- */

  /** Nothing of what was going on on a connection goes on. */
  private resetConnection(): void {
    this.publishing.disconnected();
    this.questions.disconnected();
    this.channels.disconnected();
    this.superseded = false;
    this.greeting = false;
    this.welcomePing = 0;
    this.unackedMessages = 0;
    this.unackedBytes = 0;
    this.ackAt = Infinity;
    this.outputFrom = Infinity;
    this.answerFrom = Infinity;
    this.badMessages = 0;
    this.failed = null;
  }

  /**
   * Make before break: the server has taken `next` for the session's connection, and its welcome is behind the end of the old one, on another way. For the application nothing is
   * broken until `next` fails.
   */
  private liveSuperseded(): void {
    this.resetConnection();
    this.superseded = true;
    this.greeting = true;
  }

  /** The live connection is no more. Its link is closing already, or is dropped here. */
  private liveEnded(why: Why, now: number): void {
    const link = this.link(this.live);
    let delay = 0;
    if (link.state !== 'closing') link.drop();
    this.resetConnection();
    this.prober.abandon(now);
    if (why.final === true || this.state === 'closing') {
      this.end(why, now);
      return;
    }
    this.live = -1;
    this.retries = 0;
    if (this.next >= 0) {
      this.leaveAt = Infinity;
      this.move('connecting', why, now);
    } else {
      this.schedule(why, false, now);
      delay = this.attemptAt - now;
      this.move(this.waitingState(), why, now);
    }
    this.emitEnding('disconnected', why, delay);
    this.releaseNext(now);
  }

  /** `next` has got its welcome: it is the live one now. */
  private adoptNext(now: number): void {
    if (this.live >= 0) this.link(this.live).drop(); // The session has left it; what it still carried comes again.
    this.live = this.next;
    this.next = -1;
    this.resetConnection();
    this.greeting = true;
    this.nextHeld = false;
    this.leaveAt = Infinity;
    this.toldUntil = 0;
    this.tokenRefusals = 0;
    this.connections++;
    this.backoff.connected(now);
    this.heartbeat.opened(now);
    if (this.config.splitDial) this.heartbeat.measured(now - this.requestAt); // Else it is several round trips, and says nothing of one.
    if (this.state !== 'live') this.move('live', { cause: 'welcomed' }, now); // Else it was made before the other was broken, and nothing paused.
  }

  private beginClose(now: number): void {
    this.closeWanted = false;
    if (this.state === 'ended' || this.state === 'closing') return;
    const why: Why = { cause: 'closed', asked: true };
    if (!isConnected(this.state) || this.superseded) {
      this.end(why, now); // There is no connection to say goodbye on.
      return;
    }
    if (this.next >= 0) this.dropNext();
    this.put({ type: 'bye' });
    this.prober.abandon(now);
    this.closeUntil = now + byeMs;
    this.move('closing', why, now);
  }

  /** Something on the live connection went wrong in a way that a new connection, or a new session, mends. */
  private endFailed(evidence: string, now: number): void {
    if (this.forgetSession) this.ticket = '';
    this.forgetSession = false;
    this.link(this.live).close(this.failedCode);
    this.liveEnded({ cause: 'protocol_error', evidence }, now);
  }

  /* --- how connections end --- */

  /** 4001: "stays away, unless it has an attempt of its own that is unanswered or was given up: then it resumes once more" (PROTOCOL.md "Close codes"). */
  private supersededByOurselves(slot: number): boolean {
    return (this.next >= 0 && this.next !== slot && !this.nextHeld) || this.givenUp > this.link(slot).attempt;
  }

  private onClosed(slot: number, closeCode: number, reason: string, now: number): void {
    let why: Why = { ...closeMeaning(closeCode), closeCode, reason };
    if (why.cause === 'superseded' && this.supersededByOurselves(slot)) why = { ...why, final: false };
    if (why.cause === 'token_expired' && this.config.tokenSource) why = { ...why, final: ++this.tokenRefusals > 2 };
    // Only an attempt that the server has heard of can have taken the session over.
    if (slot === this.live && why.cause === 'superseded' && this.next >= 0 && this.requestIsOut(this.next)) {
      this.liveSuperseded();
      return;
    }
    if (slot === this.live) {
      if (closeCode === closeCodes.tooBig) this.publishing.refuseOldestLater();
      // It had asked before.
      if (this.leaveAt !== Infinity && why.cause === 'closed_by_server') why = { ...why, cause: 'server_drain' };
      this.liveEnded(why, now);
    } else if (slot === this.next) {
      if (this.advice !== null) {
        const [minMs, maxMs] = this.advice;
        why = { ...why, cause: 'server_drain', evidence: 'the server asked to come back later', minMs, maxMs };
      }
      this.attemptEnded(why, now);
    }
  }

  /**
   * Whether repeating the request cannot help. After a success a 400, 404 or 426 is more likely a proxy in the midst of a deployment than the truth. Where tokens can be
   * had, a 401 is worth two more.
   */
  private refusalIsFinal(status: number): boolean {
    if (status === 401 && this.config.tokenSource) return ++this.tokenRefusals > 2;
    if (status === 401 || status === 403) return true;
    return this.connections === 0 && (status === 400 || status === 404 || status === 426);
  }

  /* --- what the server says --- */

  private received(now: number): void {
    this.heartbeat.dataReceived(now);
    if (this.state !== 'doubtful' || this.heartbeat.pingId < this.proofPing) return;
    if (this.nextHeld) this.attemptUntil = Math.min(this.attemptUntil, now + spareMs); // Where there was one doubt there may be another.
    this.move('live', { cause: 'proven' }, now);
  }

  private obey(slot: number, message: ServerMessage | BadMessage, now: number): void {
    if (message instanceof WrongKind) {
      this.link(slot).close(closeCodes.unsupported);
      const why: Why = { cause: 'protocol_error', evidence: message.reason, closeCode: closeCodes.unsupported };
      if (slot === this.live) this.liveEnded(why, now);
      else this.attemptEnded(why, now);
    } else if (slot === this.next) {
      this.obeyFirst(message, now);
    } else if (message instanceof BadMessage) {
      this.emitError('bad_message', message.reason);
      if (++this.badMessages >= badMessagesMax) this.fail('the server sends what cannot be understood');
    } else {
      this.obeyLive(message, now);
    }
  }

  /** "`welcome`: first message of every connection", or the advice to come later. */
  private obeyFirst(message: ServerMessage | BadMessage, now: number): void {
    if (message instanceof BadMessage) this.failNext(message.reason, now);
    else if (message.type === 'welcome') this.onWelcome(message, now);
    else if (message.type === 'reconnect') this.advice = message.after;
    else this.failNext("the server's first message was no welcome", now);
  }

  private obeyLive(message: ServerMessage, now: number): void {
    switch (message.type) {
      case 'subscribed':
        return this.channels.onSubscribed(message, now);
      case 'unsubscribed':
        return this.channels.onUnsubscribed(message, now);
      case 'data':
        return this.channels.onData(message, now);
      case 'gap':
        return this.channels.onGap(message, now);
      case 'join':
      case 'leave':
        return this.channels.onPresence(message);
      case 'ack':
        return this.publishing.onAck(message, now);
      case 'nack':
        return this.publishing.onNack(message, now);
      case 'ping':
        return this.putPong();
      case 'pong':
        return this.onPong(message, now);
      case 'heartbeat':
        return this.heartbeat.setInterval(message.interval);
      case 'reconnect':
        return this.onReconnect(message, now);
      case 'history':
      case 'presence':
      case 'reply':
        this.questions.onAnswer(message, now);
        return;
      case 'error':
        if (message.code === 'bad_seq') this.publishing.onBadSeq(message);
        else if (!this.channels.onError(message, now) && !this.questions.onError(message, now))
          this.emitError(message.code, message.reason, message.channel);
        return;
      case 'welcome': // It answers nothing that this client asks.
        return;
    }
  }

  private onWelcome(welcome: Of<'welcome'>, now: number): void {
    const resumed = welcome.resumed && this.ticket !== '';
    if (!isHeaderToken(welcome.ticket, ticketMax) || !isLabel(welcome.session)) {
      this.failNext("the server's ticket cannot be used", now);
      return;
    }
    this.ticket = welcome.ticket;
    this.id = welcome.session;
    this.lossSpreadMs = welcome.lossSpread;
    this.publishing.payloadBytesMax = welcome.maxMessage;
    this.heartbeat.setInterval(welcome.heartbeat.interval);
    this.config.policy?.setBound?.(welcome.heartbeat.max);
    this.adoptNext(now);
    this.emitConnected(resumed, welcome);
    if (!resumed) this.publishing.renewed(welcome.lastSeq ?? null, welcome.refusals ?? []);
    else if (!this.publishing.resumed(welcome.lastSeq ?? null)) return;
    if (resumed) for (const at of welcome.channels) if (this.failed === null) this.channels.named(at, now);
    if (this.failed !== null) return;
    this.channels.sort();
    this.greeting = false;
    this.speakFirst(now);
  }

  private emitConnected(resumed: boolean, welcome: Of<'welcome'>): void {
    const retries = this.retries;
    this.retries = 0;
    this.caughtUpCount = 0;
    const encoding = this.liveCodec?.encoding ?? 'json';
    this.emit({ type: 'connected', resumed, session: this.id, retries, address: welcome.address, encoding });
  }

  /** What is said first: requests without an answer, and the ping whose pong ends the catching up. */
  private speakFirst(now: number): void {
    this.putHeartbeat();
    this.channels.putRequests(now);
    this.questions.put(now);
    this.heartbeat.doubted();
    if (this.heartbeat.tick(now) === 'ping') this.put({ type: 'ping', id: `${this.heartbeat.pingId}` });
    this.welcomePing = this.heartbeat.pingId;
  }

  private onPong(message: Of<'pong'>, now: number): void {
    if (this.questions.onAnswer(message, now)) return;
    if (message.id === undefined || !/^(0|[1-9]\d{0,15})$/.test(message.id)) return;
    const pingId = Number(message.id);
    this.heartbeat.pongReceived(pingId, now);
    this.prober.networkGood(now);
    if (this.welcomePing !== 0 && pingId === this.welcomePing) this.caughtUp(now);
  }

  private caughtUp(now: number): void {
    this.welcomePing = 0;
    if (this.inherited) {
      // What was sent before that ping has been obeyed.
      this.inherited = false;
      this.channels.putRequests(now);
    }
    this.publishing.settled(now);
    this.emit({ type: 'caughtUp', count: this.caughtUpCount });
  }

  /** "leave this connection at a random time in that window" (PROTOCOL.md, reconnect). */
  private onReconnect(message: Of<'reconnect'>, now: number): void {
    const min = Math.min(message.after[0], backoffAdviceMsMax);
    const max = Math.min(message.after[1], backoffAdviceMsMax);
    this.heartbeat.disturbed();
    this.leaveAt = now + min + this.random.below(Math.max(0, max - min) + 1);
  }

  /* --- what is said to it --- */

  private hasRoom(): boolean {
    return this.live >= 0 && this.outBytes < optionalBelowBytes;
  }

  private acksFlushed(all: boolean): void {
    this.unackedMessages = 0;
    this.unackedBytes = 0;
    if (all) this.ackAt = Infinity;
  }

  private putAcks(now: number): void {
    for (const [channel, offset] of this.channels.acksDue(() => this.hasRoom())) this.put({ type: 'ack', channel, offset });
    if (this.hasRoom()) this.acksFlushed(true);
    else this.ackAt = now + ackDelayMs;
  }

  /** "answer to a heartbeat, with acks on board" (PROTOCOL.md, pong). */
  private putPong(): void {
    if (!this.hasRoom()) return;
    if (this.ackAt === Infinity) {
      this.put({ type: 'pong' });
      return;
    }
    const acks = [...this.channels.acksDue((count) => count < acksOfPongMax)];
    this.acksFlushed(acks.length < acksOfPongMax);
    this.put({ type: 'pong', acks });
  }

  /* --- time --- */

  /** When the oldest request has waited so long for its answer that the path is doubtful. */
  private answerLateAt(): number {
    return this.answerFrom + this.heartbeat.softMs();
  }

  private tickLive(now: number): void {
    if (now >= this.answerLateAt()) {
      this.heartbeat.answerLate(this.answerFrom);
      this.answerFrom = now;
      this.doubt('answer_late', now);
    }
    if (now >= this.outputFrom + outputStuckMs) {
      this.outputFrom = now;
      this.doubt('output_stuck', now);
    }
    if (now >= this.ackAt) this.putAcks(now);
    this.channels.tick(now);
    if (now >= this.publishing.saveAgainAt) this.publishing.save(now);
    if (now >= this.leaveAt) {
      this.leaveAt = Infinity;
      if (this.next < 0) this.startAttempt(false, now);
      else this.releaseNext(now);
    }
    this.tickHeartbeat(now);
  }

  private tickHeartbeat(now: number): void {
    const due = this.heartbeat.tick(now);
    if (due === 'ping') this.put({ type: 'ping', id: `${this.heartbeat.pingId}` });
    else if (due === 'suspect') this.suspect(now);
    else if (due === 'dead') this.liveEnded({ cause: 'heartbeat_missed' }, now);
  }

  /* --- doubts and signals --- */

  /** "Rate-limit: 3 pre-dials/min": each costs the server an accept, and a handshake of TLS. */
  private mayPrepare(now: number): boolean {
    this.prepared = this.prepared.filter((at) => now - at < preparedMs);
    if (this.prepared.length >= preparedMax) return false;
    this.prepared.push(now);
    return true;
  }

  /** The soft deadline of a heartbeat has passed. */
  private suspect(now: number): void {
    // "TCP and TLS at the first doubt, the upgrade when the doubt is confirmed" (DESIGN.md "Sessions, resume and handover")
    if (this.next < 0 && !this.offline && this.mayPrepare(now)) this.startAttempt(true, now);
    else if (this.nextHeld && this.link(this.next).state === 'ready') this.attemptUntil = Infinity; // The last doubt's, still there.
    this.doubt('heartbeat_late', now);
  }

  /**
   * waiting: the attempt is made at once. Where the server had named a time it still holds, but not for long: it may not have been the server, but something on the network
   * that was.
   */
  private bringForward(cause: Cause, now: number): void {
    let at = now + signalDelay(this.random);
    this.toldUntil = Math.min(this.toldUntil, now + backoffCapMs);
    at = Math.max(at, this.toldUntil);
    if (at >= this.attemptAt) return;
    this.attemptAt = at;
    this.attemptCause = cause;
  }

  /** connecting: an attempt without an answer is made anew. */
  private redial(cause: Cause, now: number): void {
    if (this.link(this.next).state === 'dialing' && now - this.attemptFrom >= redialMs) this.giveUpNext({ cause }, now);
  }

  /** What was measured, or is being measured, says nothing about what is now. */
  private disturbed(now: number): void {
    this.heartbeat.disturbed();
    this.prober.abandon(now);
  }

  /** The next attempt is a probe. */
  private awaitNetwork(now: number): void {
    const spread = this.random.below(backoffRandomMsMax + 1);
    this.attemptAt = Math.max(now + offlineProbeMs + spread, this.toldUntil);
    this.attemptCause = 'probe';
  }

  /** A first attempt is made whatever the system says: it may be to this machine. */
  private goOffline(now: number): void {
    if (this.attempts === 0) return;
    this.awaitNetwork(now);
    this.move('offline', { cause: 'offline' }, now);
  }

  /**
   * Whether `next` is of no use: nothing can arrive on it, or its packets went out on a way that may not be the way any more. Once its request is out the latter does not count: the
   * server could take it after the new one, and the session would be superseded by itself. It has its deadline.
   */
  private nextIsUseless(facts: NetworkFacts, back: boolean): boolean {
    if (this.next < 0) return false;
    const path = facts.paths[this.next] ?? 'same';
    if (this.requestIsOut(this.next)) return path === 'gone';
    return back || path !== 'same';
  }

  /** Make, or go on to make, the connection that shall follow. This is knowledge and no doubt: no bound of what is made ahead holds. */
  private makeNext(useless: boolean, now: number): void {
    if (this.next >= 0 && !useless) {
      this.releaseNext(now);
      return;
    }
    if (this.next >= 0) this.dropNext();
    this.startAttempt(false, now);
  }

  private networkOfConnected(facts: NetworkFacts, back: boolean, now: number): void {
    const path = facts.paths[this.live] ?? 'same';
    let useless = this.nextIsUseless(facts, back);
    if (useless && (this.nextHeld || path === 'gone')) {
      this.dropNext();
      useless = false;
    }
    if (path === 'gone') {
      this.liveEnded({ cause: 'address_gone' }, now);
      return;
    }
    this.doubt(facts.offline ? 'offline' : 'network_changed', now);
    if (!facts.offline && (path === 'moved' || back || useless)) this.makeNext(useless, now);
  }

  private networkOfAttempt(facts: NetworkFacts, back: boolean, now: number): void {
    const requestIsOut = this.requestIsOut(this.next);
    if (facts.paths[this.next] === 'gone' && (requestIsOut || facts.offline)) {
      this.giveUpNext({ cause: 'address_gone' }, now);
    } else if (facts.offline) {
      return; // It has its deadline.
    } else if (this.nextIsUseless(facts, back)) {
      // Without a pause, and without news for the application: it is connecting as before.
      this.dropNext();
      this.startAttempt(false, now);
    } else {
      this.redial('network_changed', now);
    }
  }

  private signalled(cause: Cause, now: number): void {
    this.disturbed(now);
    if (this.state === 'waiting' && !this.offline) this.bringForward(cause, now);
    else if (this.state === 'connecting' || this.superseded) this.redial(cause, now);
    else if (isConnected(this.state)) {
      if (this.nextHeld) this.dropNext(); // It was prepared on what was.
      this.doubt(cause, now);
    }
  }
}
