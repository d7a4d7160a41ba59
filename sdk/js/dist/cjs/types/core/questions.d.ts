import type { ErrorMessage, Of } from './message.js';
import { type RequestWhat } from './requests.js';
import type { Session } from './session.js';
export declare class Questions {
    private readonly s;
    private readonly requests;
    /** Calls whose connection broke before their answer, until they are told. */
    private lost;
    constructor(s: Session);
    get asked(): number;
    /** Ask; an event will name the number that is the answer here. Throws `closed`, `requests_full`. */
    ask(what: RequestWhat, now: number): number;
    forget(requestId: number): void;
    put(now: number): void;
    /** Whether it answers one of them. */
    onAnswer(message: Of<'pong' | 'history' | 'presence' | 'reply'>, now: number): boolean;
    /** Whether an `error` is the answer to one of them. */
    onError(message: ErrorMessage, now: number): boolean;
    disconnected(): void;
    /** "a `call` is reported as uncertain" (PROTOCOL.md "Resume" 6) */
    tellLost(): void;
    private putOne;
}
