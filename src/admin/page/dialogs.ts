/** dialogs.ts - questions that must be answered first: whether something is really meant, and the key. Escape says no; the browser gives the focus back. */
import { button, byId, labelled, make } from './dom.js';
import { faultOfKey } from './key.js';
import { Notice } from './parts.js';

export interface Question {
  readonly title: string;
  readonly text: string;
  /** The name of who or what it is about. */
  readonly subject: string;
  readonly yes: string;
}

/** Resolves with whether it is meant. */
export function confirmed({ title, text, subject, yes }: Question): Promise<boolean> {
  const dialog = make('dialog', 'dialog');
  const no = button('plain', 'Cancel', () => dialog.close(''));
  const go = button('danger', yes, () => dialog.close('yes'));
  const heading = make('h2', '', title);
  heading.id = 'dialog-title';
  dialog.setAttribute('aria-labelledby', heading.id);
  dialog.append(heading, make('p', '', text), make('p', 'subject name', subject), make('div', 'answers', no, go));
  document.body.append(dialog);
  dialog.showModal();
  no.focus();
  return new Promise((resolve) => {
    dialog.addEventListener('close', () => {
      dialog.remove();
      resolve(dialog.returnValue === 'yes');
    });
  });
}

/** Asks for the API key, and stays until the server takes one, or it is closed. */
export class KeyDialog {
  private readonly dialog = byId('key-dialog', HTMLDialogElement);
  private readonly field = make('input');
  private readonly notice = new Notice();
  private readonly forget: HTMLButtonElement;
  /** A key was entered, and what the server says to it is not known yet. */
  private entered = false;

  constructor(private readonly use: (key: string | null) => void) {
    this.field.type = 'password';
    this.field.autocomplete = 'off';
    this.field.spellcheck = false;
    this.field.maxLength = 1024;
    this.forget = button('plain', 'Forget the key', () => {
      this.use(null);
      this.dialog.close();
    });
    const enter = make('button', 'primary', 'Use this key');
    const form = make('form', '', labelled('API key', this.field), this.notice.element, make('div', 'answers', this.forget, button('plain', 'Close', () => this.dialog.close()), enter));
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      this.enter();
    });
    this.dialog.append(form);
  }

  /** known: there is a key already. */
  ask(reason: string, mood: 'bad' | '', known: boolean): void {
    this.entered = false;
    this.notice.say(reason, mood);
    this.forget.hidden = !known;
    if (!this.dialog.open) this.dialog.showModal();
    this.field.focus();
    this.field.select();
  }

  /** What is wrong with the server, while its answer to a key is waited for. */
  hear(reason: string): void {
    if (this.entered && reason !== '') this.notice.say(reason, 'bad');
  }

  /** The server has answered to the key that is in use. */
  answered(): void {
    if (!this.entered) return;
    this.entered = false;
    this.field.value = '';
    this.dialog.close();
  }

  private enter(): void {
    const key = this.field.value.trim();
    const fault = faultOfKey(key);
    if (fault === null) {
      this.notice.say('Asking the server …');
      this.entered = true;
      this.use(key);
    } else {
      this.notice.say(fault, 'bad');
      this.field.focus();
    }
  }
}
