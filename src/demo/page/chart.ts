/** chart.ts - the last minute of a value on a canvas, and when there was no connection. It draws once a frame at most, and only where something is new. */
import type { Outage } from './breaks.js';

const windowMs = 60_000;
/** Where the feed was away for so long, the line is cut: nobody knows what was there. */
const holeMs = 700;
const margin = { left: 44, right: 14, top: 14, bottom: 24 };

interface Point {
  readonly at: number;
  readonly value: number;
}

interface Colors {
  line: string;
  fill: string;
  grid: string;
  text: string;
  outage: string;
}

export class Chart {
  private points: Point[] = [];
  private readonly context: CanvasRenderingContext2D;
  private due = false;
  private low = NaN;
  private high = NaN;

  constructor(
    private readonly canvas: HTMLCanvasElement,
    private readonly outages: readonly Outage[],
  ) {
    const context = canvas.getContext('2d');
    if (!context) throw new Error('this browser has no canvas');
    this.context = context;
    new ResizeObserver(() => this.redraw()).observe(canvas);
  }

  add(at: number, value: number): void {
    if (at <= (this.points.at(-1)?.at ?? 0)) return;
    this.points.push({ at, value });
    const first = this.points.findIndex((point) => point.at > at - windowMs - 1000);
    if (first > 200) this.points = this.points.slice(first);
    this.redraw();
  }

  /** Older values, in any order. */
  prepend(points: readonly Point[]): void {
    const oldest = this.points[0]?.at ?? Infinity;
    const older = points.filter((point) => point.at < oldest).sort((a, b) => a.at - b.at);
    this.points = [...older, ...this.points];
    this.redraw();
  }

  redraw(): void {
    if (this.due) return;
    this.due = true;
    requestAnimationFrame(() => {
      this.due = false;
      this.draw();
    });
  }

  private colors(): Colors {
    const style = getComputedStyle(this.canvas);
    const of = (name: string): string => style.getPropertyValue(name).trim();
    return { line: of('--accent'), fill: of('--accent-soft'), grid: of('--line'), text: of('--faint'), outage: of('--bad-soft') };
  }

  private draw(): void {
    const { canvas, context } = this;
    const ratio = window.devicePixelRatio || 1;
    const width = canvas.clientWidth;
    const height = canvas.clientHeight;
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    const colors = this.colors();
    // The newest value's time, or ours where nothing comes: so that a chart without news runs on, and shows the hole.
    const now = Math.max(Date.now(), this.points.at(-1)?.at ?? 0);
    const x = (at: number): number => margin.left + (1 - (now - at) / windowMs) * (width - margin.left - margin.right);
    this.scale(now);
    const y = (value: number): number =>
      margin.top + (1 - (value - this.low) / (this.high - this.low)) * (height - margin.top - margin.bottom);
    this.drawOutages(colors, x, now, height);
    this.drawGrid(colors, x, y, now, width, height);
    this.drawLines(colors, x, y, now, height);
  }

  /** The bounds follow the values slowly, so that the picture does not jump. */
  private scale(now: number): void {
    const values = this.points.filter((point) => point.at > now - windowMs).map((point) => point.value);
    const low = values.length > 0 ? Math.min(...values) : 90;
    const high = values.length > 0 ? Math.max(...values) : 110;
    const room = Math.max(1, (high - low) * 0.12);
    const toward = (have: number, want: number): number => (Number.isNaN(have) ? want : have + (want - have) * 0.08);
    this.low = Math.min(toward(this.low, low - room), low - room / 4);
    this.high = Math.max(toward(this.high, high + room), high + room / 4);
  }

  private drawOutages(colors: Colors, x: (at: number) => number, now: number, height: number): void {
    this.context.fillStyle = colors.outage;
    for (const { from, to } of this.outages) {
      const left = Math.max(margin.left, x(from));
      const right = x(to ?? now);
      if (right > margin.left) this.context.fillRect(left, margin.top - 6, Math.max(2, right - left), height - margin.bottom - margin.top + 6);
    }
  }

  private drawGrid(
    colors: Colors,
    x: (at: number) => number,
    y: (value: number) => number,
    now: number,
    width: number,
    height: number,
  ): void {
    const { context } = this;
    context.font = '11px system-ui, sans-serif';
    context.fillStyle = colors.text;
    context.strokeStyle = colors.grid;
    context.lineWidth = 1;
    context.textAlign = 'right';
    context.textBaseline = 'middle';
    const step = [1, 2, 5, 10, 20].find((size) => (this.high - this.low) / size <= 5) ?? 50;
    for (let value = Math.ceil(this.low / step) * step; value < this.high; value += step) {
      const at = Math.round(y(value)) + 0.5;
      context.beginPath();
      context.moveTo(margin.left, at);
      context.lineTo(width - margin.right, at);
      context.stroke();
      context.fillText(String(value), margin.left - 8, at);
    }
    context.textAlign = 'center';
    context.textBaseline = 'alphabetic';
    for (let ago = 0; ago <= windowMs; ago += 15_000) {
      const label = ago === 0 ? 'now' : `−${ago / 1000} s`;
      const half = context.measureText(label).width / 2;
      context.fillText(label, Math.min(x(now - ago), width - half - 2), height - 6);
    }
  }

  private drawLines(colors: Colors, x: (at: number) => number, y: (value: number) => number, now: number, height: number): void {
    const { context } = this;
    const shown = this.points.filter((point) => point.at > now - windowMs);
    let run: Point[] = [];
    const flush = (): void => {
      if (run.length > 1) this.drawRun(run, colors, x, y, height);
      run = [];
    };
    for (const point of shown) {
      const before = run.at(-1);
      if (before && point.at - before.at > holeMs) flush();
      run.push(point);
    }
    flush();
    const newest = shown.at(-1);
    if (!newest) return;
    context.beginPath();
    context.arc(x(newest.at), y(newest.value), 4, 0, 2 * Math.PI);
    context.fillStyle = colors.line;
    context.fill();
  }

  private drawRun(run: readonly Point[], colors: Colors, x: (at: number) => number, y: (value: number) => number, height: number): void {
    const { context } = this;
    const first = run[0];
    const last = run.at(-1);
    if (!first || !last) return;
    context.beginPath();
    for (const point of run) context.lineTo(x(point.at), y(point.value));
    context.lineWidth = 2;
    context.lineJoin = 'round';
    context.strokeStyle = colors.line;
    context.stroke();
    context.lineTo(x(last.at), height - margin.bottom);
    context.lineTo(x(first.at), height - margin.bottom);
    context.closePath();
    const fade = context.createLinearGradient(0, margin.top, 0, height - margin.bottom);
    fade.addColorStop(0, colors.line);
    fade.addColorStop(1, `${colors.line}00`); // the tokens are #rrggbb
    context.globalAlpha = 0.16;
    context.fillStyle = fade;
    context.fill();
    context.globalAlpha = 1;
  }
}
