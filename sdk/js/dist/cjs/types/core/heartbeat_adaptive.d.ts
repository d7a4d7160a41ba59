/**
 * heartbeat_adaptive.ts - the policy that keeps two questions apart: how long the application tolerates a break that nobody sees (`tolerance`), and how much silence the
 * network bears (`lo`, the longest gap proven, and `hi`, the shortest proven fatal). src/session/heartbeat_adaptive.h, number for number.
 *
 *   interval = min(tolerance, server's bound, 0.9 lo), at least 10 s unless the application tolerates less, shortened by a random 0 to 10 %
 *
 * Before anything is proven it is 25 s. lo grows by probes on a connection that may be lost, x 1.6 until one dies or the tolerance is reached, then by halving [lo, hi]
 * until it is narrower than 5 s or 15 % of lo. Common limits of proxies (30, 60, 100, 240, 300, 350, 600 s) are kept away from by 8 %, unless a gap beyond has been proven.
 *
 * A death counts against its gap only if the unanswered ping was the first packet after it, the next connection on the same network stood within 10 s, and nothing else
 * explains it. Against a gap that was proven it takes two of them, with no success of that gap in between: then the path has changed, and all begins again, at half of it
 * or at 25 s.
 */
import type { Beat, HeartbeatPolicy, ProbeOutcome } from './heartbeat.js';
import { type HeartbeatMemory } from './heartbeat_memory.js';
import type { Random } from './random.js';
/** The server's own ping comes when the bound is over: a probe must be over before. A second more than any round trip. */
export declare const boundRoomMs = 1000;
export declare const toleranceForegroundMs = 30000;
export declare const toleranceIdleMs = 120000;
export declare const toleranceMsMax = 3600000;
export declare class AdaptiveHeartbeat implements HeartbeatPolicy {
    private readonly memory;
    private readonly random;
    private toleranceMs;
    /** The server's; 0: none. */
    private boundMs;
    /** The one in use. */
    private net;
    /** Of the interval now in force. */
    private jitterPermille;
    /** A death whose proof, the next connection, is to come; 0: none. */
    private deadGapMs;
    private deadAt;
    /** Deaths that contradict lo, and the gap of the first of two. */
    private strikes;
    private strikeGapMs;
    /** Since the last ping whose end was told. */
    private isDisturbed;
    /** A scheduled ping was answered since the last probe: there is silence to save on. */
    private idle;
    private noProbeUntil;
    constructor(toleranceMs: number, memory: HeartbeatMemory | null, random: Random);
    /** The application has come to the foreground, or left it. */
    setTolerance(toleranceMs: number): void;
    intervalMs(): number;
    longestMs(): number;
    recordSuccess(beat: Beat, now: number): void;
    recordFailure(beat: Beat, now: number): void;
    connected(now: number): void;
    disturbed(): void;
    reset(): void;
    setNetwork(key: string, now: number): void;
    setBound(boundMs: number): void;
    probeGapMs(now: number): number;
    probeEnded(gapMs: number, outcome: ProbeOutcome, now: number): void;
    /** The longest interval that anybody wants. */
    private limitMs;
    /** The longest gap worth probing: the limit with the same margin that lo has, as far as the server lets a probe be. */
    private goalMs;
    /** Whether [lo, hi] is narrow enough, or lo is as far as it need be. */
    private settled;
    /** What the network bears, as far as is known. */
    private safeMs;
    private drawJitter;
    private learnNothing;
    private remember;
    private gapSurvived;
    private gapKilled;
    private nextGapMs;
}
