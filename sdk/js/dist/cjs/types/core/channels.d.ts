/** channels.ts - a session's subscriptions and their messages (src/session/client_session_channel.c). */
import type { SubscribeOptions } from '../types.js';
import { type ErrorMessage, type Of } from './message.js';
import type { Session } from './session.js';
import { Followed } from './subscriptions.js';
export declare class Channels {
    private readonly s;
    /** Subscribes and unsubscribes without an answer. */
    asked: number;
    /** A hole must be filled by then; Infinity: none. */
    syncUntil: number;
    /** Deferred subscribes are due; Infinity: none. */
    resubscribeAt: number;
    /** In the order of subscribing. */
    private readonly all;
    constructor(s: Session);
    find(channel: string): Followed | undefined;
    /** Throws: see Client.subscribe(). */
    subscribe(channel: string, options: SubscribeOptions, now: number): void;
    /** No message of the channel comes after this call; `unsubscribed` follows. False: it is not followed. */
    unsubscribe(channel: string, now: number): boolean;
    putRequests(now: number): void;
    /** What is to be acknowledged, and has been with that. Ends where `more` says so, which is asked before each. */
    acksDue(more: (count: number) => boolean): Generator<readonly [channel: string, offset: number]>;
    tick(now: number): void;
    disconnected(): void;
    onSubscribed(message: Of<'subscribed'>, now: number): void;
    onUnsubscribed(message: Of<'unsubscribed'>, now: number): void;
    onData(message: Of<'data'>, now: number): void;
    onGap(message: Of<'gap'>, now: number): void;
    onPresence(message: Of<'join' | 'leave'>): void;
    /** Whether an `error` is the answer to a request about a channel, which it then was. */
    onError(message: ErrorMessage, now: number): boolean;
    /** One of welcome.channels: the server goes on there, whatever we know of it. */
    named(at: {
        channel: string;
        epoch: string;
        offset: number;
    }, now: number): void;
    /** What was not named begins again, or has ended. */
    sort(): void;
    private add;
    /** A subscription that the backend made, or forgot to end. */
    private addForBackend;
    private remove;
    private putSubscribe;
    private putUnsubscribe;
    private putSync;
    private requestAnswered;
    /** What an inbox says about the server's answer. */
    private obeyInbox;
    /** The hole that a sync_request was sent for may have been filled. */
    private checkHoles;
    private subscribeRefused;
    private begunAgain;
    private emitSubscribed;
    private emitGap;
}
