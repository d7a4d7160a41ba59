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
import { toleranceForegroundMs, toleranceMsMax, type Beat, type HeartbeatPolicy, type ProbeOutcome } from './heartbeat.js';
import { gapMsMax, type HeartbeatMemory, type Network } from './heartbeat_memory.js';
import type { Random } from './random.js';

/** Below the 30 s of the shortest proxies and NATs that are in common use. */
const startMs = 25_000;
const floorMs = 10_000;
const jitterPermilleMax = 100;
/** [lo, hi] is narrow enough, or where it is so much of lo. */
const widthMs = 5000;
const widthPercent = 15;
const cliffPercent = 8;
/** A network that takes longer was away. */
const redialMs = 10_000;
/** The wall is tried again. */
const reprobeMs = 24 * 3600 * 1000;
/** After a probe that could not be made; a guess. */
const retryMs = 600_000;
/** The server's own ping comes when the bound is over: a probe must be over before. A second more than any round trip. */
export const boundRoomMs = 1000;
const cliffsS = [600, 350, 300, 240, 100, 60, 30];

/** Not where a proxy's timer is likely to be, unless this path has none there: a gap beyond it has been survived. */
function besideCliffs(ms: number, lo: number): number {
  for (const cliff of cliffsS) {
    const below = cliff * 10 * (100 - cliffPercent);
    const above = cliff * 10 * (100 + cliffPercent);
    if (ms > below && ms <= above && lo <= above) ms = below; // which may be another's: they are looked at from the top.
  }
  return ms;
}

function unknownNetwork(key: string): Network {
  return { key, lo: 0, hi: 0, probedAt: 0, seenAt: 0 };
}

export class AdaptiveHeartbeat implements HeartbeatPolicy {
  private toleranceMs = toleranceForegroundMs;
  /** The server's; 0: none. */
  private boundMs = 0;
  /** The one in use. */
  private net = unknownNetwork('');
  /** Of the interval now in force. */
  private jitterPermille = 0;
  /** A death whose proof, the next connection, is to come; 0: none. */
  private deadGapMs = 0;
  private deadAt = 0;
  /** Deaths that contradict lo, and the gap of the first of two. */
  private strikes = 0;
  private strikeGapMs = 0;
  /** Since the last ping whose end was told. */
  private isDisturbed = false;
  /** A scheduled ping was answered since the last probe: there is silence to save on. */
  private idle = false;
  private noProbeUntil = 0;

  constructor(
    toleranceMs: number,
    private readonly memory: HeartbeatMemory | null,
    private readonly random: Random,
  ) {
    this.setTolerance(toleranceMs);
    this.drawJitter();
  }

  /** The application has come to the foreground, or left it. */
  setTolerance(toleranceMs: number): void {
    this.toleranceMs = Math.min(toleranceMs === 0 ? toleranceForegroundMs : toleranceMs, toleranceMsMax);
  }

  intervalMs(): number {
    let ms = Math.max(besideCliffs(this.safeMs(), this.net.lo), floorMs);
    ms = besideCliffs(Math.min(ms, this.limitMs()), this.net.lo);
    return ms - Math.floor((ms * this.jitterPermille) / 1000);
  }

  longestMs(): number {
    return this.limitMs();
  }

  recordSuccess(beat: Beat, now: number): void {
    if (!this.isDisturbed) this.gapSurvived(beat.gapMs);
    this.isDisturbed = false;
    if (beat.scheduled) {
      this.idle = true;
      this.drawJitter();
    }
    this.remember(now);
  }

  recordFailure(beat: Beat, now: number): void {
    // No path that is of use forgets sooner than the floor.
    if (!this.isDisturbed && beat.gapMs >= Math.min(floorMs, Math.floor(this.toleranceMs / 2))) {
      this.deadGapMs = beat.gapMs;
      this.deadAt = now;
    }
    this.isDisturbed = false;
  }

  connected(now: number): void {
    if (this.deadGapMs > 0 && now - this.deadAt < redialMs) {
      this.gapKilled(this.deadGapMs);
      this.remember(now);
    }
    this.deadGapMs = 0;
    this.isDisturbed = false;
    this.drawJitter();
  }

  disturbed(): void {
    if (this.net.key === '') this.learnNothing('');
    this.deadGapMs = 0;
    this.isDisturbed = true;
  }

