/** lifetimes.ts - how long connections stood, as bars: how many in which span, since the server was started. Many of one length are cut by something on the way. */
import uPlot from 'uplot';
import { make, setText } from './dom.js';
import { counted, milliseconds, short } from './format.js';
import { chartColours, faint, lineColour } from './palette.js';
import { quantileMs } from './rates.js';
import type { Bucket, Part } from './types.js';

const height = 176;
const font = '11px system-ui, sans-serif';

/** Bars by octaves: two of the server's buckets make one. Their upper bounds in ms, ascending and without holes. Pure. */
export function octaves(buckets: readonly Bucket[]): { boundMs: number; count: number }[] {
  const counts = new Map<number, number>();
  for (const [bound, count] of buckets) {
    const octave = bound === null ? Infinity : Math.ceil(Math.log2(bound * 1000) - 1e-6);
    counts.set(octave, (counts.get(octave) ?? 0) + count);
  }
  const known = [...counts.keys()].filter(Number.isFinite);
  if (known.length === 0) return [];
  const bars = [];
  for (let octave = Math.min(...known); octave <= Math.max(...known); octave++) bars.push({ boundMs: 2 ** octave, count: counts.get(octave) ?? 0 });
  const above = counts.get(Infinity) ?? 0;
  return above > 0 ? [...bars, { boundMs: Infinity, count: above }] : bars;
}

export class Lifetimes {
  readonly element: HTMLElement;
  private readonly told = make('p', 'told');
  private readonly place = make('div', 'plot');
  private readonly sizes: ResizeObserver;
  private plot: uPlot | null = null;
  private bars: { boundMs: number; count: number }[] = [];
  private drawn = '';

  constructor() {
    const heading = make('h3', '', 'Connection lifetimes');
    heading.id = 'chart-lifetimes';
    this.element = make('section', 'card chart', make('div', 'head', heading, make('span', 'hint', 'since the start')), this.told, this.place, make('p', 'nothing', 'No connection has ended'));
    this.element.setAttribute('aria-labelledby', heading.id);
    this.place.setAttribute('role', 'img');
    this.place.setAttribute('aria-label', 'Connection lifetimes');
    this.sizes = new ResizeObserver(() => this.draw());
    this.sizes.observe(this.place);
  }

  show(part: Part | undefined): void {
    const buckets = part?.histograms?.['connection_lifetime_seconds']?.buckets ?? [];
    this.bars = octaves(buckets);
    const count = buckets.reduce((sum, [, n]) => sum + n, 0);
    const shares = [0.5, 0.9, 0.99].map((share) => `p${share * 100} ${milliseconds(quantileMs(buckets, share))}`);
    setText(this.told, count === 0 ? '' : `${counted(count, 'connection')}: ${shares.join(', ')}`);
    this.place.setAttribute('aria-label', `Connection lifetimes: ${this.told.textContent || 'no connection has ended'}`);
    this.element.classList.toggle('is-empty', count === 0);
    this.draw();
  }

  repaint(): void {
    this.plot?.destroy();
    this.plot = null;
    this.drawn = '';
    this.draw();
  }

  close(): void {
    this.sizes.disconnect();
    this.plot?.destroy();
  }

  /** Only where there is something new. */
  private draw(): void {
    const width = this.place.clientWidth;
    const key = `${width} ${this.bars.map(({ boundMs, count }) => `${boundMs}:${count}`).join()}`;
    if (width === 0 || key === this.drawn) return;
    this.drawn = key;
    this.plot?.destroy();
    this.plot = new uPlot(this.options(width), [this.bars.map((_, i) => i), this.bars.map(({ count }) => count)], this.place);
  }

  private options(width: number): uPlot.Options {
    const colours = chartColours();
    const colour = lineColour(0);
    const bars = uPlot.paths.bars?.({ size: [0.8, 48], radius: 0.15 });
    const axis = { font, stroke: colours.text, grid: { stroke: colours.grid, width: 1 }, ticks: { show: false } };
    return {
      width,
      height,
      padding: [10, 10, 0, 0],
      legend: { show: false },
      cursor: { show: false },
      scales: { x: { time: false, range: () => [-0.6, Math.max(4, this.bars.length) - 0.4] }, y: { range: (_, __, max) => [0, Math.max(1, max) * 1.12] } },
      axes: [
        { ...axis, size: 26, space: 56, grid: { show: false }, incrs: [1, 2, 3, 4, 5, 10], values: (_, splits) => splits.map((at) => this.barText(at)) },
        { ...axis, size: 54, space: 30, gap: 4, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000, 1_000_000], values: (_, splits) => splits.map(short) },
      ],
      series: [{}, { stroke: colour, fill: faint(colour, '80'), width: 1, ...(bars ? { paths: bars } : {}), points: { show: false } }],
    };
  }

  private barText(at: number): string {
    const bar = this.bars[at];
    if (!bar) return '';
    return bar.boundMs === Infinity ? 'longer' : `≤ ${milliseconds(bar.boundMs)}`;
  }
}
