/** derive.ts - the points of all lines at one moment, of one worker or of all. Pure. */
import { allLines, isOfFamily } from './metrics.js';
import type { Source } from './metrics.js';
import { bucketsBetween, quantileMs, risen } from './rates.js';
import { numberOf } from './types.js';
import type { Bucket, Histogram, Part } from './types.js';

export interface Moments {
  /** Missing where there is none that `now` may be compared with: then nothing is said of rates. */
  readonly before: Part | undefined;
  readonly now: Part;
  /** Between the two, more than 0. */
  readonly seconds: number;
  /** For quantiles: up to ten seconds ago, so that there is something to measure. Missing like `before`. */
  readonly earlier: Part | undefined;
  /** How many workers the parts are of. */
  readonly workers: number;
}

/** Only what is known: a line without a point has a hole there. */
export function pointsAt(moments: Moments): Map<string, number> {
  const points = new Map<string, number>();
  for (const { key, source } of allLines) put(points, key, pointOf(source, moments));
  for (const name of Object.keys(moments.now)) if (isOfFamily(name)) put(points, name, perSecond(name, moments));
  return points;
}

function put(points: Map<string, number>, key: string, value: number | null): void {
  if (value !== null) points.set(key, value);
}

function pointOf(source: Source, moments: Moments): number | null {
  switch (source.of) {
    case 'gauge':
      return numberOf(moments.now, source.name);
    case 'rate':
      return perSecond(source.name, moments);
    case 'share': {
      const [part, whole] = [numberOf(moments.now, source.part), numberOf(moments.now, source.whole)];
      return part === null || whole === null || whole === 0 ? null : (100 * part) / whole;
    }
    case 'quantile': {
      const buckets = measured(source.histogram, moments);
      return buckets && quantileMs(buckets, source.share);
    }
    case 'busy':
      return busyPercent(moments);
  }
}

function perSecond(name: string, { before, now, seconds }: Moments): number | null {
  const more = risen(numberOf(before, name), numberOf(now, name));
  return more === null ? null : more / seconds;
}

const histogramOf = (part: Part | undefined, name: string): Histogram | undefined => part?.histograms?.[name];

function measured(name: string, { earlier, now }: Moments): Bucket[] | null {
  const [was, is] = [histogramOf(earlier, name)?.buckets, histogramOf(now, name)?.buckets];
  return was && is ? bucketsBetween(was, is) : null;
}

/** Seconds in which it worked: told by the sum of a histogram, or, of a worker told in brief, by itself. */
const worked = (part: Part | undefined): number | null => histogramOf(part, 'loop_turn_seconds')?.sum ?? numberOf(part, 'busy_seconds');

function busyPercent({ before, now, seconds, workers }: Moments): number | null {
  const more = risen(worked(before), worked(now));
  return more === null ? null : Math.min(100, (100 * more) / (seconds * workers));
}
