/**
 * codes.ts - every reason that this library gives, with its number and what it says where nothing more is known.
 * Names and numbers are part of the public interface: they are added to, never changed. The states and causes, and their numbers, are those of
 * the C client (src/session/client_state.h), so that logs of both can be read together.
 */
/** Where the connection stands. docs/reconnect.md tells what may follow what. */
export declare const stateNumbers: {
    /** There is no connection; the time of the next attempt is known. */
    readonly waiting: 0;
    /** One is being made, up to the server's `welcome`. */
    readonly connecting: 1;
    /** The server has welcomed it. */
    readonly live: 2;
    /** There is one, and it may be dead: it is being asked. Messages, requests and publishes go on. */
    readonly doubtful: 3;
    /** No connection, and the system says that there is no way to make one. */
    readonly offline: 4;
    /** The goodbye is said; its answer is awaited for two seconds at most. */
    readonly closing: 5;
    /** For ever. */
    readonly ended: 6;
};
export type State = keyof typeof stateNumbers;
/** Why the state changed. */
export declare const causeNumbers: {
    readonly started: 1;
    readonly due: 2;
    readonly probe: 3;
    readonly welcomed: 4;
    readonly proven: 5;
    readonly network_changed: 6;
    readonly address_gone: 7;
    readonly offline: 8;
    readonly woke_up: 9;
    readonly foreground: 10;
    readonly heartbeat_late: 11;
    readonly heartbeat_missed: 12;
    readonly sent_after_silence: 13;
    readonly answer_late: 14;
    readonly output_stuck: 15;
    readonly connection_lost: 16;
    readonly unreachable: 17;
    readonly timed_out: 18;
    readonly refused: 19;
    readonly retry_after: 20;
    readonly server_drain: 21;
    readonly closed_by_server: 22;
    readonly superseded: 23;
    readonly token_expired: 24;
    readonly ended_by_server: 25;
    readonly protocol_error: 26;
    /** Never told by this library; it keeps the number. */
    readonly no_memory: 27;
    readonly closed: 28;
};
export type Cause = keyof typeof causeNumbers;
/** What a cause says where nothing more is known. */
export declare const causeTexts: Readonly<Record<Cause, string>>;
/** What is wrong, in a {@link HoldfastError}. Below 100: the server says so (PROTOCOL.md "Limits"); from 100 on: this library does. */
export declare const errorNumbers: {
    /** The server could not understand what it was sent, or the client what came. */
    readonly bad_message: 1;
    readonly bad_seq: 2;
    readonly unauthorized: 3;
    readonly forbidden: 4;
    readonly not_found: 5;
    /** Larger than the server takes; also found by the client, which knows the server's limit. */
    readonly too_large: 6;
    readonly rate_limited: 7;
    readonly limit: 8;
    readonly overloaded: 9;
    readonly unavailable: 10;
    /** There was no answer in time; also found by the client. */
    readonly timeout: 11;
    readonly internal: 12;
    /** The server's code is not one of the above: `serverCode` has it. */
    readonly unknown: 99;
    /** An argument is not what it must be. */
    readonly invalid: 100;
    /** The channel is subscribed to already: `subscription(channel)` gives the subscription. */
    readonly exists: 101;
    /** The client was closed, or its session has ended. */
    readonly closed: 102;
    /** The outbox is full: publish again when one of its publishes has settled. */
    readonly outbox_full: 103;
    /** The server has lost the session: the publish, or call, may have been applied. It is not sent again. */
    readonly uncertain: 104;
    /** An iterator's queue was full, and `overflow` is `fail`. */
    readonly overflow: 105;
    /** This platform, or this encoding, cannot do it. */
    readonly unsupported: 106;
    /** What the outbox's storage should keep could not be kept. */
    readonly outbox: 107;
    /** The caller's `AbortSignal` ended the wait. */
    readonly aborted: 108;
    /** Too many requests wait for their answers. */
    readonly requests_full: 109;
};
export type ErrorCode = keyof typeof errorNumbers;
/** Why messages cannot be had, in a {@link Gap}. */
export declare const gapNumbers: {
    /** The log does not hold them any more. */
    readonly evicted: 1;
    /** The server's policy for slow connections skipped them. */
    readonly slow: 2;
    /** The channel was begun anew: what is left of the old epoch cannot be had, how much that is is not known. */
    readonly epoch: 3;
    /** An iterator's queue was full: this page was too slow, and they were dropped on it. Never told by an event. */
    readonly overflow: 4;
    /** The server's code is not one of the above. */
    readonly unknown: 99;
};
export type GapCode = keyof typeof gapNumbers;
/** WebSocket close codes with a meaning of their own (PROTOCOL.md "Close codes"). */
export declare const closeCodes: {
    readonly normal: 1000;
    readonly goingAway: 1001;
    readonly protocolError: 1002;
    readonly unsupported: 1003;
    readonly policy: 1008;
    readonly tooBig: 1009;
    readonly internal: 1011;
    readonly tryAgainLater: 1013;
    readonly superseded: 4001;
    readonly tokenExpired: 4002;
    readonly ended: 4003;
    readonly heartbeatMissed: 4004;
    readonly tooSlow: 4005;
    readonly sessionLimit: 4006;
};
