/** scope_bar.ts - of which worker the charts are, and how much time they show. */
import { labelled, make } from '../dom.js';
import { keptSeconds } from '../recorder.js';
import type { Scope } from '../recorder.js';
import type { Route } from '../router.js';
import type { Stats } from '../types.js';

const place = 'holdfast-admin-seconds';
const ranges: readonly { readonly seconds: number; readonly label: string }[] = [
  { seconds: 60, label: '1 min' },
  { seconds: 180, label: '3 min' },
  { seconds: keptSeconds, label: '10 min' },
];

export class ScopeBar {
  readonly element: HTMLElement;
  seconds = kept();
  private readonly select = make('select');

  constructor(scope: Scope, go: (route: Route) => void, changed: () => void) {
    this.fill([], scope);
    this.select.addEventListener('change', () => go({ page: 'overview', worker: this.select.value === '' ? null : Number(this.select.value) }));
    this.element = make('div', 'scope', labelled('Workers', this.select, true), this.rangeGroup(changed));
  }

  show(stats: Stats, scope: Scope): void {
    const slots = stats.workers.map(({ slot }) => slot);
    if (this.select.options.length !== slots.length + 1) this.fill(slots, scope);
  }

  private fill(slots: readonly number[], scope: Scope): void {
    const option = (value: string, text: string): HTMLOptionElement => {
      const made = make('option', '', text);
      made.value = value;
      return made;
    };
    const known = scope === null || slots.includes(scope) ? slots : [...slots, scope];
    this.select.replaceChildren(option('', 'All workers'), ...known.map((slot) => option(String(slot), `Worker ${slot}`)));
    this.select.value = scope === null ? '' : String(scope);
  }

  private rangeGroup(changed: () => void): HTMLElement {
    const group = make('div', 'ranges', ...ranges.map((range) => this.rangeChoice(range.seconds, range.label, changed)));
    group.setAttribute('role', 'radiogroup');
    group.setAttribute('aria-label', 'Time shown');
    return group;
  }

  private rangeChoice(seconds: number, text: string, changed: () => void): HTMLElement {
    const input = make('input');
    input.type = 'radio';
    input.name = 'range';
    input.checked = seconds === this.seconds;
    input.addEventListener('change', () => {
      this.seconds = seconds;
      keep(seconds);
      changed();
    });
    return make('label', '', input, make('span', '', text));
  }
}

function kept(): number {
  try {
    const seconds = Number(sessionStorage.getItem(place));
    return ranges.some((range) => range.seconds === seconds) ? seconds : 180;
  } catch {
    return 180;
  }
}

function keep(seconds: number): void {
  try {
    sessionStorage.setItem(place, String(seconds));
  } catch {
    // Until the page is loaded anew.
  }
}
