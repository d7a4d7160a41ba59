/** pool_members.ts - a pool's members: their sessions are made, told of, and made anew where one has ended for good. When that is due is decided in pool_core.ts. */
import { invalid } from '../client/options.js';
import type { SessionEvent } from '../core/events.js';
import { closedError, HoldfastError } from '../errors.js';
import type { Disconnected, HoldfastOptions } from '../types.js';
import type { PoolAsks } from './pool_asks.js';
import type { Place, PoolHost } from './pool_host.js';
import { PoolMember } from './pool_member.js';
import type { PoolPublishes } from './pool_publishes.js';
import type { PoolSubscriptions } from './pool_subscriptions.js';

export class PoolMembers {
  private readonly connectedWaiters: { resolve(): void; reject(error: unknown): void }[] = [];
  private readonly closeWaiters: (() => void)[] = [];

  constructor(
    private readonly host: PoolHost,
    private readonly publishes: PoolPublishes,
    private readonly subscriptions: PoolSubscriptions,
    private readonly asks: PoolAsks,
    /** What the next session is made with. */
    private options: HoldfastOptions,
  ) {
    host.timerFired = () => {
      this.replace(host.platform.now());
      publishes.handOut();
    };
  }

  /** What is wrong with the options is told to the caller, and then nothing is left behind. */
  begin(): void {
    const { host } = this;
    try {
      for (const place of host.places) this.start(place);
    } catch (error) {
      host.isClosed = true;
      host.core.close();
      for (const { client } of host.places) void client?.close();
      throw error;
    }
  }

  /** For all of them, those included that are made later. */
  set(options: Partial<HoldfastOptions>, tell: (member: PoolMember) => void): void {
    this.options = { ...this.options, ...options };
    for (const { client } of this.host.places) if (client !== undefined) tell(client);
  }

  connected(): Promise<void> {
    if (this.host.core.connectedCount > 0) return Promise.resolve();
    if (this.host.isClosed) return Promise.reject(closedError());
    return new Promise((resolve, reject) => this.connectedWaiters.push({ resolve, reject }));
  }

  close(): Promise<void> {
    const { host } = this;
    if (host.hasEnded) return Promise.resolve();
    const ended = new Promise<void>((resolve) => this.closeWaiters.push(resolve));
    if (host.isClosed) return ended;
    host.isClosed = true;
    host.core.close();
    this.publishes.dropQueue();
    for (const { client } of host.places) void client?.close();
    this.endIfOver();
    return ended;
  }

  private start(place: Place): void {
    const { member } = place;
    const { emitter, core, urls, platform } = this.host;
    const { storage, ...options } = this.options;
    // What the first one learns of the network holds for all of a later start.
    const own = member > 0 || storage === undefined ? options : { ...options, storage };
    const client: PoolMember = new PoolMember(urls[place.urlIndex] ?? '', own, platform, (event) => this.told(place, client, event));
    client.on('state', (event) => emitter.emit('state', { ...event, member }));
    client.on('connected', (event) => {
      this.memberConnected(place);
      emitter.emit('connected', { ...event, member });
      if (event.resumed) this.subscriptions.resumed(place);
    });
    client.on('caughtUp', (event) => emitter.emit('caughtUp', { ...event, member }));
    client.on('disconnected', (event) => {
      this.memberDisconnected(place);
      emitter.emit('disconnected', { ...event, member });
    });
    client.on('retrying', (event) => emitter.emit('retrying', { ...event, member }));
    client.on('ended', (event) => this.memberEnded(place, event));
    client.on('problem', ({ error, channel }) => this.host.problem(error, member, channel));
    core.replaced(member);
    place.client = client;
    place.connections = 0;
  }

  /** What a session tells. Whether that was all that there is to do about it. */
  private told(place: Place, client: PoolMember, event: SessionEvent): boolean {
    const { publishes, asks } = this;
    switch (event.type) {
      case 'acked':
        publishes.acked(place, event);
        return true;
      case 'refused':
        publishes.refused(place, event);
        return true;
      case 'uncertain':
        publishes.lost(place, event);
        return true;
      case 'ended':
        publishes.takeUnanswered(place, client); // Before the client does.
        return false;
      default: {
        if (this.subscriptions.told(place, event)) return true;
        const isAnswer = asks.told(place.member, event);
        if (isAnswer) asks.askNow();
        return isAnswer;
      }
    }
  }

  private memberConnected(place: Place): void {
    this.host.core.connected(place.member, this.host.platform.now());
    if (place.connections++ > 0) place.counts.reconnects++;
    for (const waiter of this.connectedWaiters.splice(0)) waiter.resolve();
    this.asks.moved();
    this.publishes.handOut();
  }

  private memberDisconnected({ member }: Place): void {
    this.host.core.disconnected(member, this.host.platform.now());
    this.asks.moved();
    this.host.arm();
  }

  private memberEnded(place: Place, event: Disconnected): void {
    const { core, platform, emitter, isClosed } = this.host;
    const { member } = place;
    place.client = undefined;
    const pause = core.ended(member, platform.now());
    this.asks.ended(member);
    if (isClosed) {
      core.close();
    } else {
      emitter.emit('memberEnded', { ...event, nextAttempt: pause, member });
      this.asks.moved();
    }
    this.publishes.handOut();
    this.endIfOver();
  }

  private replace(now: number): void {
    const { places, core, urls } = this.host;
    for (const place of places) {
      if (!core.due(place.member, now)) continue;
      if (place.connections === 0) place.urlIndex = (place.urlIndex + 1) % urls.length;
      try {
        this.start(place);
      } catch (error) {
        this.host.problem(error instanceof HoldfastError ? error : invalid(String(error)), place.member);
        core.replaced(place.member);
        core.ended(place.member, now);
        continue;
      }
      place.counts.replaced++;
      this.subscriptions.replaced(place);
      this.asks.askNow();
    }
  }

  /** All sessions have ended after close(). */
  private endIfOver(): void {
    const { host } = this;
    if (!host.isClosed || host.hasEnded || host.places.some(({ client }) => client !== undefined)) return;
    host.hasEnded = true;
    host.arm();
    this.asks.drop(closedError());
    for (const waiter of this.connectedWaiters.splice(0)) waiter.reject(closedError());
    this.subscriptions.end();
    this.publishes.end();
    host.emitter.emit('ended', undefined);
    for (const resolve of this.closeWaiters.splice(0)) resolve();
  }
}
