/** random.ts - where jitter comes from. It is passed in: a test gives a generator of its own. */
export interface Random {
    /** A whole number in [0, below); 0 where below is 0. */
    below(below: number): number;
    /**
     * The C client draws the masks and nonces of its frames from the same generator. One that must stay in step with it steps over so many draws; others have no
     * such function.
     */
    skip?(draws: number): void;
}
/** From a source of numbers in [0, 1). */
export declare function randomFrom(unit: () => number): Random;
