/** tokens.ts - when a token is asked for, and of whom (HoldfastOptions.token, getToken). */
import * as has from './features.js';
import type { TokenReason } from './types.js';

/** A token that ends within that is not shown any more. */
const marginMs = 5000;
/** A new one is asked for when so much of the old one's time is left, or half of it where that is less. */
const renewBeforeMs = 30_000;
/** But not earlier than so long after the old one came: a source may keep its tokens, and give the same one for as long as it is good. */
const renewAfterMs = 5000;

/** The Unix time in ms at which a JWT ends; Infinity: it does not say, or is none. Only the server can tell whether it is good. */
export function tokenEnd(token: string): number {
  try {
    const body = token.split('.')[1] ?? '';
    const claims: unknown = JSON.parse(atob(body.replaceAll('-', '+').replaceAll('_', '/')));
    const exp = typeof claims === 'object' && claims !== null && 'exp' in claims ? claims.exp : undefined;
    return typeof exp === 'number' ? exp * 1000 : Infinity;
  } catch {
    return Infinity;
  }
}

export class Tokens {
  /** @only renewsTokens */
  private end = Infinity;
  /** @only renewsTokens */
  private renewal = Infinity;
  private have: boolean;
  /**
   * It had ended by our clock when it was given, and has not been shown since. Our clock may be wrong, and a new token would be no better: the server decides about each token that the
   * source gives.
   * @only renewsTokens
   */
  private untried = false;
  private reason: TokenReason = 'first';
  private asking = false;

  constructor(
    token: string | undefined,
    private readonly source: ((reason: TokenReason) => string | Promise<string>) | undefined,
    unix: number,
  ) {
    this.have = token !== undefined;
    if (has.renewsTokens && token !== undefined) this.keep(token, unix);
  }

  /** Whether one must be asked for before the next attempt. If not, that is made now, with the one that is there. */
  missing(unix: number): boolean {
    if (this.source === undefined) return false;
    if (this.have && (!has.renewsTokens || this.untried || unix < this.end - marginMs)) {
      if (has.renewsTokens) this.untried = false;
      return false;
    }
    if (has.renewsTokens && this.have) this.expired();
    return true;
  }

  /** The server does not take it any more. */
  expired(): void {
    this.have = false;
    this.reason = 'expired';
  }

  /** shown: on the connection that stands. */
  taken(token: string, unix: number, shown: boolean): void {
    this.have = true;
    if (!has.renewsTokens) return;
    this.keep(token, unix);
    this.untried = !shown && unix >= this.end - marginMs;
  }

  /** When one must be asked for so that the connection need not break for it, as Unix time; Infinity: never. @only renewsTokens */
  get renewAt(): number {
    return this.source === undefined ? Infinity : this.renewal;
  }

  /** Ask, unless that is under way. Never rejects. `done` is to say that it was taken. Returns whether a question was asked. */
  ask(renewal: boolean, done: (token: string) => void, failed: (error: unknown) => void): boolean {
    const { source } = this;
    if (source === undefined || this.asking) return false;
    this.asking = true;
    // What it throws at once is as good as what it rejects with.
    void new Promise<string>((resolve) => resolve(source(renewal ? 'renewal' : this.reason))).then(
      (token) => {
        this.asking = false;
        done(token);
      },
      (error: unknown) => {
        this.asking = false;
        failed(error);
      },
    );
    return true;
  }

  /** The source has been silent for too long: it may be asked anew. What it gives later is taken all the same. @only renewsTokens */
  giveUp(): void {
    this.asking = false;
  }

  /** @only renewsTokens */
  private keep(token: string, unix: number): void {
    this.end = tokenEnd(token);
    const left = this.end - unix;
    // What has ended already by our clock is not renewed by it: the server will tell.
    this.renewal = left <= marginMs ? Infinity : unix + Math.max(renewAfterMs, left - renewBeforeMs, left / 2);
  }
}
