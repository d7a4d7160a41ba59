/** tokens.ts - when a token is asked for, and of whom (HoldfastOptions.token, getToken). */
import type { TokenReason } from './types.js';
/** The Unix time in ms at which a JWT ends; Infinity: it does not say, or is none. Only the server can tell whether it is good. */
export declare function tokenEnd(token: string): number;
export declare class Tokens {
    private readonly source;
    private end;
    private have;
    private reason;
    private asking;
    constructor(token: string | undefined, source: ((reason: TokenReason) => string | Promise<string>) | undefined);
    /** Whether one must be asked for before the next attempt. */
    missing(unix: number): boolean;
    /** The server does not take it any more. */
    expired(): void;
    taken(token: string): void;
    /** When one must be asked for so that the connection need not break for it, as Unix time; Infinity: never. */
    renewAt(unix: number): number;
    /** Ask, unless that is under way. Never rejects. */
    ask(renewal: boolean, done: (token: string) => void, failed: (error: unknown) => void): void;
}
