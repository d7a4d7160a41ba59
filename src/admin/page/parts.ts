/** parts.ts - small pieces that several views have: a notice, a pill, a card. */
import { make, setText } from './dom.js';
import { icon } from './icons.js';
import type { IconName } from './icons.js';

export type Mood = 'good' | 'warn' | 'bad' | '';

/** A line that tells what became of something; it has its room only while it has a text. */
export class Notice {
  readonly element = make('p', 'notice');

  constructor() {
    this.element.setAttribute('role', 'status');
    this.element.hidden = true;
  }

  say(text: string, mood: Mood = ''): void {
    setText(this.element, text);
    this.element.dataset['mood'] = mood;
    this.element.hidden = text === '';
  }
}

/** A word in a coloured oval. */
export class Pill {
  readonly element = make('span', 'pill');

  say(text: string, mood: Mood): void {
    setText(this.element, text);
    this.element.dataset['mood'] = mood;
  }
}

export function card(className: string, title: string, ...content: readonly (Node | null)[]): HTMLElement {
  const heading = make('h2', '', title);
  return make('section', `card ${className}`, make('div', 'head', heading), ...content);
}

/** What is found, and what to do about it. */
export function findingItem(mood: Mood, text: string, advice: string): HTMLElement {
  const name: IconName = mood === 'bad' ? 'bad' : mood === 'good' ? 'good' : 'warn';
  const item = make('li', 'finding', icon(name), make('div', '', make('p', 'what', text), advice ? make('p', 'advice', advice) : null));
  item.dataset['mood'] = mood;
  return item;
}

/** A list of named values. */
export class Facts {
  readonly element = make('dl', 'facts');
  private readonly values = new Map<string, HTMLElement>();

  /** null: it is not shown. */
  show(name: string, value: string | null): void {
    const known = this.values.get(name);
    if (known) {
      setText(known, value ?? '');
      if (known.parentElement) known.parentElement.hidden = value === null;
    } else if (value !== null) {
      const made = make('dd', '', value);
      this.values.set(name, made);
      this.element.append(make('div', '', make('dt', '', name), made));
    }
  }
}
