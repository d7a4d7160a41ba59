/** queue.ts - what lies between a channel and a loop over it: bounded, with one of two answers at the bound (IterateOptions.overflow). */
import { HoldfastError } from './errors.js';
import type { Delivery, IterateOptions } from './types.js';
export declare class DeliveryQueue<P> implements AsyncIterableIterator<Delivery<P>> {
    private readonly onEnd;
    private items;
    private head;
    /** Dropped since the loop took something; it comes before what is left. */
    private dropped;
    private waiting;
    private over;
    /** Told once, behind what is left. */
    private error;
    private readonly limit;
    private readonly fails;
    /** onEnd: nobody asks any more. */
    constructor(options: IterateOptions, onEnd: () => void);
    push(item: Delivery<P>): void;
    /** What is left is still given. */
    end(error?: HoldfastError | null): void;
    next(): Promise<IteratorResult<Delivery<P>>>;
    return(): Promise<IteratorResult<Delivery<P>>>;
    [Symbol.asyncIterator](): this;
    private finish;
    private take;
    /** A gap grows over what is dropped; a new epoch begins another, and what was missing of the old one goes with it. */
    private drop;
}
