/** scales.ts - how far an axis goes, and what stands at it. Pure. */
import { bytes, clock, milliseconds, percent, short } from './format.js';
import type { Unit } from './metrics.js';

type Range = [min: number, max: number];

/** From 0, with some air above; never so narrow that noise fills it. */
export function linearRange(unit: Unit, max: number | null): Range {
  const least: Record<Unit, number> = { count: 4, rate: 4, bytes: 1000, ms: 1, percent: 5, events: 1 };
  const top = Math.max(max ?? 0, least[unit]) * 1.12;
  return [0, unit === 'percent' ? Math.min(100, top) : top];
}

/** Whole powers of ten around what was measured: latencies differ by orders of magnitude. */
export function logRange(min: number | null, max: number | null): Range {
  const low = 10 ** Math.floor(Math.log10(Math.max(min ?? 0.1, 1e-4)));
  const high = 10 ** Math.ceil(Math.log10(Math.max(max ?? 1, 1e-3)));
  return [low, Math.max(high, low * 10)];
}

export function isPowerOfTen(n: number): boolean {
  const power = Math.log10(n);
  return Math.abs(power - Math.round(power)) < 1e-6;
}

const texts: Record<Unit, (n: number | null) => string> = { count: short, rate: short, bytes, ms: milliseconds, percent, events: short };

export function textOf(unit: Unit, n: number | null): string {
  return texts[unit](n);
}

/** At the axis of time: seconds only where they differ. */
export function timeLabels(times: readonly number[]): string[] {
  const seconds = times.some((time) => time % 60 !== 0);
  return times.map((time) => clock(time * 1000, seconds));
}
