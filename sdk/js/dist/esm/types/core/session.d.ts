/**
 * session.ts - the reliable session as a client keeps it: one pure state machine over the connections that break, the same as src/session/client_session.h in C. No socket and no
 * clock: a driver makes the connections, carries the messages and says what time it is. Its states, and what may follow what, are in state.ts.
 *
 * A session has two slots for connections: the one it lives on, and one that is being made to follow it (make before break), or that is being closed. A third one is for probes of
 * the network, where a heartbeat policy wants them. How a driver uses it:
 *
 *   for each slot, after every call, obey want(slot):
 *     - its connection in that slot has another attempt number: close that at once, and report nothing;
 *     - `connect` and none yet: make one, with the subprotocols of request(slot); report opened(), refused() or lost().
 *       A driver that can dial without asking reports connected() first, and asks when `carry` comes. One that cannot makes nothing while `held`;
 *     - `carry`: what comes is message(), what output() has is to be sent, and told by sent(); on its end closed() or lost();
 *     - `close`: send what output() has, close it with closeCode, report lost();
 *   when deadline() has passed, deliver what has come first, then call tick().
 *
 * What is told comes by onEvent, during one of these calls. In it the driver may call publish(), subscribe(), unsubscribe(), close() and the requests, and nothing else.
 * Times are milliseconds of one clock that never goes back.
 */
