import { type ErrorMessage, type Of, type Raw } from './message.js';
import { Outbox } from './outbox.js';
import type { Session } from './session.js';
export declare class Publishing {
    private readonly s;
    readonly outbox: Outbox;
    /** The server's maxMessage; 0: not known yet. */
    payloadBytesMax: number;
    /** Saving failed, and is tried again then; Infinity: it did not. */
    saveAgainAt: number;
    /** Publishes up to settleSeq are done; which of them were refused is known with the pong. */
    private settling;
    private settleSeq;
    /** "after 1009 takes its oldest unanswered publish for refused" */
    private oldestIsRefused;
    /** What the store knows. */
    private kept;
    /** Ticket or numbers are not what the store knows: no publish may be written. */
    private unsaved;
    /** Saves under way, in their order. */
    private saving;
    private failureTold;
    constructor(s: Session);
    /** Throws: see Client.publish(). The answer is the publish id. */
    publish(channel: string, payload: Raw, id: string | undefined): number;
    /** Put out what the window and the output have room for. */
    put(now: number): void;
    disconnected(): void;
    onAck(message: Of<'ack'>, now: number): void;
    onNack(message: Of<'nack'>, now: number): void;
    /**
     * "one beyond the next by `error bad_seq` with `expected`, not applied" (PROTOCOL.md, data). On one connection that cannot happen to us; so something is broken that a resume mends,
     * unless the server has lost count of what it acknowledged: then the session is lost.
     */
    onBadSeq(message: ErrorMessage): void;
    /** The connection was closed with 1009. */
    refuseOldestLater(): void;
    /** False: it cannot be, and the connection fails. */
    resumed(lastSeq: number | null): boolean;
    /** All nacks that follow a welcome have come: what lastSeq covers is settled. */
    settled(now: number): void;
    /**
     * "The client drops what `lastSeq` covers … if `lastSeq` is null though publishes had been sent unacknowledged, those are *uncertain*: the application is told, and decides"
     * (PROTOCOL.md "Resume" 3).
     */
    renewed(lastSeq: number | null, _now: number): void;
    /** Let the store know what it must before publishes are written. The answer is the publish id up to which they may be. */
    save(now: number): number;
    /** The store has what was given first of what it has not told about, or has not. */
    saved(ok: boolean, now: number): void;
    /** A successor whose attempts are not above ours would be refused with 409: no more than a delay, so that a failure is no matter. */
    saveAttempt(now: number): void;
    /** What was answered is not asked again. Should that fail, it is, and its answer is as good the second time. */
    saveLast(now: number): void;
    private saveState;
    private saveFailed;
    private get sentId();
    private stateNow;
    /** What a predecessor left. */
    private load;
    /** A publish has left the outbox. */
    private done;
    private settle;
    private emitRefused;
    private refuseOldest;
}
