/**
 * heartbeat.ts - a client's doubt about its connection: src/session/heartbeat.h, number for number.
 * Any message received proves the path, so a ping is due an interval after the last receipt, or at once where something makes the path doubtful. After a ping, silence
 * up to the soft deadline is suspicious, up to the hard one it is death. The deadlines follow the measured round trip as RFC 6298 does for TCP. How long the interval is
 * says a policy, which is told what became of the pings, within what the server bears; without one it is the server's.
 */
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
'alive'
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
/** PROTOCOL.md "Heartbeats"; the floor of mobile carriers' NAT timers is near 30 s. */
export declare const heartbeatIntervalMs = 25000;
/** `suspect`: told once per ping, the soft deadline has passed in silence; `dead`: the hard one. */
export type HeartbeatDue = 'ok' | 'ping' | 'suspect' | 'dead';
export declare class Heartbeat {
    private readonly policy;
    /** The one in force at the server: more silence it ends. */
    serverIntervalMs: number;
    /** Of the last ping sent. */
    pingId: number;
    /** The ping without a pong; null: none is under way. */
    pingedAt: number | null;
    private receivedAt;
    private sentAt;
    private readonly beat;
    /** Doubt: since when something waits for an answer; null: nothing does. */
    private askedAt;
    /** The last sign of life since the ping, be it a receipt or output that moved; else the ping's time, or askedAt before it. */
    private silentFrom;
    private srttMs;
    private rttvarMs;
    private hasMeasured;
    /** Ping at the next tick. */
    private doubt;
    /** `suspect` has been told for this silence. */
    private suspected;
    constructor(policy: HeartbeatPolicy | null);
    /** The server's interval from now on; 0 is ignored. A policy may ask for less, and gets no more. */
    setInterval(intervalMs: number): void;
    /** The silence after which a ping is due. */
    intervalMs(): number;
    /** A connection has opened; the round trips measured on others stay as a first guess. */
    opened(now: number): void;
    /** The connection has ended without our doing and without a word: with a ping on its way, as if that had got no answer. */
    lost(now: number): void;
    /**
     * A round trip was measured. RFC 6298 section 2: "SRTT <- R, RTTVAR <- R/2" for the first measurement, then "RTTVAR <- (1 - beta) * RTTVAR + beta *
     * |SRTT - R'|, SRTT <- (1 - alpha) * SRTT + alpha * R'" with alpha 1/8 and beta 1/4.
     */
    measured(rttMs: number): void;
    dataReceived(now: number): void;
    /**
     * The socket has taken some of a backlog of output. A ping may lie behind megabytes on a slow line: while they move, the line is slow, not dead.
     */
    outputMoved(now: number): void;
    dataSent(now: number): void;
    /** The network changed, the machine woke up, or the server asked for a move: what ends now says nothing about intervals. */
    disturbed(): void;
    /** Something makes the path doubtful. */
    doubted(): void;
    /**
     * A request that was put out at askedAt has had no answer for the soft deadline. It was a ping in all but name: the silence that ends in death counts from there,
     * and not from the ping that follows now.
     */
    answerLate(askedAt: number): void;
    /** The application sends something: whether that is a doubt, after so long a silence. */
    sending(now: number): boolean;
    /** The id tells which ping is answered, so that no measurement is ambiguous (Karn's problem, RFC 6298 section 3). */
    pongReceived(pingId: number, now: number): void;
    softMs(): number;
    hardMs(): number;
    /** When tick() has something to say; 0: at once. */
    deadline(): number;
    tick(now: number): HeartbeatDue;
    private deadAt;
    /** What came after the ping proves that the silence before it did no harm. */
    private tellFailure;
    private ping;
}
