/** random.ts - where jitter comes from. It is passed in: a test gives a generator of its own. */

export interface Random {
  /** A whole number in [0, below); 0 where below is 0. */
  below(below: number): number;
}

/** From a source of numbers in [0, 1). */
export function randomFrom(unit: () => number): Random {
  return { below: (below) => Math.floor(unit() * below) };
}
