/**
 * subscriptions.ts - the channels that a client follows, and what has been asked of the server about each (src/session/subscription.h).
 *
 *   wanted  -> asked    the `subscribe` has been sent
 *   asked   -> active   `subscribed` has come, or a resume's welcome names the channel
 *   active  -> wanted   the session is gone, or it does not know of the channel: ask again, behind what the inbox has
 *   asked   -> wanted   the answer was lost with its session
 *   any     -> leaving  the application wants it no more; `unsubscribe` is to be sent
 *   leaving -> left     it has been sent
 *   left    -> leaving  the answer was lost, and the session still has the channel
 * A subscription is removed when its end has been told by the server or follows from what it told.
 */
import { Inbox } from './inbox.js';
export type SubscriptionState = 'wanted' | 'asked' | 'active' | 'leaving' | 'left';
export declare class Followed {
    readonly channel: string;
    readonly presence: boolean;
    state: SubscriptionState;
    /** The application has been told that it is subscribed. */
    told: boolean;
    /** wanted, but the server asked to wait. */
    deferred: boolean;
    /** By the welcome that is being looked at. */
    named: boolean;
    /** To be removed; that welcome showed that it has ended. */
    over: boolean;
    /** Asked for with `last`; 0: not. */
    last: number;
    readonly inbox: Inbox;
    constructor(channel: string, latest: boolean, presence: boolean);
    get leaving(): boolean;
    move(to: SubscriptionState): void;
}
