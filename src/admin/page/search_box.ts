/** search_box.ts - a field whose text is searched for a moment after the last key, and stands in the address. The key "/" leads to it. */
import { labelled, make } from './dom.js';
import { icon } from './icons.js';

const restMs = 200;

export class SearchBox {
  readonly element: HTMLElement;
  private readonly field = make('input');
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(label: string, text: string, private readonly search: (text: string) => void) {
    this.field.type = 'search';
    this.field.value = text;
    this.field.placeholder = label;
    this.field.maxLength = 255;
    this.field.autocomplete = 'off';
    this.field.spellcheck = false;
    this.field.addEventListener('input', () => {
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.go(), restMs);
    });
    this.element = make('form', 'search', icon('search'), labelled(label, this.field, true));
    this.element.setAttribute('role', 'search');
    this.element.addEventListener('submit', (event) => {
      event.preventDefault();
      this.go();
    });
  }

  /** What was typed last is searched for no more: the view is left, and the address is another's. */
  close(): void {
    clearTimeout(this.timer);
  }

  get text(): string {
    return this.field.value.trim();
  }

  private go(): void {
    clearTimeout(this.timer);
    this.search(this.text);
  }
}
