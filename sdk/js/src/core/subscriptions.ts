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
import { assert } from './state.js';

export type SubscriptionState = 'wanted' | 'asked' | 'active' | 'leaving' | 'left';

const mayFollow: Readonly<Record<SubscriptionState, readonly SubscriptionState[]>> = {
  wanted: ['asked', 'active', 'leaving'],
  asked: ['active', 'wanted', 'leaving'],
  active: ['wanted', 'leaving'],
  leaving: ['left'],
  left: ['leaving'],
};

export class Followed {
  state: SubscriptionState = 'wanted';
  /** The application has been told that it is subscribed. */
  told = false;
  /** wanted, but the server asked to wait. */
  deferred = false;
  /** By the welcome that is being looked at. */
  named = false;
  /** Asked for with `last`; 0: not. */
  last = 0;
  /** The application wants to know who comes and goes. @only asks */
  presence = false;
  /** active: `presence` is another than the server was told. @only asks */
  watchWanted = false;
  /** Repeated subscribes about that without an answer. @only asks */
  watching = 0;
  readonly inbox: Inbox;

  constructor(
    readonly channel: string,
    latest: boolean,
  ) {
    this.inbox = new Inbox(latest);
  }

  get leaving(): boolean {
    return this.state === 'leaving' || this.state === 'left';
  }

  move(to: SubscriptionState): void {
    assert(mayFollow[this.state].includes(to), `a subscription cannot go from ${this.state} to ${to}`);
    this.state = to;
    this.deferred = false;
  }
}
