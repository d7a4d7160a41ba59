/** errors.ts - what is thrown, and what promises are rejected with: a code to decide by, a text that says what to do. */
import { type ErrorCode } from './codes.js';
export declare class HoldfastError extends Error {
    readonly name: string;
    /** To decide by. */
    readonly code: ErrorCode;
    /** The code's number, for logs. */
    readonly number: number;
    /** The code as the server wrote it, where the server said so. */
    readonly serverCode: string | undefined;
    constructor(code: ErrorCode, message: string, serverCode?: string);
}
/** A publish was refused: it was not applied, and will not be. `code` says why. */
export declare class PublishRefused extends HoldfastError {
    readonly name = "PublishRefused";
    readonly channel: string;
    constructor(channel: string, code: ErrorCode, message: string, serverCode?: string);
}
/**
 * Nobody knows whether a publish was applied: it was sent, and the server has lost the session before it answered. It is not sent again. Where it has an `id` and
 * the channel keeps ids, publishing it once more with the same `id` is safe.
 */
export declare class PublishUncertain extends HoldfastError {
    readonly name = "PublishUncertain";
    readonly channel: string;
    readonly id: string | undefined;
    /** As it was published. */
    readonly payload: unknown;
    constructor(channel: string, id: string | undefined, payload: unknown);
}
/** An error from a code as the server writes it. */
export declare function errorCode(serverCode: string): ErrorCode;
