/**
 * link.ts - one connection as its session sees it: src/session/link.h, less what a WebSocket implementation does by itself.
 *
 *   idle    -> dialing  dial()       the owner wants a connection; the driver makes it
 *   dialing -> ready    connected()  it stands, and nothing has been said on it (where a driver can tell that)
 *   ready   -> opening  request()    the upgrade request is out
 *   opening -> open     open()       it was accepted
 *   open    -> closing  close()      a close frame is to be sent
 *   any     -> idle     drop()       the connection is gone, or its owner has lost interest
 *
 * Most WebSocket implementations dial and ask at once: there a link goes from `dialing` to `open`, and `requested` says that the request may be out.
 */
import type { Codec, Frame } from './codec.js';
import type { ClientMessage } from './message.js';
import type { Random } from './random.js';
export type LinkState = 'idle' | 'dialing' | 'ready' | 'opening' | 'open' | 'closing';
/** What is to be sent as one WebSocket message. */
export interface Output {
    readonly data: Frame;
    readonly bytes: number;
}
export declare class Link {
    private readonly random;
    state: LinkState;
    /** The number of the connection that it carries; rising over all links of a session. */
    attempt: number;
    /** The request may have reached the server. */
    requested: boolean;
    /** `closing`: to tell the server; 0: nothing. */
    closeCode: number;
    codec: Codec | null;
    /** Until when a `closing` link is kept for its driver to write the rest. */
    lingerUntil: number;
    /** What the driver has not taken yet, and its bytes, with those that it has taken and its socket has not. */
    outBytes: number;
    private out;
    constructor(random: Random);
    dial(attempt: number): void;
    connected(): void;
    request(): void;
    open(codec: Codec): void;
    put(message: ClientMessage): void;
    /** Take what is to be sent. sent() tells when the socket has taken it. */
    takeOutput(): Output[];
    sent(bytes: number): void;
    /** Tell the server with this code; nothing goes out after it. Does nothing where the link is not open. */
    close(code: number): void;
    /** There is no more to be said on it, but for this code. */
    end(code?: number): void;
    drop(): void;
    private move;
}
