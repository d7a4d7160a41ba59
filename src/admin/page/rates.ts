/** rates.ts - what two answers of /api/stats say together. Pure. */
import type { Bucket, Stats } from './types.js';

/** Longer ago, and nobody knows what was between: the page was hidden, or the server away. */
const togetherMs = 8000;

/**
 * next       a moment later of the same life of the server
 * same       no time has passed on its clock, or it was set back: nothing can be divided by that
 * apart      too long after the one before
 * restarted  another server, or another life of it: its counters began anew
 */
export type Step = 'next' | 'same' | 'apart' | 'restarted';

export function stepBetween(before: Stats, now: Stats): Step {
  if (before.serverId !== now.serverId || before.started !== now.started) return 'restarted';
  if (now.time <= before.time) return 'same';
  return now.time - before.time > togetherMs ? 'apart' : 'next';
}

/** How much more it is; null where it is not known, or has fallen: a counter that falls has begun anew. */
export function risen(before: number | null, now: number | null): number | null {
  return before === null || now === null || now < before ? null : now - before;
}

/** What was counted between two answers, bucket by bucket; null where one has fallen. A bucket that was empty is not told. */
export function bucketsBetween(before: readonly Bucket[], now: readonly Bucket[]): Bucket[] | null {
  const was = new Map(before);
  const more: Bucket[] = [];
  for (const [bound, count] of now) {
    const n = count - (was.get(bound) ?? 0);
    if (n < 0) return null;
    if (n > 0) more.push([bound, n]);
    was.delete(bound);
  }
  return was.size > 0 ? null : more;
}

/** An upper bound of that share of them, in ms; null where there are none. Above all bounds: the largest that is known. */
export function quantileMs(buckets: readonly Bucket[], share: number): number | null {
  const total = buckets.reduce((sum, [, count]) => sum + count, 0);
  if (total === 0) return null;
  let [below, last] = [0, 0];
  for (const [bound, count] of buckets) {
    below += count;
    last = bound ?? last;
    if (below >= share * total) break;
  }
  return last * 1000;
}
