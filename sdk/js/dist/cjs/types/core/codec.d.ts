/** codec.ts - what an encoding is. One codec belongs to one connection: it may remember what was said on it. */
import type { ClientMessage, ServerMessage } from './message.js';
/** One message of a WebSocket connection: text or bytes. */
export type Frame = string | Uint8Array;
export interface Codec {
    readonly kind: CodecKind;
    encode(message: ClientMessage): Frame;
    /**
     * Decode all messages of one WebSocket message, one after the other: each is to be obeyed before the next is asked for. Throws a BadMessage where one cannot be understood; where those
     * behind it still can, it gives it in its place.
     */
    decode(data: string | Uint8Array): Iterable<ServerMessage | BadMessage>;
}
export interface CodecKind {
    /** The subprotocol. */
    readonly protocol: string;
    readonly encoding: 'json' | 'binary';
    create(): Codec;
}
/** What came cannot be understood; the text says why. */
export declare class BadMessage {
    readonly reason: string;
    constructor(reason: string);
}
/** The other kind of WebSocket message than this encoding has: "The other kind of message on either: close 1003." (PROTOCOL.md "Opening") */
export declare class WrongKind extends BadMessage {
}
