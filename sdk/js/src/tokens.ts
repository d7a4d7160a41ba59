/** tokens.ts - when a token is asked for, and of whom (HoldfastOptions.token, getToken). */
import type { TokenReason } from './types.js';

/** A token that ends within that is not shown any more. */
const marginMs = 5000;
/** A new one is asked for when so much of the old one's time is left, at least. */
const renewBeforeMs = 30_000;

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
  private end = Infinity;
  private have: boolean;
  private reason: TokenReason = 'first';
  private asking = false;

  constructor(
    token: string | undefined,
    private readonly source: ((reason: TokenReason) => string | Promise<string>) | undefined,
  ) {
    this.have = token !== undefined;
    if (token !== undefined) this.end = tokenEnd(token);
  }

  /** Whether one must be asked for before the next attempt. */
  missing(unix: number): boolean {
    if (this.source === undefined) return false;
    if (this.have && unix < this.end - marginMs) return false;
    if (this.have) this.expired();
    return true;
  }

  /** The server does not take it any more. */
  expired(): void {
    this.have = false;
    this.reason = 'expired';
  }

  taken(token: string): void {
    this.have = true;
    this.end = tokenEnd(token);
  }

  /** When one must be asked for so that the connection need not break for it, as Unix time; Infinity: never. */
  renewAt(unix: number): number {
    if (this.source === undefined || this.end === Infinity) return Infinity;
    return Math.max(unix, this.end - renewBeforeMs);
  }

  /** Ask, unless that is under way. Never rejects. */
  ask(renewal: boolean, done: (token: string) => void, failed: (error: unknown) => void): void {
    const { source } = this;
    if (source === undefined || this.asking) return;
    this.asking = true;
    // What it throws at once is as good as what it rejects with.
    void new Promise<string>((resolve) => resolve(source(renewal ? 'renewal' : this.reason))).then(
      (token) => {
        this.asking = false;
        this.taken(token);
        done(token);
      },
      (error: unknown) => {
        this.asking = false;
        failed(error);
      },
    );
  }
}
