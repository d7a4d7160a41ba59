/**
 * heartbeat.ts - a client's doubt about its connection: src/session/heartbeat.h, number for number.
 * Any message received proves the path, so a ping is due an interval after the last receipt, or at once where something makes the path doubtful. After a ping, silence
 * up to the soft deadline is suspicious, up to the hard one it is death. The deadlines follow the measured round trip as RFC 6298 does for TCP. How long the interval is
 * says a policy, which is told what became of the pings, within what the server bears; without one it is the server's.
 */

import * as has from '../features.js';

/** A ping, as its policy sees it. */
export interface Beat {
  /** The silence, both ways, that it ended; 0: not known, it was not the first packet after it. */
  gapMs: number;
  /** It was sent because the interval was over, and not, or not only, for a doubt. */
  scheduled: boolean;
}

/** What a probe, a ping after a long silence on a connection that may be lost, has come to. */
export type ProbeOutcome =
  /** It was answered. */
  | 'alive'
  /** It was not, or the connection was cut in the silence, while the network was good. */
  | 'dead'
  /** It could not be made, or something else came between. */
  | 'unknown';

/** How long a connection may be silent before a ping is due: src/session/heartbeat_policy.h. */
export interface HeartbeatPolicy {
  /** The silence after which the next ping is due. It changes with the facts told, never by itself. */
  intervalMs(): number;
  /** The longest interval that the policy may come to: what the server is to bear. */
  longestMs(): number;
  /** The ping was answered. */
  recordSuccess(beat: Beat, now: number): void;
  /** It was not, and its connection is given up, or was reset. */
  recordFailure(beat: Beat, now: number): void;
  /** Begin anew, as if nothing had been told. What is remembered of other networks stays. */
  reset(): void;
  /** A connection has been welcomed by the server, be it the first one or the next. */
  connected?(now: number): void;
  /** Something happened that can end a connection by itself: what dies around that time says nothing about intervals. */
  disturbed?(): void;
  /** The network in use has this key; empty: it is not known, and nothing about it is remembered. */
  setNetwork?(key: string, now: number): void;
  /** The server does not bear more silence than that, and pings itself; 0: it has no bound. */
  setBound?(boundMs: number): void;
  /** The silence that a probe should keep before its ping, on a second connection that carries nothing; 0: no probe is wanted now. */
  probeGapMs?(now: number): number;
  /** The probe of this gap has ended. A connection that was cut in mid-silence: `dead`, with the silence it had. */
  probeEnded?(gapMs: number, outcome: ProbeOutcome, now: number): void;
}

/** How long a break of a silent connection may go unseen: while somebody looks, while nobody does, and at most. */
export const toleranceForegroundMs = 30_000;
export const toleranceIdleMs = 120_000;
export const toleranceMsMax = 3_600_000;
/** PROTOCOL.md "Heartbeats"; the floor of mobile carriers' NAT timers is near 30 s. */
export const heartbeatIntervalMs = 25_000;
const softMsMin = 1000;
const softMsMax = 4000;
const hardMsMin = 3000;
const hardMsMax = 10_000;
/** Room for one retransmission of TCP, whose timer is at least 200 ms. */
const slackMs = 400;
/** The first send after that much silence is a doubt. */
const quietMs = 10_000;
/** Messages keep coming, but no pong: the way out must be dead. A guess. */
const probeMsMax = 30_000;

/** `suspect`: told once per ping, the soft deadline has passed in silence; `dead`: the hard one. */
export type HeartbeatDue = 'ok' | 'ping' | 'suspect' | 'dead';

function clamp(value: number, low: number, high: number): number {
  return Math.min(Math.max(value, low), high);
}

export class Heartbeat {
  /** The one in force at the server: more silence it ends. */
  serverIntervalMs = heartbeatIntervalMs;
  /** Of the last ping sent. */
  pingId = 0;
  /** The ping without a pong; null: none is under way. */
  pingedAt: number | null = null;
  private receivedAt = 0;
  /** @only takesParts */
  private sentAt = 0;
  private readonly beat: Beat = { gapMs: 0, scheduled: false };
  /** Doubt: since when something waits for an answer; null: nothing does. */
  private askedAt: number | null = null;
  /** The last sign of life since the ping, be it a receipt or output that moved; else the ping's time, or askedAt before it. */
  private silentFrom = 0;
  private srttMs = 0;
  private rttvarMs = 0;
  private hasMeasured = false;
  /** Ping at the next tick. */
  private doubt = false;
  /** `suspect` has been told for this silence. */
  private suspected = false;

  constructor(private readonly policy: HeartbeatPolicy | null) {}

  /** The server's interval from now on; 0 is ignored. A policy may ask for less, and gets no more. */
  setInterval(intervalMs: number): void {
    if (intervalMs > 0) this.serverIntervalMs = intervalMs;
  }

  /** The silence after which a ping is due. */
  intervalMs(): number {
    return this.policy === null ? this.serverIntervalMs : Math.min(this.policy.intervalMs(), this.serverIntervalMs);
  }

