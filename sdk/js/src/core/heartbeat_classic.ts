/**
 * heartbeat_classic.ts - the reference policy: from 25 s, x 1.2 after 5 pings answered in a row, x 0.5 after 2 in a row that were not, between 10 s and 60 s. Only
 * scheduled pings count: a verification that is answered proves no interval, and one follows each reconnect, so that it would part every two failures.
 */
import type { Beat, HeartbeatPolicy } from './heartbeat.js';

const startMs = 25_000;
const floorMs = 10_000;
const ceilingMs = 60_000;
const successesNeeded = 5;
const failuresNeeded = 2;

export class ClassicHeartbeat implements HeartbeatPolicy {
  private interval = startMs;
  /** In a row, since the last change; one of the two is 0. */
  private successes = 0;
  private failures = 0;

  intervalMs(): number {
    return this.interval;
  }

  longestMs(): number {
    return ceilingMs;
  }

  recordSuccess(beat: Beat): void {
    if (!beat.scheduled) return;
    this.failures = 0;
    if (++this.successes < successesNeeded) return;
    this.successes = 0;
    this.interval = Math.min(Math.floor((this.interval * 6) / 5), ceilingMs);
  }

  recordFailure(beat: Beat): void {
    if (!beat.scheduled) return;
    this.successes = 0;
    if (++this.failures < failuresNeeded) return;
    this.failures = 0;
    this.interval = Math.max(Math.floor(this.interval / 2), floorMs);
  }

  /** @only takesParts */
  reset(): void {
    this.interval = startMs;
    this.successes = this.failures = 0;
  }
}