  reset(): void {
    if (this.net.key !== '') this.memory?.drop(this.net.key);
    this.learnNothing(this.net.key);
    this.isDisturbed = false;
  }

  setNetwork(key: string, now: number): void {
    if (key === this.net.key) return;
    this.learnNothing(key);
    this.isDisturbed = true;
    const known = key === '' ? undefined : this.memory?.find(key, now);
    if (known !== undefined) this.net = known;
  }

  setBound(boundMs: number): void {
    this.boundMs = boundMs;
  }

  probeGapMs(now: number): number {
    const gap = Math.min(this.nextGapMs(now), this.goalMs());
    if (!this.idle || this.net.lo === 0 || now < this.noProbeUntil) return 0;
    return gap > this.net.lo ? gap : 0;
  }

  probeEnded(gapMs: number, outcome: ProbeOutcome, now: number): void {
    this.idle = false;
    if (outcome === 'unknown') {
      this.noProbeUntil = now + retryMs;
      return;
    }
    if (outcome === 'alive') this.gapSurvived(gapMs);
    else this.gapKilled(gapMs);
    this.net.probedAt = now;
    this.remember(now);
  }

  /** The longest interval that anybody wants. */
  private limitMs(): number {
    return this.boundMs === 0 ? this.toleranceMs : Math.min(this.toleranceMs, this.boundMs);
  }

  /** The longest gap worth probing: the limit with the same margin that lo has, as far as the server lets a probe be. */
  private goalMs(): number {
    const goal = Math.floor((this.limitMs() * 10 + 8) / 9);
    return Math.min(goal, this.boundMs > boundRoomMs ? this.boundMs - boundRoomMs : Infinity, gapMsMax);
  }

  /** Whether [lo, hi] is narrow enough, or lo is as far as it need be. */
  private settled(): boolean {
    const { lo, hi } = this.net;
    return (
      lo >= this.goalMs() ||
      (hi > 0 && lo > 0 && hi - lo <= Math.max(widthMs, Math.floor((lo * widthPercent) / 100)))
    );
  }

  /** What the network bears, as far as is known. */
  private safeMs(): number {
    const { lo, hi } = this.net;
    const proven = Math.floor((lo * 9) / 10);
    if (this.settled()) return hi === 0 ? Math.max(proven, Math.min(lo, startMs)) : proven;
    if (hi === 0 || lo >= startMs) return Math.max(proven, startMs);
    return Math.max(proven, Math.min(Math.floor(hi / 2), startMs));
  }

  private drawJitter(): void {
    this.jitterPermille = this.random.below(jitterPermilleMax + 1);
  }

  private learnNothing(key: string): void {
    this.net = unknownNetwork(key);
    this.deadGapMs = 0;
    this.strikes = 0;
    this.idle = false;
    this.noProbeUntil = 0;
  }

  private remember(now: number): void {
    this.net.seenAt = now;
    if (this.net.key !== '') this.memory?.put(this.net);
  }

  private gapSurvived(gapMs: number): void {
    const net = this.net;
    gapMs = Math.min(gapMs, gapMsMax);
    net.lo = Math.max(net.lo, gapMs);
    if (net.hi <= net.lo) net.hi = 0; // The wall is no more.
    if (gapMs >= this.strikeGapMs) this.strikes = 0;
  }

  private gapKilled(gapMs: number): void {
    const net = this.net;
    gapMs = Math.min(gapMs, gapMsMax);
    if (gapMs > net.lo) {
      net.hi = net.hi === 0 ? gapMs : Math.min(net.hi, gapMs);
      return;
    }
    this.strikeGapMs = this.strikes === 0 ? gapMs : Math.max(gapMs, this.strikeGapMs);
    if (++this.strikes < 2) return;
    this.strikes = 0;
    net.lo = 0;
    net.hi = this.strikeGapMs;
  }

  private nextGapMs(now: number): number {
    const { lo, hi, probedAt } = this.net;
    if (!this.settled()) return hi === 0 ? Math.floor((lo * 8) / 5) : Math.floor((lo + hi) / 2);
    if (lo < this.goalMs() && now - probedAt >= reprobeMs) return hi;
    return 0;
  }
}