  /** A connection has opened; the round trips measured on others stay as a first guess. */
  opened(now: number): void {
    this.receivedAt = now;
    this.pingedAt = null;
    this.askedAt = null;
    this.doubt = false;
    this.suspected = false;
    if (has.takesParts) this.policy?.connected?.(now);
  }

  /** The connection has ended without our doing and without a word: with a ping on its way, as if that had got no answer. */
  lost(now: number): void {
    if (this.pingedAt !== null) this.tellFailure(now);
  }

  /**
   * A round trip was measured. RFC 6298 section 2: "SRTT <- R, RTTVAR <- R/2" for the first measurement, then "RTTVAR <- (1 - beta) * RTTVAR + beta *
   * |SRTT - R'|, SRTT <- (1 - alpha) * SRTT + alpha * R'" with alpha 1/8 and beta 1/4.
   */
  measured(rttMs: number): void {
    const r = clamp(Math.floor(rttMs), 0, probeMsMax);
    if (!this.hasMeasured) {
      this.hasMeasured = true;
      this.srttMs = r;
      this.rttvarMs = Math.floor(r / 2);
      return;
    }
    this.rttvarMs = Math.floor((3 * this.rttvarMs + Math.abs(this.srttMs - r)) / 4);
    this.srttMs = Math.floor((7 * this.srttMs + r) / 8);
  }

  dataReceived(now: number): void {
    this.receivedAt = now;
    this.silentFrom = now;
    this.suspected = false;
  }

  /**
   * The socket has taken some of a backlog of output. A ping may lie behind megabytes on a slow line: while they move, the line is slow, not dead.
   */
  outputMoved(now: number): void {
    this.silentFrom = now;
  }

  dataSent(now: number): void {
    if (has.takesParts) this.sentAt = now;
  }

  /** The network changed, the machine woke up, or the server asked for a move: what ends now says nothing about intervals. @only takesParts */
  disturbed(): void {
    if (has.takesParts) this.policy?.disturbed?.();
  }

  /** Something makes the path doubtful. */
  doubted(): void {
    if (this.pingedAt === null) this.doubt = true;
  }

  /**
   * A request that was put out at askedAt has had no answer for the soft deadline. It was a ping in all but name: the silence that ends in death counts from there,
   * and not from the ping that follows now.
   */
  answerLate(askedAt: number): void {
    if (this.pingedAt !== null) return;
    this.doubt = true;
    this.askedAt = askedAt;
  }

  /** The application sends something: whether that is a doubt, after so long a silence. */
  sending(now: number): boolean {
    return now - this.receivedAt >= quietMs;
  }

  /** The id tells which ping is answered, so that no measurement is ambiguous (Karn's problem, RFC 6298 section 3). */
  pongReceived(pingId: number, now: number): void {
    if (this.pingedAt === null || pingId !== this.pingId) return;
    this.measured(now - this.pingedAt);
    this.pingedAt = null;
    this.policy?.recordSuccess(this.beat, now);
  }

  softMs(): number {
    // Nothing measured yet: RFC 6298 section 2.1 begins with one second.
    const rto = this.hasMeasured ? this.srttMs + 4 * this.rttvarMs : 1000;
    return clamp(rto + slackMs, softMsMin, softMsMax);
  }

  hardMs(): number {
    return clamp(2 * this.softMs(), hardMsMin, hardMsMax);
  }

  /** When tick() has something to say; 0: at once. */
  deadline(): number {
    if (this.pingedAt === null) return this.doubt ? 0 : this.receivedAt + this.intervalMs();
    if (!this.suspected) return Math.min(this.silentFrom + this.softMs(), this.deadAt());
    return this.deadAt();
  }

  tick(now: number): HeartbeatDue {
    if (now < this.deadline()) return 'ok';
    if (this.pingedAt === null) return this.ping(now);
    if (now >= this.deadAt()) {
      this.tellFailure(now);
      return 'dead';
    }
    this.suspected = true;
    return 'suspect';
  }

  private deadAt(): number {
    return Math.min(this.silentFrom + this.hardMs(), (this.pingedAt ?? 0) + probeMsMax);
  }

  /** What came after the ping proves that the silence before it did no harm. */
  private tellFailure(now: number): void {
    if (has.takesParts && this.pingedAt !== null && this.receivedAt > this.pingedAt) this.beat.gapMs = 0;
    this.policy?.recordFailure(this.beat, now);
  }

  private ping(now: number): HeartbeatDue {
    if (has.takesParts) this.beat.gapMs = now - Math.max(this.receivedAt, this.sentAt);
    this.beat.scheduled = now >= this.receivedAt + this.intervalMs();
    this.pingId++;
    this.pingedAt = now;
    // From when on the silence is held against the path.
    this.silentFrom =
      this.askedAt === null ? now : Math.min(now, Math.max(this.askedAt, this.receivedAt, this.silentFrom));
    this.askedAt = null;
    this.suspected = false;
    this.doubt = false;
    return 'ping';
  }
}
