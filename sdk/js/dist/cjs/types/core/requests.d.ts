/**
 * requests.ts - what a client has asked the server and has no answer to yet (src/session/request.h). A request lives until it is answered, through as many connections as that
 * takes: "Requests without an answer are asked again after the resume; a `call` is reported as uncertain" (PROTOCOL.md "Resume" 6). Its id on the wire is 'r' and its
 * number, so that it is never taken for a heartbeat's.
 */
import type { Raw, Since } from './message.js';
export type RequestWhat = {
    readonly type: 'ping';
} | {
    readonly type: 'history';
    readonly channel: string;
    readonly since: Since | undefined;
    readonly limit: number;
    readonly reverse: boolean;
} | {
    readonly type: 'presence';
    readonly channel: string;
} | {
    readonly type: 'call';
    readonly method: string;
    readonly payload: Raw;
};
export interface Request {
    readonly requestId: number;
    /** The id on the wire. */
    readonly name: string;
    readonly what: RequestWhat;
    /** On the present connection. */
    asked: boolean;
}
/** Without an answer at a time. */
export declare const requestsMax = 64;
export declare class Requests {
    /** In the order of asking, by the id on the wire. */
    private readonly all;
    private lastId;
    get full(): boolean;
    /** Asked on the present connection. */
    get asked(): number;
    add(what: RequestWhat): number;
    /** Those that have not been asked on this connection, which they are from now on. */
    toAsk(): Request[];
    /** Take out the one of this type that was asked on this connection under this id. */
    take(type: RequestWhat['type'], name: string | undefined): Request | undefined;
    /** The caller waits no more. An answer that comes is ignored. */
    forget(requestId: number): void;
    /** The connection is gone: all are to be asked again, but for the calls that were, which are taken out and given back. */
    disconnected(): Request[];
}
