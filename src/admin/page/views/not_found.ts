/** not_found.ts - an address that is none of this page's. */
import { make } from '../dom.js';
import { visible } from '../format.js';
import type { View } from '../stage.js';

export class NotFound implements View {
  readonly element: HTMLElement;
  readonly title = 'Not found';

  constructor(hash: string) {
    const link = make('a', '', 'To the overview');
    link.href = '#/overview';
    this.element = make('div', 'view', make('section', 'card', make('h1', '', 'There is no such view'), make('p', 'name', visible(hash)), make('p', '', link)));
  }
}
