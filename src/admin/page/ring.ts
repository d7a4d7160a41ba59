/** ring.ts - the newest rows of a table of numbers, column by column. A row has no value in a column until it is given one. */
export class Ring {
  private readonly columns = new Map<string, Float64Array>();
  /** Rows begun so far; the newest is the one before. */
  private begun = 0;

  constructor(private readonly rowsMax: number) {}

  get rows(): number {
    return Math.min(this.begun, this.rowsMax);
  }

  /** A new row takes the oldest one's place where there are too many. */
  begin(): void {
    this.begun++;
    const at = this.place(0);
    for (const column of this.columns.values()) column[at] = NaN;
  }

  /** In the newest row. */
  set(name: string, value: number): void {
    let column = this.columns.get(name);
    if (!column) this.columns.set(name, (column = new Float64Array(this.rowsMax).fill(NaN)));
    column[this.place(0)] = value;
  }

  has(name: string): boolean {
    return this.columns.has(name);
  }

  names(): Iterable<string> {
    return this.columns.keys();
  }

  /** The newest `count` rows, oldest first; null where there is no value. */
  values(name: string, count: number): (number | null)[] {
    const column = this.columns.get(name);
    const out: (number | null)[] = [];
    for (let ago = Math.min(count, this.rows) - 1; ago >= 0; ago--) {
      const value = column?.[this.place(ago)] ?? NaN;
      out.push(Number.isNaN(value) ? null : value);
    }
    return out;
  }

  latest(name: string): number | null {
    return this.values(name, 1)[0] ?? null;
  }

  private place(ago: number): number {
    return (this.begun - 1 - ago) % this.rowsMax;
  }
}
