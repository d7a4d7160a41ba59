/**
 * outbox.ts - a client's publishes, kept until the server has answered for them (src/session/outbox.h).
 * A publish has two numbers: its publish id, 1, 2, 3 … for as long as the outbox lives, which the application knows, and its `seq` in the present session, which is the publish id
 * less a base that changes with the session. Items leave at the front only, in order, so that both numbers stay contiguous.
 *
 *      |  covered, settling  |  written, unanswered  |  not written on this connection  |
 *    front                            written ^                                  front + count
 *      |  sent on some connection of this session ........ sent ^        |  never sent  |
 */
import type { Raw } from './message.js';
export interface OutboxItem {
    readonly publishId: number;
    readonly channel: string;
    readonly id: string | undefined;
    readonly payload: Raw;
    readonly bytes: number;
    /** A nack has come; the application has been told. */
    refused: boolean;
}
/** What an item costs beside its texts; a guess. */
export declare const itemBytes = 96;
export declare class Outbox {
    private readonly messagesMax;
    private readonly bytesMax;
    private readonly window;
    /** Publish id of the item at the front, or the next one's where there is none. */
    firstId: number;
    /** seq = publish id - seqBase */
    seqBase: number;
    /** Items from the front that need not be written on this connection (any more). */
    written: number;
    /** Items from the front that may have reached the server in this session. */
    sent: number;
    private bytes;
    /** The items from `head` on; what is before is gone, and cut off from time to time. */
    private items;
    private head;
    constructor(messagesMax: number, bytesMax: number, window: number);
    get count(): number;
    get nextId(): number;
    /** `full` for now; `too_large`: it would not fit into the empty outbox. */
    room(bytes: number): 'ok' | 'full' | 'too_large';
    /** Whatever the bounds say. */
    add(channel: string, id: string | undefined, payload: Raw, bytes: number): OutboxItem;
    /** The newest item was not accepted after all. Nothing of it may have been written. */
    takeBack(): void;
    /** The next item to write on this connection; undefined: nothing to write, or the window is full. */
    next(): OutboxItem | undefined;
    /** It has been put into the connection's output. */
    wrote(): void;
    /** The publish id of the last item that might be written next within so many bytes of output. */
    ahead(bytes: number): number;
    seq(item: OutboxItem): number;
    /** The highest seq that this session may have got; 0: none. */
    get seqSent(): number;
    /** The item with this seq, sent and not yet popped. */
    find(seq: number): OutboxItem | undefined;
    /** Take the item at the front, if it has been sent and its seq is not above `seq`. */
    pop(seq: number): OutboxItem | undefined;
    /** The same for an item at the front that has been refused: "counts as done" (PROTOCOL.md, nack). */
    popRefused(): OutboxItem | undefined;
    /** The connection is gone: all that is left is to be written again, for the server drops what it knows. */
    disconnected(): void;
    /**
     * The next connection has resumed the session: what is not above lastSeq need not be written, it only waits to be popped. False: lastSeq contradicts what the server has
     * acknowledged, or what it was sent.
     */
    resumed(lastSeq: number): boolean;
    /**
     * A new session has begun: what is left gets the numbers 1, 2, 3 … and is written anew. The caller has popped before what the old session is known to have applied, and
     * what is uncertain.
     */
    renewed(): void;
    /**
     * Take the item at the front out of the numbering, its seq not having been used: for a publish that the server refused by ending the connection (close 1009). Nothing may be
     * written and unanswered.
     */
    popUnused(): OutboxItem | undefined;
    /** The session is over for good: take the item at the front, whatever it is. */
    take(): OutboxItem | undefined;
    private at;
    private popFront;
}
