/** link.ts - whether the server answers this page, and if not, why: one state, told to all who show it or wait for it. */
import { ApiError } from './api.js';

/**
 * connecting     nothing is known yet
 * live           it answers
 * draining       it answers, and takes no new clients
 * unreachable    no answer; since when
 * unauthorized   it asks for a key (wrong: the one that it was sent is not taken)
 * forbidden      not from here, or not with this key
 * busy           it asks to come back later
 * strange        something else answers
 */
export type LinkState =
  | { readonly is: 'connecting' | 'live' | 'draining' }
  | { readonly is: 'unreachable'; readonly since: number; readonly reason: string }
  | { readonly is: 'unauthorized'; readonly wrong: boolean; readonly reason: string }
  | { readonly is: 'forbidden' | 'busy' | 'strange'; readonly reason: string };

const slowestMs = 5000;

export class Link {
  private now: LinkState = { is: 'connecting' };
  private failures = 0;
  private readonly listeners: ((state: LinkState) => void)[] = [];

  get state(): LinkState {
    return this.now;
  }

  /** Views ask only while it is. */
  get answers(): boolean {
    return this.now.is === 'live' || this.now.is === 'draining';
  }

  onChange(call: (state: LinkState) => void): void {
    this.listeners.push(call);
  }

  answered(draining: boolean): void {
    this.failures = 0;
    this.become({ is: draining ? 'draining' : 'live' });
  }

  /** Returns when to ask again, in ms; Infinity: not before there is another key. */
  failed(error: unknown, hadKey: boolean): number {
    this.failures++;
    const backoff = Math.min(slowestMs, 500 * 2 ** Math.min(this.failures, 5));
    const reason = error instanceof Error ? error.message : String(error);
    if (!(error instanceof ApiError)) {
      this.become({ is: 'strange', reason });
      return backoff;
    }
    switch (error.kind) {
      case 'unreachable':
        this.become({ is: 'unreachable', since: this.now.is === 'unreachable' ? this.now.since : Date.now(), reason });
        return backoff;
      case 'unauthorized':
        // Told each time: who has entered one wrong key after the other waits for the answer to each.
        this.become({ is: 'unauthorized', wrong: hadKey, reason }, true);
        return Infinity;
      case 'busy':
        this.become({ is: 'busy', reason: `${reason} (${error.status})` });
        return Math.max(error.retryMs, backoff);
      case 'forbidden':
        this.become({ is: 'forbidden', reason });
        return slowestMs;
      default:
        this.become({ is: 'strange', reason: `${reason} (${error.status})` });
        return slowestMs;
    }
  }

  private become(state: LinkState, always = false): void {
    const same = JSON.stringify(this.now) === JSON.stringify(state);
    this.now = state;
    if (always || !same) for (const call of this.listeners) call(state);
  }
}
