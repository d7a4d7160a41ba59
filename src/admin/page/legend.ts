/** legend.ts - the lines of a chart by colour and name, each with its value: the newest, or the one under the cursor. It is the chart for those who do not see it. */
import { make, setText } from './dom.js';
import { lineClass } from './palette.js';

export interface Entry {
  readonly label: string;
  readonly value: string;
}

export class Legend {
  readonly element = make('ul', 'legend');
  private outputs: HTMLElement[] = [];
  private labels: string[] = [];

  show(entries: readonly Entry[]): void {
    const labels = entries.map(({ label }) => label);
    if (labels.join('\n') !== this.labels.join('\n')) this.build(labels);
    for (const [i, { value }] of entries.entries()) {
      const output = this.outputs[i];
      if (output) setText(output, value);
    }
  }

  private build(labels: string[]): void {
    this.labels = labels;
    this.outputs = labels.map(() => make('b'));
    const items = labels.map((label, i) => make('li', lineClass(i), make('span', 'swatch'), make('span', '', label), this.outputs[i] ?? null));
    this.element.replaceChildren(...items);
  }
}
