/**
 * poll.ts - asking again and again: never twice at once, and never while nobody looks.
 * The time between is counted from one question to the next, and never less than a tenth of a second from an answer to the next question.
 */

/** What a poll stands on; a test gives its own. */
export interface Surroundings {
  isHidden(): boolean;
  /** Calls back whenever the page is shown again. Returns how to stop that. */
  whenShown(call: () => void): () => void;
  after(ms: number, call: () => void): () => void;
  now(): number;
}

export const page: Surroundings = {
  isHidden: () => document.visibilityState === 'hidden',
  whenShown: (call) => {
    const look = (): void => {
      if (document.visibilityState === 'visible') call();
    };
    document.addEventListener('visibilitychange', look);
    return () => document.removeEventListener('visibilitychange', look);
  },
  after: (ms, call) => {
    const timer = setTimeout(call, ms);
    return () => clearTimeout(timer);
  },
  now: () => performance.now(),
};

const restMs = 100;

export class Poll {
  private asking = false;
  /** It was kicked while it asked: once more at once. */
  private again = false;
  private stopped = false;
  private cancel = (): void => undefined;
  private readonly forget: () => void;

  /** task: handles the server's failures, and may return how many ms to wait, in place of everyMs, for the next time; Infinity: until kick(). */
  constructor(
    private readonly everyMs: number,
    private readonly task: () => Promise<number | undefined>,
    private readonly around: Surroundings = page,
  ) {
    this.forget = around.whenShown(() => this.kick());
    this.kick();
  }

  /** Ask now, or as soon as the question that is under way is answered. */
  kick(): void {
    if (this.asking) {
      this.again = true;
      return;
    }
    this.cancel();
    if (!this.stopped && !this.around.isHidden()) void this.ask();
  }

  stop(): void {
    this.stopped = true;
    this.cancel();
    this.forget();
  }

  private async ask(): Promise<void> {
    const began = this.around.now();
    this.asking = true;
    this.again = false;
    let wanted: number | undefined;
    try {
      wanted = await this.task();
    } catch (error) {
      // A fault of the page's own. It goes on, for the next answer may be another one.
      reportError(error);
    }
    this.asking = false;
    if (this.stopped) return;
    const wait = this.again ? 0 : (wanted ?? this.everyMs - (this.around.now() - began));
    if (wait !== Infinity) this.cancel = this.around.after(Math.max(restMs, wait), () => this.kick());
  }
}
