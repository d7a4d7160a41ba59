/** harm.ts - the four buttons. Three ask the server to do it, really; the fourth pulls the page's own plug. */
import { byId, setText } from './dom.js';
import type { PluggedTransport } from './wire.js';

export interface HarmOptions {
  readonly freezeMs: number;
  readonly transport: PluggedTransport;
  /** Of the client; empty before its first connection. */
  session(): string;
  /** Harm was done: what the story tells. */
  done(what: string): void;
}

/** The server's own bound for the last one; the buttons rest as long, so that nobody meets it by being quick. */
const restMs = { drop: 400, freeze: 400, kill: 3200 };

const freezeWords = (ms: number): string => `Freeze it for ${ms / 1000} s`;

export class Harm {
  private readonly told = byId('told', HTMLParagraphElement);
  private plugged = true;
  private countdown: ReturnType<typeof setInterval> | undefined;

  constructor(private readonly options: HarmOptions) {
    setText(byId('freeze-label', HTMLSpanElement), freezeWords(options.freezeMs));
    const drop = byId('drop', HTMLButtonElement);
    const freeze = byId('freeze', HTMLButtonElement);
    const kill = byId('kill', HTMLButtonElement);
    drop.addEventListener('click', () => void this.ask(drop, 'drop', restMs.drop, 'The server dropped the connection'));
    kill.addEventListener('click', () => void this.ask(kill, 'kill-worker', restMs.kill, 'A worker was killed'));
    freeze.addEventListener('click', () => {
      void this.ask(freeze, 'freeze', restMs.freeze, 'The server froze the connection').then((done) => {
        if (done) this.countDown();
      });
    });
    byId('offline', HTMLButtonElement).addEventListener('click', () => this.toggleOffline());
  }

  private tell(text: string, bad = false): void {
    setText(this.told, text);
    this.told.classList.toggle('bad', bad);
  }

  /** Returns whether it was done. */
  private async ask(button: HTMLButtonElement, path: string, rest: number, what: string): Promise<boolean> {
    const session = this.options.session();
    if (!session) {
      this.tell('There is no session yet: wait for the first connection.', true);
      return false;
    }
    button.disabled = true;
    setTimeout(() => {
      button.disabled = false;
    }, rest);
    try {
      const answer = await fetch(`/demo/${path}`, { method: 'POST', body: JSON.stringify({ session }) });
      if (!answer.ok) {
        const refusal = (await answer.json()) as { reason?: string };
        this.tell(`Not done: ${refusal.reason ?? `HTTP ${answer.status}`}`, true);
        return false;
      }
      this.tell('');
      this.options.done(what);
      return true;
    } catch {
      // The worker that had taken the request may be the one that was killed a moment ago.
      this.tell('The server did not answer: try again.', true);
      return false;
    }
  }

  /** The frozen connection thaws by itself, long after another one has taken its place. Freezing that one too begins the count anew. */
  private countDown(): void {
    const button = byId('freeze', HTMLButtonElement);
    const label = byId('freeze-label', HTMLSpanElement);
    const end = Date.now() + this.options.freezeMs;
    clearInterval(this.countdown);
    const step = (): void => {
      const left = Math.ceil((end - Date.now()) / 1000);
      setText(label, left > 0 ? `Frozen for ${left} s more` : freezeWords(this.options.freezeMs));
      button.setAttribute('aria-pressed', String(left > 0));
      if (left <= 0) clearInterval(this.countdown);
    };
    this.countdown = setInterval(step, 250);
    step();
  }

  private toggleOffline(): void {
    this.plugged = !this.plugged;
    const button = byId('offline', HTMLButtonElement);
    button.setAttribute('aria-pressed', String(!this.plugged));
    setText(byId('offline-label', HTMLSpanElement), this.plugged ? 'Go offline' : 'Back online');
    setText(byId('offline-note', HTMLSpanElement), this.plugged ? 'Type on: it is sent when you are back.' : 'Nothing leaves this page now.');
    this.options.done(this.plugged ? 'Back online' : 'Offline: the page pulled its plug');
    this.options.transport.setPlugged(this.plugged);
    // What a browser says when the device has lost its network, or has it again.
    Object.defineProperty(navigator, 'onLine', { configurable: true, get: () => this.plugged });
    window.dispatchEvent(new Event(this.plugged ? 'online' : 'offline'));
  }
}
