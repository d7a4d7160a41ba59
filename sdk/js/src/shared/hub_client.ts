/**
 * hub_client.ts - the one client that talks to the server for all tabs. Publishes, subscriptions and requests are made below the application's interface, by their numbers, and what the session
 * tells of them goes to the hub; all the rest (states, tokens, heartbeats, networks) is an ordinary client's.
 */
import { wholeParts } from '../client/whole.js';
import type { SessionEvent } from '../core/events.js';
import type { Raw } from '../core/message.js';
import type { RequestWhat } from '../core/requests.js';
import type { Session } from '../core/session.js';
import { HoldfastError } from '../errors.js';
import { HoldfastClient } from '../holdfast.js';
import type { HoldfastOptions, Platform, PlatformSignals, SubscribeOptions } from '../types.js';

/** Whether it was the hub's. */
export type Tell = (event: SessionEvent) => boolean;

export class HubClient extends HoldfastClient {
  private readonly timers: Set<() => void>;
  private readonly signals: { current: PlatformSignals | null };
  private tell: Tell = () => false;

  constructor(url: string | readonly string[], options: HoldfastOptions, platform: Platform) {
    const timers = new Set<() => void>();
    const signals: { current: PlatformSignals | null } = { current: null };
    super(url, options, leavable(platform, timers, signals), wholeParts);
    this.timers = timers;
    this.signals = signals;
  }

  /** From here on. What has been read from the store is known, and nothing has been told yet. */
  tellTo(tell: Tell): void {
    this.tell = tell;
  }

  /** The outbox has been read; or could not be, and the state is `ended`. */
  begun(): Promise<void> {
    return new Promise((resolve) => this.later(resolve));
  }

  /** Whether a publish is still without its answer. */
  isWaiting(publishId: number): boolean {
    return this.driver?.session.publishing.outbox.byId(publishId) !== undefined;
  }

  get payloadBytesMax(): number {
    return this.driver?.session.publishing.payloadBytesMax ?? 0;
  }

  publishRaw(channel: string, payload: Raw, id: string | undefined): number {
    return this.soon((session) => session.publishing.publish(channel, payload, id));
  }

  followRaw(channel: string, options: SubscribeOptions): void {
    this.soon((session, now) => session.channels.subscribe(channel, options, now));
  }

  unfollowRaw(channel: string): void {
    this.soon((session, now) => session.channels.unsubscribe(channel, now));
  }

  watchRaw(channel: string, presence: boolean): void {
    this.soon((session, now) => session.channels.watch(channel, presence, now));
  }

  askRaw(what: RequestWhat): number {
    return this.soon((session, now) => session.ask(what, now));
  }

  /**
   * Another tab leads from now on: connections are closed without a goodbye, so that it can resume the session, and nothing happens here any more.
   */
  abandon(): void {
    this.tell = () => true;
    this.signals.current?.leaving();
    this.driver?.run((now) => this.driver?.session.saveLast(now));
    for (const cancel of [...this.timers]) cancel();
    this.timers.clear();
  }

  protected override onEvent(event: SessionEvent): void {
    // It is undefined while the base class makes the session.
    if ((this.tell as Tell | undefined)?.(event) !== true) super.onEvent(event);
  }

  private soon<T>(call: (session: Session, now: number) => T): T {
    const { driver } = this;
    if (driver === null) throw new HoldfastError('closed', 'the shared connection has ended');
    return driver.soon((now) => call(driver.session, now));
  }
}

/** The platform, with timers that can be stopped and signals that can be given. */
function leavable(platform: Platform, timers: Set<() => void>, signals: { current: PlatformSignals | null }): Platform {
  let isLeft = false;
  return {
    ...platform,
    timer: (delay, callback) => {
      if (isLeft) return () => undefined;
      const cancel = platform.timer(delay, () => {
        timers.delete(cancel);
        callback();
      });
      timers.add(cancel);
      return () => {
        timers.delete(cancel);
        cancel();
      };
    },
    watch: (own) => {
      const unwatch = platform.watch(own);
      signals.current = {
        ...own,
        leaving: () => {
          isLeft = true;
          own.leaving();
          unwatch();
        },
      };
      return unwatch;
    },
  };
}
