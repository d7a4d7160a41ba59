/** sparkline.ts - a line without axes, in a tile. */
import uPlot from 'uplot';
import { make } from './dom.js';
import { faint, lineColour } from './palette.js';

const height = 34;

export class Sparkline {
  readonly element = make('div', 'spark');
  private readonly sizes: ResizeObserver;
  private plot: uPlot | null = null;

  constructor(private readonly colour: number) {
    this.element.setAttribute('aria-hidden', 'true');
    this.sizes = new ResizeObserver(() => this.plot?.setSize({ width: this.element.clientWidth, height }));
    this.sizes.observe(this.element);
  }

  show(times: readonly number[], values: readonly (number | null)[], from: number, to: number): void {
    if (this.element.clientWidth === 0) return;
    this.plot ??= this.build();
    this.plot.setData([[...times], [...values]], false);
    this.plot.setScale('x', { min: from, max: to });
  }

  repaint(): void {
    this.plot?.destroy();
    this.plot = null;
  }

  close(): void {
    this.sizes.disconnect();
    this.plot?.destroy();
  }

  private build(): uPlot {
    const stroke = lineColour(this.colour);
    const options: uPlot.Options = {
      width: this.element.clientWidth,
      height,
      padding: [3, 0, 1, 0],
      legend: { show: false },
      cursor: { show: false },
      scales: { x: { time: true }, y: { range: (_, min, max) => [Math.min(0, min), Math.max(1e-9, max)] } },
      axes: [{ show: false }, { show: false }],
      series: [{}, { stroke, width: 1.5, fill: faint(stroke, '22'), points: { show: false }, spanGaps: true }],
    };
    return new uPlot(options, [[], []], this.element);
  }
}
