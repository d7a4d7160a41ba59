/**
 * ledger.ts - what the page has sent itself and what has come back, checked number by number.
 * It relies on nothing that the client library says: the numbers stand in the payloads. Invariant: received + lost + pending = sent.
 */
export class Ledger {
  /** Numbers given out: 1 to this one. */
  sent = 0;
  /** Different numbers that came. */
  received = 0;
  /** Came once more. */
  doubled = 0;
  /** Came behind a higher number. */
  late = 0;
  private highest = 0;
  /** Passed over: a higher number has come. */
  private readonly missing = new Set<number>();

  /** The number of the next message. */
  next(): number {
    return ++this.sent;
  }

  /** A number has come. */
  take(n: number): void {
    if (n > this.highest) {
      for (let passed = this.highest + 1; passed < n; passed++) this.missing.add(passed);
      this.highest = n;
      this.received++;
    } else if (this.missing.delete(n)) {
      this.received++;
      this.late++;
    } else {
      this.doubled++;
    }
  }

  get lost(): number {
    return this.missing.size;
  }

  /** Sent, and neither here nor lost. */
  get pending(): number {
    return this.sent - this.received - this.missing.size;
  }
}
