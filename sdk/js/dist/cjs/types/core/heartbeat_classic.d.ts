/**
 * heartbeat_classic.ts - the reference policy: from 25 s, x 1.2 after 5 pings answered in a row, x 0.5 after 2 in a row that were not, between 10 s and 60 s. Only
 * scheduled pings count: a verification that is answered proves no interval, and one follows each reconnect, so that it would part every two failures.
 */
import type { Beat, HeartbeatPolicy } from './heartbeat.js';
export declare class ClassicHeartbeat implements HeartbeatPolicy {
    private interval;
    /** In a row, since the last change; one of the two is 0. */
    private successes;
    private failures;
    intervalMs(): number;
    longestMs(): number;
    recordSuccess(beat: Beat): void;
    recordFailure(beat: Beat): void;
    reset(): void;
}
