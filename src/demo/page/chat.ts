/** chat.ts - lines of people. A line of one's own stands there at once, and is marked until the server has taken it. */
import { HoldfastError } from '../../../sdk/js/src/index.js';
import type { Published } from '../../../sdk/js/src/index.js';
import { byId, make } from './dom.js';

export interface ChatLine {
  readonly name: string;
  readonly text: string;
  /** Of the page and the line in it, so that a page knows its own. */
  readonly key: string;
}

/** What others publish may be anything. */
function isLine(payload: unknown): payload is ChatLine {
  const line = payload as Partial<ChatLine> | null;
  return typeof line === 'object' && line !== null && typeof line.name === 'string' && typeof line.text === 'string';
}

const linesKept = 200;
const names = ['Ada', 'Alan', 'Barbara', 'Claude', 'Dennis', 'Edsger', 'Frances', 'Grace', 'Hedy', 'Joan', 'Katherine', 'Margaret', 'Radia', 'Tim'];

export class Chat {
  private readonly lines = byId('lines', HTMLOListElement);
  private readonly nameField = byId('name', HTMLInputElement);
  private readonly textField = byId('text', HTMLInputElement);
  /** Own lines that have not come back yet. */
  private readonly own = new Map<string, HTMLLIElement>();
  private counter = 0;

  constructor(
    private readonly page: string,
    private readonly publish: (line: ChatLine) => Promise<Published>,
  ) {
    this.nameField.value = this.rememberedName();
    this.nameField.addEventListener('change', () => {
      try {
        localStorage.setItem('holdfast-demo-name', this.nameField.value);
      } catch {
        // Without storage the next page has another name.
      }
    });
    byId('say', HTMLFormElement).addEventListener('submit', (event) => {
      event.preventDefault();
      this.say();
    });
  }

  private rememberedName(): string {
    try {
      const kept = localStorage.getItem('holdfast-demo-name');
      if (kept) return kept;
    } catch {
      // As above.
    }
    return names[Math.floor(Math.random() * names.length)] ?? 'Ada';
  }

  private say(): void {
    const text = this.textField.value.trim();
    const name = this.nameField.value.trim() || 'somebody';
    if (!text) return;
    this.textField.value = '';
    const line = { name, text, key: `${this.page}-${++this.counter}` };
    this.own.set(line.key, this.show(line, true));
    this.publish(line).then(
      () => this.own.get(line.key)?.classList.remove('unsent'),
      (error: unknown) => {
        const item = this.own.get(line.key);
        item?.classList.add('refused');
        item?.setAttribute('title', error instanceof HoldfastError ? error.message : String(error));
      },
    );
  }

  /** A message of the channel. */
  take(payload: unknown): void {
    if (!isLine(payload)) return;
    const own = this.own.get(payload.key);
    if (!own) {
      this.show(payload, payload.key.startsWith(`${this.page}-`)).classList.remove('unsent');
      return;
    }
    own.classList.remove('unsent');
    this.own.delete(payload.key);
    this.toEnd(own);
  }

  private show(line: ChatLine, mine: boolean): HTMLLIElement {
    const item = make('li', mine ? 'mine unsent' : '');
    item.append(make('span', 'from', mine ? 'you' : line.name.slice(0, 24)), make('span', 'said', line.text.slice(0, 400)));
    this.toEnd(item);
    while (this.lines.children.length > linesKept) this.lines.firstElementChild?.remove();
    return item;
  }

  /** The channel's order counts; who has scrolled up stays there. */
  private toEnd(item: HTMLLIElement): void {
    const { lines } = this;
    const atEnd = lines.scrollHeight - lines.scrollTop - lines.clientHeight < 60;
    if (lines.lastElementChild !== item) lines.append(item);
    if (atEnd) lines.scrollTop = lines.scrollHeight;
  }
}
