/**
 * recorder.ts - the last ten minutes of the server's numbers, in all and of each worker, from the answers of /api/stats. It has no clock: all times are the server's.
 * What it keeps is bounded: a row a second, a column for each line that the answers have a number for.
 */
import { pointsAt } from './derive.js';
import { stepBetween } from './rates.js';
import type { Step } from './rates.js';
import { Ring } from './ring.js';
import type { Part, Stats } from './types.js';

export const keptSeconds = 600;
/** Answers come once a second, and some rows are breaks. */
const rowsMax = 700;
const leastSeconds = 30;
const measuredForMs = 10_000;
/** As long as the overview remembers what was wrong. */
export const minuteMs = 60_000;

/** Something that a chart marks with a line. */
export interface Mark {
  readonly at: number;
  readonly text: string;
}

/** What a chart draws. Times are seconds since 1970. */
export interface Frame {
  readonly from: number;
  readonly to: number;
  readonly times: readonly number[];
  readonly marks: readonly Mark[];
  names(): Iterable<string>;
  values(key: string): (number | null)[];
}

/** null: all workers together. */
export type Scope = number | null;

export class Recorder {
  private answers: Stats[] = [];
  private times = new Ring(rowsMax);
  private readonly points = new Map<Scope, Ring>();
  private marks: Mark[] = [];

  get newest(): Stats | undefined {
    return this.answers.at(-1);
  }

  /** The oldest answer of this life of the server that is no more than a minute old. */
  get minuteAgo(): Stats | undefined {
    return this.answers[0];
  }

  /** Returns what it was to the one before; the first one is 'apart'. */
  take(stats: Stats): Step {
    const before = this.newest;
    const step = before ? stepBetween(before, stats) : 'apart';
    if (step === 'same') {
      // Its clock may have been set back: then it is the one to compare the next with.
      this.answers = [stats];
      return step;
    }
    if (before && step !== 'next') this.breakLines(before.time + 1);
    if (step === 'restarted') this.mark(stats.time, 'server restarted');
    if (before && step === 'next') this.markWorkers(before, stats);
    const compared = before && step === 'next' ? before : null;
    this.answers = [...(compared ? this.answers.filter(({ time }) => time >= stats.time - minuteMs) : []), stats];
    this.begin(stats.time);
    this.record(null, compared?.total, stats.total, stats.workers.length);
    for (const worker of stats.workers) {
      const was = compared?.workers.find(({ slot }) => slot === worker.slot);
      this.record(worker.slot, was, worker, 1);
    }
    return step;
  }

  /** The newest so many seconds: 30, or more. */
  frame(scope: Scope, seconds: number): Frame {
    const to = (this.newest?.time ?? 0) / 1000;
    const all = this.times.values('time', rowsMax);
    // As long as there is less, what there is fills the chart.
    const from = Math.max(to - seconds, Math.min(all[0] ?? to, to - leastSeconds));
    const first = all.findIndex((time) => time !== null && time >= from);
    const count = first < 0 ? 0 : all.length - first;
    const points = this.points.get(scope);
    return {
      from,
      to,
      times: all.slice(all.length - count).map((time) => time ?? 0),
      marks: this.marks,
      names: () => points?.names() ?? [],
      values: (key) => points?.values(key, count) ?? Array.from({ length: count }, () => null),
    };
  }

  latest(scope: Scope, key: string): number | null {
    return this.points.get(scope)?.latest(key) ?? null;
  }

  private record(scope: Scope, before: Part | undefined, now: Part, workers: number): void {
    const newest = this.newest?.time ?? 0;
    const seconds = (newest - (this.answers.at(-2)?.time ?? 0)) / 1000;
    const earlier = before && this.earlier(scope, newest);
    const ring = this.ringOf(scope);
    for (const [key, value] of pointsAt({ before, now, seconds, earlier, workers })) ring.set(key, value);
  }

  private earlier(scope: Scope, newest: number): Part | undefined {
    const answer = this.answers.find(({ time }) => time >= newest - measuredForMs);
    return scope === null ? answer?.total : answer?.workers.find(({ slot }) => slot === scope);
  }

  private ringOf(scope: Scope): Ring {
    let ring = this.points.get(scope);
    if (!ring) {
      ring = new Ring(rowsMax);
      // As many rows as the others have.
      for (let row = 0; row < this.times.rows; row++) ring.begin();
      this.points.set(scope, ring);
    }
    return ring;
  }

  private begin(time: number): void {
    const last = this.times.latest('time');
    // The machine's clock was set back: a chart cannot show the same moment twice.
    if (last !== null && last * 1000 >= time) this.forget();
    this.times.begin();
    this.times.set('time', time / 1000);
    for (const ring of this.points.values()) ring.begin();
  }

  /** A row without values, so that no line is drawn over a time of which nothing is known. */
  private breakLines(at: number): void {
    this.begin(at);
  }

  private forget(): void {
    this.times = new Ring(rowsMax);
    this.points.clear();
    this.marks = [];
  }

  private mark(at: number, text: string): void {
    this.marks = [...this.marks.filter((mark) => mark.at > at - keptSeconds * 1000), { at, text }];
  }

  private markWorkers(before: Stats, now: Stats): void {
    for (const worker of now.workers) {
      const was = before.workers.find(({ slot }) => slot === worker.slot);
      if (was && worker.restarts > was.restarts) this.mark(now.time, `worker ${worker.slot} replaced`);
    }
  }
}
