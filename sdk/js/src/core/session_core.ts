/**
 * session_core.ts - what the files of the session share; used by them alone (src/session/client_session_impl.h).
 *   session.ts          what the application and the driver call
 *   session_attempt.ts  when a connection is made, and when it is left
 *   session_ending.ts   what ends a connection or an attempt, and what that means
 *   session_clock.ts    when something is due, and doing it then
 *   session_signal.ts   doubts, and what the system says about the network
 *   session_recv.ts     the welcome, and which of the others a message is for
 *   session_send.ts     what is acknowledged and answered, and when
 *   publishing.ts       publishes and their answers, and what the outbox's store must know
 *   channels.ts         subscriptions and their messages
 *   questions.ts        history, presence, pings and calls
 *   prober.ts           the third slot: how much silence the network bears
 */
import { causeTexts, closeCodes, type Cause, type State } from '../codes.js';
import * as has from '../features.js';
import { Backoff } from './backoff.js';
import { Channels } from './channels.js';
import type { CodecKind } from './codec.js';
import type { EndingEvent, SessionEvent } from './events.js';
import { Heartbeat } from './heartbeat.js';
import { Link } from './link.js';
import type { ClientMessage } from './message.js';
import type { Prober } from './prober.js';
import { Publishing } from './publishing.js';
import { Questions } from './questions.js';
import type { Random } from './random.js';
import { beginClose, endFailed } from './session_ending.js';
import { probeSlot, type SessionConfig, type Why } from './session_types.js';
import { assert, isConnected, stateMayFollow } from './state.js';

/** For the driver to write a close frame. */
const lingerMs = 1000;

export class SessionCore {
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
  /** null: this library cannot ask. @only asks */
  readonly questions: Questions | null = null;
  /** A welcome is being looked at, or `superseded`: requests wait until it has been. */
  greeting = false;
  /** The live connection was closed in favour of `next`, as it seems: nothing is told, and nothing said, until that is welcomed or fails. */
  superseded = false;
  /** The session was another process's, and its subscriptions are not all ended yet. @only keepsOutbox */
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
  readonly links: readonly [Link, Link, Link];
  /** @only takesParts */
  readonly prober: Prober | null = null;
  token: string | null;
  /** The slot that shall follow; -1: none. */
  next = -1;
  /** `next` is prepared only: the upgrade waits until the doubt is confirmed. @only prepares */
  nextHeld = false;
  /** The highest attempt whose request went out and whose answer was not waited for. */
  givenUp = 0;
  /** waiting, offline: when the next one is due, and why then. */
  attemptAt: number;
  attemptCause: Cause = 'started';
  /** The server has named a time, which signals bring forward only within bounds; 0: it has not. */
  toldUntil = 0;
  /** `next`: when it was begun; when it is given up (Infinity: it is prepared, and the doubt stands); when its request was put out. */
  attemptFrom = 0;
  attemptUntil = Infinity;
  /** @only prepares */
  requestAt = 0;
  /** @only prepares */
  prepared: number[] = [];
  /** doubtful: anything that comes after this ping was sent proves the connection. */
  proofPing = 0;
  offline = false;
  /** live: when the server's `reconnect` is to be followed; Infinity: there is none. */
  leaveAt = Infinity;
  /** A `reconnect` on a connection that got no welcome. */
  advice: readonly [number, number] | null = null;
  /** closing: the wait for the server's answer to `bye`. */
  closeUntil = Infinity;
  lossSpreadMs = 0;
  retries = 0;
  failedCode = 0;
  /** Refusals in a row for want of a good token. */
  tokenRefusals = 0;
  /** Sent behind the welcome; its pong ends catching up and settling. 0: had. */
  welcomePing = 0;
  badMessages = 0;
  unackedMessages = 0;
  unackedBytes = 0;
  /** When acknowledgements are due; Infinity: nothing to acknowledge. */
  ackAt = Infinity;
  /** Output waits, and the socket has taken nothing since; Infinity: none waits. */
  outputFrom = Infinity;
  /** The last answer, or the first request without one; Infinity: none waits. */
  answerFrom = Infinity;
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
    if (has.asks) this.questions = new Questions(this);
    this.publishing = new Publishing(this);
    if (has.takesParts) this.prober = config.prober?.(this, this.links[probeSlot]) ?? null;
  }

  get closing(): boolean {
    return this.state === 'ended' || this.state === 'closing' || this.closeWanted;
  }

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

  /**
   * A call from outside: in it events are told, and what they have asked for is done when it is over. What a callback of the driver's throws goes through to the caller, and leaves the
   * session as between two calls.
   */
  within<T>(now: number, work: () => T): T {
    this.busy++;
    try {
      return work();
    } finally {
      this.leave(now);
    }
  }

  private leave(now: number): void {
    try {
      if (this.busy === 1) this.finish(now);
    } finally {
      this.busy--;
    }
  }

  private finish(now: number): void {
    try {
      if (this.failed !== null && this.live >= 0) endFailed(this, this.failed, now);
      if (this.closeWanted) beginClose(this, now);
      if (has.asks) this.questions?.tellLost();
    } finally {
      for (const link of this.links)
        link.lingerUntil =
          link.state !== 'closing' ? Infinity : link.lingerUntil === Infinity ? now + lingerMs : link.lingerUntil;
    }
  }

  /** @only takesParts */
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

  get ackPlanned(): boolean {
    return this.ackAt !== Infinity;
  }

  /** A request waits for its answer. */
  awaitingAnswer(now: number): void {
    if (this.answerFrom === Infinity) this.answerFrom = now;
  }

  /** One has been answered, and others, or none, wait. */
  answered(now: number): void {
    const waits = this.publishing.outbox.written > 0 || this.channels.asked > 0 || (has.asks && (this.questions?.asked ?? 0) > 0);
    this.answerFrom = waits ? now : Infinity;
  }

  /** Something makes the connection doubtful: it is verified. Does nothing where there is none. */
  doubt(cause: Cause, now: number): void {
    if (!isConnected(this.state) || this.superseded) return;
    if (this.state === 'live') this.proofPing = this.heartbeat.pingId + (this.heartbeat.pingedAt === null ? 1 : 0);
    this.heartbeat.doubted(); // It asks at once, if it is not asking.
    if (this.state === 'live') this.move('doubtful', { cause }, now);
  }

  link(slot: number): Link {
    const link = this.links[slot];
    assert(link !== undefined, `there is no slot ${slot}`);
    return link;
  }

  /** Change the state, and tell: everything else has been set before. */
  move(to: State, why: Why, now: number): void {
    const from = this.state;
    assert(stateMayFollow(from, to), `a session cannot go from ${from} to ${to}`);
    this.state = to;
    if (has.explains) this.check();
    this.emit({ type: 'state', from, to, ...this.ending(why), nextAttempt: this.nextAttemptMs(now) });
  }

  /** What holds in each state. @only explains */
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
    const { cause, evidence = has.explains ? causeTexts[cause] : '', reason = '', closeCode = 0, httpStatus = 0 } = why;
    return { cause, evidence, reason, closeCode, httpStatus };
  }

  emitEnding(type: EndingEvent['type'], why: Why, nextAttempt: number): void {
    this.emit({ type, ...this.ending(why), nextAttempt, asked: why.asked === true });
  }
}
