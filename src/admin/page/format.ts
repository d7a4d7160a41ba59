/** format.ts - numbers, times and names as texts. Pure, but for the time zone. */
const none = '–';

/** Four characters at most before the unit: 0, 0.25, 9.5, 120, 12.3k, 1.2M. */
export function short(n: number | null): string {
  if (n === null || Number.isNaN(n)) return none;
  const [value, unit] = scaled(n, 1000, ['', 'k', 'M', 'G', 'T']);
  return `${value}${unit}`;
}

export function exact(n: number): string {
  return n.toLocaleString('en');
}

export function bytes(n: number | null): string {
  if (n === null || Number.isNaN(n)) return none;
  const [value, unit] = scaled(n, 1000, ['B', 'kB', 'MB', 'GB', 'TB']);
  return `${value} ${unit}`;
}

function scaled(n: number, step: number, units: readonly string[]): [value: string, unit: string] {
  let [left, at] = [n, 0];
  while (Math.abs(left) >= step - 0.5 && at < units.length - 1) {
    left /= step;
    at++;
  }
  const digits = at > 0 ? (left < 99.95 ? 1 : 0) : left < 0.995 ? 2 : left < 9.95 ? 1 : 0;
  return [String(Number(left.toFixed(digits))), units[at] ?? ''];
}

export function percent(n: number | null): string {
  if (n === null || Number.isNaN(n)) return none;
  return `${n > 0 && n < 9.95 ? n.toFixed(1).replace(/\.0$/, '') : n.toFixed(0)} %`;
}

/** What was measured: 0.05 ms, 12 ms, 1.5 s, 2.0 min. */
export function milliseconds(ms: number | null): string {
  if (ms === null || Number.isNaN(ms)) return none;
  if (ms < 1000) return `${ms < 1 ? trimmed(ms, 3) : ms < 10 ? trimmed(ms, 1) : ms.toFixed(0)} ms`;
  if (ms < 120_000) return `${ms < 10_000 ? trimmed(ms / 1000, 1) : (ms / 1000).toFixed(0)} s`;
  if (ms < 7_200_000) return `${trimmed(ms / 60_000, ms < 600_000 ? 1 : 0)} min`;
  return ms < 172_800_000 ? `${trimmed(ms / 3_600_000, 1)} h` : `${trimmed(ms / 86_400_000, 1)} d`;
}

function trimmed(n: number, digits: number): string {
  return String(Number(n.toFixed(digits)));
}

/** How long ago, or how long: 12 s, 4 min 12 s, 2 h 5 min, 3 d 4 h. */
export function span(ms: number): string {
  const s = Math.max(0, Math.floor(ms / 1000));
  if (s < 60) return `${s} s`;
  if (s < 3600) return both(Math.floor(s / 60), 'min', s % 60, 's');
  if (s < 86_400) return both(Math.floor(s / 3600), 'h', Math.floor((s % 3600) / 60), 'min');
  return both(Math.floor(s / 86_400), 'd', Math.floor((s % 86_400) / 3600), 'h');
}

function both(large: number, largeUnit: string, small: number, smallUnit: string): string {
  return small === 0 ? `${large} ${largeUnit}` : `${large} ${largeUnit} ${small} ${smallUnit}`;
}

export function clock(at: number, seconds = true): string {
  const options: Intl.DateTimeFormatOptions = { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' };
  return new Date(at).toLocaleTimeString('en', seconds ? { ...options, second: '2-digit' } : options);
}

/** The time, with its day where that is not today. */
export function moment(at: number, now: number = Date.now()): string {
  const day = new Date(at);
  if (day.toDateString() === new Date(now).toDateString()) return clock(at);
  return `${day.toLocaleDateString('en', { day: 'numeric', month: 'short' })} ${clock(at)}`;
}

/** Plural by count: "1 session", "1,200 sessions". */
export function counted(n: number, one: string, many = `${one}s`): string {
  return `${exact(n)} ${n === 1 ? one : many}`;
}

/**
 * A name of anybody's choice, with what would not be seen, or would turn round what stands beside it (Unicode's bidirectional controls), written out.
 * Not the joiners U+200C and U+200D: scripts and emoji need them.
 */
export function visible(text: string): string {
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]/g, (c) => `\\u{${(c.codePointAt(0) ?? 0).toString(16)}}`);
}