import { type Cause, type State } from '../codes.js';
import { Backoff } from './backoff.js';
import { Channels } from './channels.js';
import { type CodecKind } from './codec.js';
import type { SessionEvent } from './events.js';
import { Heartbeat, type HeartbeatPolicy } from './heartbeat.js';
import { type Output } from './link.js';
import { type ClientMessage } from './message.js';
import { Publishing } from './publishing.js';
import { Questions } from './questions.js';
import type { Random } from './random.js';
import type { SessionStore, Stored } from './store.js';
export declare const probeSlot = 2;
export interface SessionConfig {
    /** In the order of preference. */
    readonly codecs: readonly CodecKind[];
    readonly token: string | null;
    /** Whether a fresh token can be had: then an expired one does not end the session. */
    readonly tokenSource: boolean;
    readonly outboxMessages: number;
    readonly outboxBytes: number;
    readonly window: number;
    readonly subscriptions: number;
    /** To ask of the server; 0: the server's own, or what the policy may need. */
    readonly heartbeatIntervalMs: number;
    /** null: always the server's interval. */
    readonly policy: HeartbeatPolicy | null;
    readonly background: boolean;
    readonly random: Random;
    /** The driver can tell a connection that stands from one that has been asked for. */
    readonly splitDial: boolean;
    /** Keeps the outbox; null: nothing does. */
    readonly store: SessionStore | null;
    /** What the store has; null: nothing. */
    readonly stored: Stored | null;
    onEvent(event: SessionEvent): void;
}
export type Wish = 'none' | 'connect' | 'carry' | 'close';
export interface Want {
    readonly wish: Wish;
    /** Which connection is meant; 0 with `none`. */
    readonly attempt: number;
    /** `connect`: then the session gives it up. */
    readonly until: number;
    /** `connect`: only prepare it; a driver that can only dial and ask at once does nothing yet. */
    readonly held: boolean;
    /** `close`: to tell the server; 0: nothing. */
    readonly closeCode: number;
}
/** What is known of the way that a slot's connection takes: a new one would take the same; another; its own is not there any more. */
export type Path = 'same' | 'moved' | 'gone';
export interface NetworkFacts {
    /** There is no way to the server at all. */
    readonly offline: boolean;
    readonly paths: readonly [Path, Path, Path];
}
/** Why the state changes: how a connection or an attempt ended, or what else happened. */
export interface Why {
    readonly cause: Cause;
    readonly evidence?: string;
    readonly closeCode?: number;
    readonly httpStatus?: number;
    readonly reason?: string;
    readonly minMs?: number;
    readonly maxMs?: number;
    readonly asked?: boolean;
    /** No further attempt would help. */
    readonly final?: boolean;
}
export declare class Session {
    readonly config: SessionConfig;
    state: State;
    id: string;
    /** Connections that were welcomed. */
    connections: number;
    /** The slot that the session lives on; -1: none. */
    live: number;
    readonly random: Random;
    readonly heartbeat: Heartbeat;
    readonly backoff: Backoff;
    readonly publishing: Publishing;
    readonly channels: Channels;
    readonly questions: Questions;
    /** A welcome is being looked at: requests wait until it has been. */
    greeting: boolean;
    /** The session was another process's, and its subscriptions are not all ended yet. */
    inherited: boolean;
    /** Empty: there is no session to resume. */
    ticket: string;
    /** Attempts made so far; the last one's number. */
    attempts: number;
    /** The live connection cannot go on: why; null: it can. */
    failed: string | null;
    /** And the session cannot, either. */
    forgetSession: boolean;
    /** close() was called in an event. */
    closeWanted: boolean;
    caughtUpCount: number;
    private readonly links;
    private readonly prober;
    private token;
    /** The slot that shall follow; -1: none. */
    private next;
    /** `next` is prepared only: the upgrade waits until the doubt is confirmed. */
    private nextHeld;
    /** The highest attempt whose request went out and whose answer was not waited for. */
    private givenUp;
    /** waiting, offline: when the next one is due, and why then. */
    private attemptAt;
    private attemptCause;
    /** The server has named a time, which signals bring forward only within bounds; 0: it has not. */
    private toldUntil;
    /** `next`: when it was begun; when it is given up (Infinity: it is prepared, and the doubt stands); when its request was put out. */
    private attemptFrom;
    private attemptUntil;
    private requestAt;
    private prepared;
    /** doubtful: anything that comes after this ping was sent proves the connection. */
    private proofPing;
    private offline;
    /** live: when the server's `reconnect` is to be followed; Infinity: there is none. */
    private leaveAt;
    /** A `reconnect` on a connection that got no welcome. */
    private advice;
    /** closing: the wait for the server's answer to `bye`. */
    private closeUntil;
    private lossSpreadMs;
    private retries;
    private failedCode;
    /** Refusals in a row for want of a good token. */
    private tokenRefusals;
    /** Sent behind the welcome; its pong ends catching up and settling. 0: had. */
    private welcomePing;
    private badMessages;
    private unackedMessages;
    private unackedBytes;
    /** When acknowledgements are due; Infinity: nothing to acknowledge. */
    private ackAt;
    /** Output waits, and the socket has taken nothing since; Infinity: none waits. */
    private outputFrom;
    /** The last answer, or the first request without one; Infinity: none waits. */
    private answerFrom;
    /** Calls under way: an event is possible. */
    private busy;
    constructor(config: SessionConfig, now: number);
    /** Say goodbye: the server forgets the session. `ended` follows, at the latest after two seconds. */
    close(now: number): void;
    get closing(): boolean;
    /** Whether nobody is looking: then delays after failures grow up to 300 s and not to 30 s. Coming to the foreground is a signal. */
    background(background: boolean, now: number): void;
    /** Shown from now on; the connection that stands gets it too. */
    setToken(token: string, now: number): boolean;
    /** The network in use has this key; empty: not known. To be told before network() at each change. */
    setNetwork(key: string, now: number): void;
    /** The policy was given another tolerance: the server is asked anew. */
    heartbeatChanged(now: number): void;
    /**
     * Something on the way to the server changed, and this is how things stand now. It verifies a connection that stands, by a ping with a deadline of the round trip's size, and brings
     * a waiting attempt forward to within 100 ms; only where the server had named the time, to 30 s at the soonest.
     */
    network(facts: NetworkFacts, now: number): void;
    /** The machine slept: a signal. */
    wokeUp(now: number): void;
    /** The driver has closed all connections, because the page is left or frozen: that says nothing about the network. wokeUp() goes on. */
    suspended(evidence: string, now: number): void;
    want(slot: number): Want;
    /** The wanted connection stands, and nothing has been said on it. */
    connected(slot: number, now: number): void;
    /** Whether the request is to go out now on a connection that stands: carry, and it has not. */
    requestDue(slot: number): boolean;
    /** The subprotocols to ask for. From here on the server may have got them. */
    request(slot: number, now: number): string[];
    /** The upgrade was accepted, with this subprotocol. */
    opened(slot: number, protocol: string, now: number): void;
    /** The answer was another than 101; status 0: it was no HTTP at all. */
    refused(slot: number, status: number, retryAfterS: number, now: number): void;
    /** What came in one WebSocket message. */
    message(slot: number, data: string | Uint8Array, now: number): void;
    /** The server closed the connection, with this code. */
    closed(slot: number, code: number, reason: string, now: number): void;
    /** It could not be made, or has ended without a word. */
    lost(slot: number, evidence: string, now: number): void;
    /** What is to be sent. sent() tells when the socket has taken it. */
    output(slot: number, now: number): Output[];
    /** The socket has taken so many bytes of the output. */
    sent(slot: number, bytes: number, now: number): void;
    /** The store has what it was last given, or has not. */
    saved(ok: boolean, now: number): void;
    /** Nothing more will be asked of it. */
    saveLast(now: number): void;
    /** When to call tick(); Infinity: never. */
    deadline(): number;
    tick(now: number): void;
    /** After so much silence behind a ping a connection is dead; it follows the measured round trip. */
    hardMs(): number;
    emit(event: SessionEvent): void;
    emitError(code: string, reason: string, channel?: string): void;
    /** The live connection must be ended after the call under way, with this close code. */
    fail(why: string, closeCode?: number): void;
    enter(): void;
    leave(now: number): void;
    get hasNext(): boolean;
    /** Put a message into the live connection's output; does nothing where there is none. */
    put(message: ClientMessage): void;
    get outBytes(): number;
    get liveCodec(): CodecKind | undefined;
    putHeartbeat(): void;
    /** Something new was delivered, and is to be acknowledged in its time. */
    delivered(bytes: number, now: number): void;
    get ackPlanned(): boolean;
    /** A request waits for its answer. */
    awaitingAnswer(now: number): void;
    /** One has been answered, and others, or none, wait. */
    answered(now: number): void;
    /** Something makes the connection doubtful: it is verified. Does nothing where there is none. */
    doubt(cause: Cause, now: number): void;
    private link;
    /** Change the state, and tell: everything else has been set before. */
    private move;
    /** What holds in each state. */
    private check;
    /** How long until the next attempt, as the state's change tells it. */
    private nextAttemptMs;
    private ending;
    private emitEnding;
    private freeSlot;
    private attemptMs;
    /** Begin to make a connection; held: only prepare it, its upgrade waits for releaseNext(). */
    private startAttempt;
    /** Whether a slot's request may have reached the server. */
    private requestIsOut;
    /** `next` is not wanted any more. */
    private dropNext;
    private end;
    private backoffCause;
    /** Decide when the next attempt is made. */
    private schedule;
    private waitingState;
    /** `next` has failed. Its link is closing already, or is dropped here. */
    private attemptEnded;
    private giveUpNext;
    /** The connection under way said something else than `welcome`. */
    private failNext;
    private requestUpgrade;
    /** The doubt about the live connection is confirmed: what was prepared is wanted now. */
    private releaseNext;
    /** Nothing of what was going on on a connection goes on. */
    private resetConnection;
    /** The live connection is no more. Its link is closing already, or is dropped here. */
    private liveEnded;
    /** `next` has got its welcome: it is the live one now. */
    private adoptNext;
    private beginClose;
    /** Something on the live connection went wrong in a way that a new connection, or a new session, mends. */
    private endFailed;
    /** 4001: "stays away, unless it has an attempt of its own that is unanswered or was given up: then it resumes once more" (PROTOCOL.md "Close codes"). */
    private supersededByOurselves;
    private onClosed;
    /**
     * Whether repeating the request cannot help. After a success a 400, 404 or 426 is more likely a proxy in the midst of a deployment than the truth. Where tokens can be
     * had, a 401 is worth two more.
     */
    private refusalIsFinal;
    private received;
    private obey;
    /** "`welcome`: first message of every connection", or the advice to come later. */
    private obeyFirst;
    private obeyLive;
    private onWelcome;
    private emitConnected;
    /** What is said first: requests without an answer, and the ping whose pong ends the catching up. */
    private speakFirst;
    private onPong;
    private caughtUp;
    /** "leave this connection at a random time in that window" (PROTOCOL.md, reconnect). */
    private onReconnect;
    private hasRoom;
    private acksFlushed;
    private putAcks;
    /** "answer to a heartbeat, with acks on board" (PROTOCOL.md, pong). */
    private putPong;
    /** When the oldest request has waited so long for its answer that the path is doubtful. */
    private answerLateAt;
    private tickLive;
    private tickHeartbeat;
    /** "Rate-limit: 3 pre-dials/min": each costs the server an accept, and a handshake of TLS. */
    private mayPrepare;
    /** The soft deadline of a heartbeat has passed. */
    private suspect;
    /**
     * waiting: the attempt is made at once. Where the server had named a time it still holds, but not for long: it may not have been the server, but something on the network
     * that was.
     */
    private bringForward;
    /** connecting: an attempt without an answer is made anew. */
    private redial;
    /** What was measured, or is being measured, says nothing about what is now. */
    private disturbed;
    /** The next attempt is a probe. */
    private awaitNetwork;
    /** A first attempt is made whatever the system says: it may be to this machine. */
    private goOffline;
    /**
     * Whether `next` is of no use: nothing can arrive on it, or its packets went out on a way that may not be the way any more. Once its request is out the latter does not count: the
     * server could take it after the new one, and the session would be superseded by itself. It has its deadline.
     */
    private nextIsUseless;
    /** Make, or go on to make, the connection that shall follow. This is knowledge and no doubt: no bound of what is made ahead holds. */
    private makeNext;
    private networkOfConnected;
    private networkOfAttempt;
    private signalled;
}
