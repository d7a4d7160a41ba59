/** publish_box.ts - a payload and a button that publishes it to a channel. What was not answered may be sent again: the same text has the same idempotency key, and is published once. */
import { ApiError, reasonOf } from './api.js';
import { labelled, make } from './dom.js';
import { exact } from './format.js';
import { icon } from './icons.js';
import { Notice } from './parts.js';
import type { Stage } from './stage.js';

/** Random, and not crypto.randomUUID(), which a page by plain HTTP does not have. */
function newKey(): string {
  return `admin-${[...crypto.getRandomValues(new Uint32Array(4))].map((n) => n.toString(16).padStart(8, '0')).join('')}`;
}

/** The payload as JSON text, or what is wrong with it. Pure. */
export function payloadOf(text: string, isText: boolean): { readonly json: string } | { readonly fault: string } {
  if (isText) return { json: JSON.stringify(text) };
  try {
    JSON.parse(text);
    return { json: text.trim() };
  } catch (error) {
    return { fault: `This is no JSON: ${error instanceof Error ? error.message : String(error)}. Put text in double quotes, or choose “Text”.` };
  }
}

export class PublishBox {
  readonly element: HTMLElement;
  private readonly payload = make('textarea');
  private readonly notice = new Notice();
  private readonly go = make('button', 'primary', icon('send'), 'Publish');
  private isText = false;
  private pending: { readonly json: string; readonly key: string } | null = null;

  /** published: called when a message has its place in the channel. */
  constructor(
    private readonly stage: Stage,
    private readonly channel: string,
    private readonly published: () => void,
  ) {
    this.payload.rows = 4;
    this.payload.spellcheck = false;
    this.payload.value = '{"text": "hello"}';
    this.payload.addEventListener('keydown', (event) => {
      if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) {
        event.preventDefault();
        void this.publish();
      }
    });
    const form = make('form', 'publish', labelled('Payload', this.payload), make('div', 'answers', this.kinds(), make('span', 'hint keys', 'Ctrl+Enter'), this.go), this.notice.element);
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      void this.publish();
    });
    this.element = form;
  }

  private kinds(): HTMLElement {
    const choice = (text: string, isText: boolean): HTMLElement => {
      const input = make('input');
      input.type = 'radio';
      input.name = 'payload-kind';
      input.checked = !isText;
      input.addEventListener('change', () => {
        this.isText = isText;
      });
      return make('label', '', input, make('span', '', text));
    };
    const group = make('div', 'ranges', choice('JSON', false), choice('Text', true));
    group.setAttribute('role', 'radiogroup');
    group.setAttribute('aria-label', 'What the payload is');
    return group;
  }

  private async publish(): Promise<void> {
    if (this.go.disabled) return;
    const payload = payloadOf(this.payload.value, this.isText);
    if ('fault' in payload) {
      this.notice.say(payload.fault, 'bad');
      return;
    }
    if (this.pending?.json !== payload.json) this.pending = { json: payload.json, key: newKey() };
    this.go.disabled = true;
    try {
      const { offset } = await this.stage.parts.api.publish(this.channel, payload.json, this.pending.key);
      this.pending = null;
      this.notice.say(`Published at offset ${exact(offset)}.`, 'good');
      this.published();
    } catch (error) {
      this.stage.suspect(error);
      const uncertain = error instanceof ApiError && (error.kind === 'unreachable' || error.status === 504);
      this.notice.say(`${reasonOf(error)}${uncertain ? ' It may have been done: press the button again, and it is published once.' : ''}`, 'bad');
    } finally {
      this.go.disabled = false;
    }
  }
}
