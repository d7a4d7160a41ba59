/** health_card.ts - whether all was well in the last minute, and what to do where it was not. */
import { make, setText } from '../dom.js';
import { span } from '../format.js';
import { problemsBetween } from '../health.js';
import type { Problem } from '../health.js';
import { findingItem } from '../parts.js';
import type { Stats } from '../types.js';

export class HealthCard {
  readonly element: HTMLElement;
  private readonly list = make('ul', 'findings');
  private readonly about = make('p', 'about');
  private shown = '';

  constructor() {
    this.element = make('section', 'card health', make('h2', 'unseen', 'Health'), this.list, this.about);
  }

  show(minuteAgo: Stats, now: Stats): void {
    const problems = problemsBetween(minuteAgo, now);
    const key = JSON.stringify(problems);
    if (key !== this.shown || this.list.childElementCount === 0) this.build(problems);
    this.shown = key;
    this.element.dataset['mood'] = problems[0]?.mood ?? 'good';
    const down = now.workers.filter(({ running }) => !running).length;
    const workers = down > 0 ? `${now.workers.length - down} of ${now.workers.length} workers` : now.workers.length === 1 ? 'one worker' : `${now.workers.length} workers`;
    setText(this.about, `Holdfast ${now.version}, ${workers}, up ${span(now.time - now.started)}`);
  }

  private build(problems: readonly Problem[]): void {
    const good = findingItem('good', 'All is well', 'In the last minute all workers ran, and nothing was lost, refused or held back.');
    this.list.replaceChildren(...(problems.length === 0 ? [good] : problems.map(({ mood, text, advice }) => findingItem(mood, text, advice))));
  }
}
