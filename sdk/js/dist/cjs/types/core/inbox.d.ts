export type Place = 
/** Nothing is known: the server's answer will say. */
'nowhere'
/** `last` n was asked: the first message tells where it begins. */
 | 'floating'
/** The position holds. */
 | 'placed'
/** The position holds, and the server has been asked to send again from there. */
 | 'syncing';
export type Verdict = 
/** Give it to the application; the inbox has moved behind it. */
'deliver'
/** Had already. */
 | 'duplicate'
/** Offsets are missing and no gap told so: send `sync_request` for the position. */
 | 'sync'
/** Of no use: a sync_request is under way, or it belongs to no position. */
 | 'ignore'
/** The server named an epoch that cannot be one. */
 | 'broken';
export declare class Inbox {
    readonly latest: boolean;
    place: Place;
    epoch: string;
    /** What the last judged gap leaves after what the inbox has is taken off it. */
    gapFrom: number;
    gapTo: number;
    /** The next one to deliver, 1 … */
    private next;
    /** Told to the server on any connection. */
    private acked;
    /** latest: "What `latest` skips is no gap" (PROTOCOL.md, gap) */
    constructor(latest: boolean);
    /** Stand behind an offset of an epoch (`since`). */
    placeAt(epoch: string, offset: number): void;
    /** Begin with the first message that comes (`last`). */
    float(): void;
    /** Whether there is a position to ask `since`. */
    get placed(): boolean;
    /** The last offset that the application has, 0: none. */
    get position(): number;
    /** Judge a message. */
    data(offset: number): Verdict;
    /** Judge a gap of offsets. "it counts only above the client's own position" (PROTOCOL.md, gap). */
    gap(from: number, to: number): Verdict;
    /**
     * Judge a gap of code `epoch`: "the channel was begun anew, `epoch` is the new one …, delivery goes on from its offset 1" (PROTOCOL.md, gap). One that the inbox has
     * already comes again after a resume, when nothing of the new epoch had been acknowledged.
     */
    newEpoch(epoch: string): Verdict;
    /**
     * The answer to a subscribe: the channel's epoch and head. `deliver` where the epoch is not the one that was asked for and no gap told so: report the new epoch.
     */
    subscribed(epoch: string, head: number): Verdict;
    /**
     * The session was resumed, and the server goes on behind `offset`. As subscribed(), or `sync` where that is beyond what the inbox has: a gap or a new epoch was told on
     * the lost connection only.
     */
    resumed(epoch: string, offset: number): Verdict;
    /** The session is gone; a sync_request that was under way has no answer. */
    lost(): void;
    /** Whether there is something to acknowledge. */
    get unacked(): boolean;
    ackedAll(): void;
    private standBehind;
    private askAgain;
    /** Take over the epoch that the server names; a change is to be reported where the application had a position in the old one. */
    private enterEpoch;
}
