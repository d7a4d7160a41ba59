/** stage.ts - what a view stands on: the server, the rights, and polls that end with the view. */
import { ApiError } from './api.js';
import type { Monitor, Parts } from './monitor.js';
import { Poll } from './poll.js';
import type { Route } from './router.js';

/** How often a poll looks whether the server is back. Nothing is asked of it meanwhile. */
const lookAgainMs = 300;

export interface View {
  readonly element: HTMLElement;
  /** Of the window. */
  readonly title: string;
  /** The theme has changed: colours that were drawn are to be drawn anew. */
  repaint?(): void;
}

export interface Navigation {
  go(route: Route): void;
  /** The address changes, and the view stays. */
  replace(route: Route): void;
}

export class Stage {
  private readonly ending = new AbortController();
  private readonly polls: Poll[] = [];

  constructor(
    readonly parts: Parts,
    readonly monitor: Monitor,
    readonly navigation: Navigation,
  ) {}

  /** Aborted when the view is left. */
  get signal(): AbortSignal {
    return this.ending.signal;
  }

  /** Ask every so often, from now on, while the server answers and the page is seen. failed: called with what a question came to that was not answered well. */
  poll(everyMs: number, task: () => Promise<void>, failed: (error: unknown) => void): Poll {
    const poll = new Poll(everyMs, async () => {
      if (!this.parts.link.answers) return lookAgainMs;
      try {
        await task();
        return undefined;
      } catch (error) {
        return this.tell(error, failed);
      }
    });
    this.polls.push(poll);
    return poll;
  }

  onAnswer(call: () => void): void {
    this.onLeave(this.monitor.onAnswer(call));
  }

  onLeave(call: () => void): void {
    this.signal.addEventListener('abort', call);
  }

  /** A server that is gone, or has other keys, is for the monitor to find out at once. */
  suspect(error: unknown): void {
    if (error instanceof ApiError && (error.kind === 'unreachable' || error.kind === 'unauthorized')) this.monitor.askNow();
  }

  leave(): void {
    for (const poll of this.polls) poll.stop();
    this.ending.abort();
  }

  private tell(error: unknown, failed: (error: unknown) => void): number | undefined {
    if (this.signal.aborted) return undefined;
    this.suspect(error);
    failed(error);
    return error instanceof ApiError && error.retryMs > 0 ? error.retryMs : undefined;
  }
}
