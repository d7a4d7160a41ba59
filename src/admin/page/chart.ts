/** chart.ts - one chart of lines over time, by uPlot. It is drawn when there is something new, and only while it is in sight. */
import uPlot from 'uplot';
import { make, setText } from './dom.js';
import { clock } from './format.js';
import { Legend } from './legend.js';
import { membersOf } from './metrics.js';
import type { ChartSpec, Line } from './metrics.js';
import { chartColours, faint, lineColour } from './palette.js';
import type { Frame } from './recorder.js';
import { isPowerOfTen, linearRange, logRange, textOf, timeLabels } from './scales.js';

const height = 176;
const font = '11px system-ui, sans-serif';
/** All charts of the page show the same moment under the cursor. */
const together = uPlot.sync('holdfast');

type Values = (number | null)[];

export class Chart {
  readonly element: HTMLElement;
  private readonly legend = new Legend();
  private readonly at = make('span', 'at');
  private readonly place = make('div', 'plot');
  private readonly nothing: HTMLElement;
  private readonly sizes: ResizeObserver;
  private readonly sight: IntersectionObserver;
  private plot: uPlot | null = null;
  private lines: Line[] = [];
  private frame: Frame | null = null;
  private data: Values[] = [];
  private inSight = false;

  constructor(private readonly spec: ChartSpec) {
    const heading = make('h3', '', spec.title);
    heading.id = `chart-${spec.id}`;
    this.nothing = make('p', 'nothing', spec.empty ?? 'Nothing yet');
    this.element = make('section', spec.families ? 'card chart has-causes' : 'card chart', make('div', 'head', heading, make('span', 'hint', spec.hint), this.at), this.legend.element, this.place, this.nothing);
    this.element.setAttribute('aria-labelledby', heading.id);
    this.place.tabIndex = 0;
    this.place.setAttribute('role', 'img');
    this.place.setAttribute('aria-label', spec.title);
    this.place.addEventListener('keydown', (event) => this.step(event));
    this.place.addEventListener('blur', () => this.leave());
    this.sizes = new ResizeObserver(() => this.resize());
    this.sizes.observe(this.place);
    this.sight = new IntersectionObserver(
      ([entry]) => {
        this.inSight = entry?.isIntersecting ?? false;
        this.draw();
      },
      { rootMargin: '300px' },
    );
    this.sight.observe(this.element);
  }

  show(frame: Frame): void {
    this.frame = frame;
    this.draw();
  }

  /** With the colours that are now in force. */
  repaint(): void {
    this.plot?.destroy();
    this.plot = null;
    this.draw();
  }

  close(): void {
    this.sizes.disconnect();
    this.sight.disconnect();
    this.plot?.destroy();
  }

  private draw(): void {
    const { frame } = this;
    if (!frame || !this.inSight || this.place.clientWidth === 0) return;
    const lines = this.shownLines(frame);
    if (lines.map(({ key }) => key).join() !== this.lines.map(({ key }) => key).join()) {
      this.lines = lines;
      this.plot?.destroy();
      this.plot = null;
    }
    this.data = lines.map(({ key }) => frame.values(key));
    const empty = !this.data.some((values) => values.some((value) => value !== null));
    this.element.classList.toggle('is-empty', empty);
    this.plot ??= this.build();
    this.plot.setData([[...frame.times], ...this.data], false);
    this.plot.setScale('x', { min: frame.from, max: frame.to });
    this.tell(this.plot.cursor.idx ?? null);
  }

  /** Members of families once they have counted something in the time that is kept; their order stays. */
  private shownLines(frame: Frame): Line[] {
    const members = (this.spec.families ?? []).flatMap((family) => membersOf(family, frame.names()));
    const known = new Set(this.lines.map(({ key }) => key));
    const active = members.filter(({ key }) => known.has(key) || frame.values(key).some((value) => value !== null && value > 0));
    const fresh = active.filter(({ key }) => !known.has(key));
    const fixed = this.spec.lines;
    const stay = this.lines.filter(({ key }) => !fixed.some((line) => line.key === key));
    return [...fixed, ...stay, ...fresh];
  }

  private resize(): void {
    if (this.plot && this.place.clientWidth > 0) this.plot.setSize({ width: this.place.clientWidth, height });
    else this.draw();
  }

