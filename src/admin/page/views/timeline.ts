/** timeline.ts - a session's events, newest first. */
import { make } from '../dom.js';
import { milliseconds, moment, span, visible } from '../format.js';
import type { SessionEvent } from '../types.js';
import { detailsOf, moodOf, stoodMs } from '../why.js';

export class Timeline {
  readonly element = make('div');
  private readonly list = make('ol', 'timeline');
  private readonly nothing = make('p', 'nothing', 'Nothing is remembered.');
  private shown = '';

  constructor() {
    this.list.tabIndex = 0;
    this.list.setAttribute('aria-label', 'Events, newest first');
    this.element.append(this.list, this.nothing);
  }

  show(events: readonly SessionEvent[]): void {
    const key = JSON.stringify(events);
    if (key === this.shown) return;
    this.shown = key;
    this.nothing.hidden = events.length > 0;
    this.list.replaceChildren(...events.map((event, at) => item(event, stoodMs(events, at))));
  }
}

function item(event: SessionEvent, stood: number | null): HTMLElement {
  const time = make('time', '', moment(event.time));
  time.dateTime = new Date(event.time).toISOString();
  const details = [...detailsOf(event), ...(stood === null ? [] : [`it had stood for ${stood < 60_000 ? milliseconds(stood) : span(stood)}`])];
  const text = event.event.charAt(0).toUpperCase() + event.event.slice(1);
  const made = make('li', '', make('span', 'what', visible(text)), time, details.length > 0 ? make('span', 'details', visible(details.join(' · '))) : null);
  made.dataset['mood'] = moodOf(event);
  return made;
}
