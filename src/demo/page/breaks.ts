/**
 * breaks.ts - when the connection broke, and how long it took to be back. Two times are told: from the moment at which the client knew until it had caught up, and the whole
 * silence, which includes finding out. Times are Date.now()'s.
 *
 * A break begins with a loss, or with a doubt that ends in another connection: where the old one is only silent, the client makes the next one before it gives that up.
 */
export interface Recovery {
  /** From the break, as the client saw it, until all that was missed was here. */
  readonly recoveryMs: number;
  /** Between the last message before and the first one after it. */
  readonly silenceMs: number;
  /** So many came with the resume. */
  readonly messages: number;
}

export interface Outage {
  readonly from: number;
  /** null: it goes on. */
  to: number | null;
}

const outagesKept = 50;

export class Breaks {
  count = 0;
  resumed = 0;
  /** The newest ones, for the chart. */
  readonly outages: Outage[] = [];
  private brokenAt: number | null = null;
  private doubtedAt: number | null = null;
  private lastMessageAt: number | null = null;
  /** The last message before the break; null once another has come. */
  private silentSince: number | null = null;
  private silenceMs = 0;

  message(now: number): void {
    if (this.silentSince !== null) this.silenceMs = now - this.silentSince;
    this.silentSince = null;
    this.lastMessageAt = now;
  }

  doubted(now: number): void {
    this.doubtedAt ??= now;
  }

  proven(): void {
    this.doubtedAt = null;
  }

  /** The client has lost its connection. Further losses before it is back belong to the same break. */
  broke(now: number): void {
    if (this.brokenAt !== null) return;
    this.count++;
    this.brokenAt = this.doubtedAt ?? now;
    this.doubtedAt = null;
    this.silentSince = this.lastMessageAt ?? now;
    this.outages.push({ from: this.silentSince, to: null });
    if (this.outages.length > outagesKept) this.outages.shift();
  }

  /** There is a connection again, or another one. */
  connected(now: number, resumed: boolean): void {
    if (this.doubtedAt !== null) this.broke(now);
    if (this.brokenAt !== null && resumed) this.resumed++;
  }

  /** Returns what it took, or null where nothing was broken. */
  caughtUp(now: number, messages: number): Recovery | null {
    if (this.brokenAt === null) return null;
    const recovery = { recoveryMs: now - this.brokenAt, silenceMs: this.silentSince === null ? this.silenceMs : now - this.silentSince, messages };
    const outage = this.outages.at(-1);
    if (outage) outage.to = now;
    this.brokenAt = null;
    this.silentSince = null;
    return recovery;
  }
}
