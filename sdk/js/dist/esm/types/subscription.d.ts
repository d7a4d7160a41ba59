/** subscription.ts - what an application holds of a channel. */
import { type GapCode } from './codes.js';
import { HoldfastError } from './errors.js';
import type { Delivery, Gap, History, HistoryOptions, IterateOptions, Member, Message, Off, Position, Presence, Published, PublishOptions, Subscribed, SubscribeOptions, Subscription, SubscriptionEvents } from './types.js';
/** What a subscription needs of its client. */
export interface SubscriptionOwner {
    unsubscribe(channel: string): void;
    publish(channel: string, payload: unknown, options?: PublishOptions): Promise<Published>;
    history(channel: string, options?: HistoryOptions): Promise<History>;
    presence(channel: string): Promise<readonly Member[]>;
}
export declare class ChannelSubscription<P = unknown> implements Subscription<P> {
    readonly channel: string;
    readonly options: SubscribeOptions;
    private readonly owner;
    state: Subscription['state'];
    position: Position | null;
    /** unsubscribe() was called: nothing is told any more but the end. */
    leaving: boolean;
    private readonly emitter;
    private readonly queues;
    private readonly ends;
    private began;
    private ended;
    constructor(channel: string, options: SubscribeOptions, owner: SubscriptionOwner);
    on<E extends keyof SubscriptionEvents<P>>(event: E, handler: (event: SubscriptionEvents<P>[E]) => void): Off;
    ready(): Promise<Subscribed>;
    unsubscribe(): Promise<void>;
    iterate(options?: IterateOptions): AsyncIterableIterator<Delivery<P>>;
    [Symbol.asyncIterator](): AsyncIterableIterator<Delivery<P>>;
    publish(payload: P, options?: PublishOptions): Promise<Published>;
    history(options?: HistoryOptions): Promise<History<P>>;
    presence(): Promise<readonly Member[]>;
    subscribed(event: Subscribed): void;
    message(message: Message<P>): void;
    /** Whether anybody was there to hear it. */
    gap(gap: Gap): boolean;
    presenceChanged(kind: 'join' | 'leave', event: Presence): void;
    unsubscribed(error: HoldfastError | undefined): void;
}
/** From a code as the server writes it. */
export declare function serverError(code: string, reason: string): HoldfastError;
export declare function gapCode(code: string): GapCode;