  private build(): uPlot {
    const { unit } = this.spec;
    const colours = chartColours();
    const axis = { font, stroke: colours.text, grid: { stroke: colours.grid, width: 1 }, ticks: { show: false } };
    const series: uPlot.Series[] = this.lines.map(({ label }, i) => {
      const stroke = lineColour(i);
      return { label, stroke, width: 1.75, ...(i === 0 && unit !== 'ms' ? { fill: faint(stroke, '1c') } : {}), points: { show: false }, spanGaps: unit === 'ms' };
    });
    const options: uPlot.Options = {
      width: this.place.clientWidth,
      height,
      padding: [10, 26, 0, 0],
      legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false }, sync: { key: together.key }, points: { size: 7 } },
      scales: { x: { time: true }, y: unit === 'ms' ? { distr: 3, range: (_, min, max) => logRange(min, max) } : { range: (_, __, max) => linearRange(unit, max) } },
      axes: [
        { ...axis, size: 26, space: 72, values: (_, times) => timeLabels(times) },
        { ...axis, size: 54, space: 30, gap: 4, ...(unit === 'ms' ? { grid: { ...axis.grid, filter: onlyPowersOfTen } } : {}), values: (_, splits) => splits.map((value) => this.axisText(value)) },
      ],
      series: [{}, ...series],
      hooks: { setCursor: [(plot) => this.tell(plot.cursor.idx ?? null)], draw: [(plot) => this.drawMarks(plot, colours.mark)] },
    };
    const plot = new uPlot(options, [[], ...this.lines.map(() => [])], this.place);
    together.sub(plot);
    return plot;
  }

  private axisText(value: number | null): string {
    if (value === null || (this.spec.unit === 'ms' && !isPowerOfTen(value))) return '';
    return textOf(this.spec.unit, value);
  }

  /** What the server went through, as dashed lines from top to bottom. */
  private drawMarks(plot: uPlot, colour: string): void {
    const { ctx, bbox } = plot;
    ctx.save();
    ctx.strokeStyle = colour;
    ctx.lineWidth = devicePixelRatio;
    ctx.setLineDash([3 * devicePixelRatio, 3 * devicePixelRatio]);
    for (const { at } of this.frame?.marks ?? []) {
      const x = Math.round(plot.valToPos(at / 1000, 'x', true)) + 0.5;
      if (x < bbox.left || x > bbox.left + bbox.width) continue;
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
    }
    ctx.restore();
  }

  /** The values at that place of the data; null: the newest, or how many there were in all. */
  private tell(at: number | null): void {
    const { frame, spec } = this;
    if (!frame) return;
    const entries = this.lines.map(({ label }, i) => ({ label, value: this.valueText(this.data[i] ?? [], at) }));
    this.legend.show(entries);
    const time = at === null ? undefined : frame.times[at];
    setText(this.at, time === undefined ? '' : clock(time * 1000));
    const marks = frame.marks.filter((mark) => mark.at / 1000 >= frame.from).map(({ text }) => text);
    const told = entries.length > 0 ? entries.map(({ label, value }) => `${label} ${value}`).join(', ') : (spec.empty ?? '');
    this.place.setAttribute('aria-label', [`${spec.title}: ${told}`, ...marks].join('; '));
  }

  private valueText(values: Values, at: number | null): string {
    const { unit } = this.spec;
    if (at !== null) return unit === 'events' ? `${textOf(unit, values[at] ?? null)}/s` : textOf(unit, values[at] ?? null);
    if (unit !== 'events') return textOf(unit, newestOf(values, unit === 'ms'));
    return textOf('count', Math.round(total(values, this.frame?.times ?? [])));
  }

  /** The arrows move the cursor through the time that is shown. */
  private step(event: KeyboardEvent): void {
    const { plot, frame } = this;
    const by = { ArrowLeft: -1, ArrowRight: 1, PageUp: -30, PageDown: 30 }[event.key];
    if (event.key === 'Escape') this.leave();
    if (by === undefined || !plot || !frame || frame.times.length === 0) return;
    event.preventDefault();
    const to = Math.max(0, Math.min(frame.times.length - 1, (plot.cursor.idx ?? frame.times.length) + by));
    plot.setCursor({ left: plot.valToPos(frame.times[to] ?? 0, 'x'), top: 0 });
  }

  private leave(): void {
    this.plot?.setCursor({ left: -10, top: -10 });
  }
}

function onlyPowersOfTen(_: uPlot, splits: number[]): (number | null)[] {
  return splits.map((value) => (isPowerOfTen(value) ? value : null));
}

/** Latencies are not measured at every moment. */
function newestOf(values: Values, lookBack: boolean): number | null {
  return (lookBack ? values.findLast((value) => value !== null) : values.at(-1)) ?? null;
}

/** Of rates: how many there were. */
function total(values: Values, times: readonly number[]): number {
  let sum = 0;
  for (let i = 1; i < values.length; i++) sum += (values[i] ?? 0) * ((times[i] ?? 0) - (times[i - 1] ?? 0));
  return sum;
}
