/**
 * pool_channels.ts - the channels that a pool follows, and which member follows each: src/session/pool_channels.h in C. A channel is on one member, so that its messages come in order, and
 * stays there while the pool lives, whatever becomes of that member's sessions; but for one that a server refused because its session has its fill, which another member is asked for. A new one
 * goes to the member with the fewest.
 */
import type { ChannelSubscription } from '../subscription.js';

export interface PoolChannel {
  readonly channel: string;
  readonly subscription: ChannelSubscription;
  member: number;
  /** Members whose sessions had no room for it. */
  readonly refusedBy: Set<number>;
  /** The member's session has not got rid of an older subscription of this name yet; this one is made behind its end. */
  blocked: boolean;
  /** Subscribed to anew while the last subscription is not over yet. */
  following: ChannelSubscription | undefined;
}

export class PoolChannels {
  private readonly all = new Map<string, PoolChannel>();
  private readonly counts: number[];

  /** Each member may follow so many. */
  constructor(
    members: number,
    private readonly memberCountMax: number,
  ) {
    this.counts = Array.from({ length: members }, () => 0);
  }

  find(channel: string): PoolChannel | undefined {
    return this.all.get(channel);
  }

  /** A copy: whoever walks it may add and remove. */
  of(member: number): PoolChannel[] {
    return [...this.all.values()].filter((each) => each.member === member);
  }

  /** A copy. */
  list(): PoolChannel[] {
    return [...this.all.values()];
  }

  /** The member with the fewest, but none of those; undefined: each has its fill. */
  leastBusy(without: ReadonlySet<number> = new Set()): number | undefined {
    let best: number | undefined;
    this.counts.forEach((count, member) => {
      if (count < this.memberCountMax && !without.has(member) && (best === undefined || count < (this.counts[best] as number))) best = member;
    });
    return best;
  }

  /** The channel must not be there. */
  add(subscription: ChannelSubscription, member: number): PoolChannel {
    const { channel } = subscription;
    const entry: PoolChannel = { channel, subscription, member, refusedBy: new Set(), blocked: false, following: undefined };
    this.all.set(channel, entry);
    this.count(member, 1);
    return entry;
  }

  move(entry: PoolChannel, member: number): void {
    this.count(entry.member, -1);
    this.count(member, 1);
    entry.member = member;
    entry.blocked = false;
  }

  remove(entry: PoolChannel): void {
    this.all.delete(entry.channel);
    this.count(entry.member, -1);
  }

  private count(member: number, more: 1 | -1): void {
    this.counts[member] = (this.counts[member] as number) + more;
  }
}
