/**
 * pool_core.ts - which member of a pool takes what, and when: src/session/pool_core.h in C. A member is a place with a number, in which one session follows another. Pure: no
 * connection and no clock; a publish is to this file a thing that its owner puts in and gets back.
 *
 * A member:
 *   vacant -> away    replaced()      a session has been made in its place
 *   away   -> up      connected()     the server has welcomed it
 *   up     -> away    disconnected()  it comes back by itself; what it has been given waits with it
 *   any    -> vacant  ended()         its session is over; another is made in its place when it is due
 *
 * A publish with a key belongs to the member that the key's hash names, for as long as the pool lives, also while that member is away or its session is being replaced: so publishes
 * of one key keep their order. One without a key goes to the next connected member that has room, in turn.
 *
 * What cannot go to a member now waits here, in one list for each member and one for those without a key. Its bound is kept by whoever puts in. While no member is connected nothing
 * goes; from the first publish on that waits for this, the pool looks every flush interval whether one is. So members that come back together after an outage share what has gathered,
 * where the first to come would have got it all. (A look that can find nothing is not made: the deadline says so.)
 */
import type { Random } from '../core/random.js';
import { assert } from '../core/state.js';

export const membersMax = 64;
/** After a session's end: at once for one that had been connected that long; else a pause that doubles from the one to the other. Guesses. */
const stableMs = 10_000;
const replaceMsMin = 500;
const replaceMsMax = 30_000;

/** A member, or any. */
export type PutFor = number | null;

/** First in, first out; what was taken can be given back. */
class Waiting<T> {
  private items: (T | undefined)[] = [];
  private head = 0;

  get count(): number {
    return this.items.length - this.head;
  }

  push(item: T): void {
    this.items.push(item);
  }

  pop(): T | undefined {
    if (this.count === 0) return undefined;
    const item = this.items[this.head];
    this.items[this.head++] = undefined;
    if (this.head >= 64 && this.head * 2 >= this.items.length) {
      this.items = this.items.slice(this.head);
      this.head = 0;
    }
    return item;
  }

  /** To the front, in their order. */
  giveBack(items: readonly T[]): void {
    if (items.length > this.head) {
      this.items = [...items, ...this.items.slice(this.head)];
      this.head = 0;
      return;
    }
    this.head -= items.length;
    items.forEach((item, i) => (this.items[this.head + i] = item));
  }
}

interface CoreMember<T> {
  state: 'vacant' | 'away' | 'up';
  /** Its outbox takes no more until room(). */
  full: boolean;
  /** Publishes with a key, for this member. */
  readonly waiting: Waiting<T>;
  /** Of the present session, the first time; Infinity: never. */
  connectedAt: number;
  /** vacant: when a session is to be made; Infinity: never, the pool is closing. */
  replaceAt: number;
  /** Sessions in a row that ended without having been stable. */
  shortLives: number;
}

const encoder = /* @__PURE__ */ new TextEncoder();
const two32 = 2 ** 32;

/**
 * The member of a key; the same for the same key and number of members, always and everywhere: FNV-1a, 64 bits, in two halves. FNV's low bits are those of a sum of few bytes: the high
 * ones, which have seen them all, are folded in.
 */
export function memberOf(key: string, members: number): number {
  let high = 0xcbf29ce4;
  let low = 0x84222325;
  for (const byte of encoder.encode(key)) {
    low = (low ^ byte) >>> 0;
    // The prime is 2^40 + 0x1b3.
    const product = low * 0x1b3;
    high = (Math.imul(high, 0x1b3) + Math.floor(product / two32) + (low << 8)) >>> 0;
    low = product % two32;
  }
  return ((high % members) * (two32 % members) + ((low ^ high) >>> 0)) % members;
}

export class PoolCore<T> {
  connectedCount = 0;
  private readonly members: readonly CoreMember<T>[];
  /** Publishes without a key. */
  private readonly waiting = new Waiting<T>();
  /** Where the next round of each begins. */
  private keyedTurn = 0;
  private anyTurn = 0;
  /** Since then something waits for a connection; Infinity: nothing waits for that. */
  private queuedAt = Infinity;
  /** When the next look is due that can find something; Infinity: none. */
  private flushAt = Infinity;

  /** All members are vacant and due at once. */
  constructor(
    count: number,
    private readonly flushIntervalMs: number,
    private readonly random: Random,
    now: number,
  ) {
    this.members = Array.from({ length: count }, () => ({
      state: 'vacant',
      full: false,
      waiting: new Waiting<T>(),
      connectedAt: Infinity,
      replaceAt: now,
      shortLives: 0,
    }));
  }

  isUp(member: number): boolean {
    return this.at(member).state === 'up';
  }

  isVacant(member: number): boolean {
    return this.at(member).state === 'vacant';
  }

  /* --- what happens to members --- */

  connected(member: number, now: number): void {
    const m = this.at(member);
    assert(m.state !== 'vacant', 'a place without a session is connected');
    if (m.connectedAt === Infinity) m.connectedAt = now;
    if (m.state === 'up') return; // The next connection took over from one that still stood.
    m.state = 'up';
    this.connectedCount++;
    if (this.queuedAt !== Infinity && this.flushAt === Infinity) this.flushAt = this.nextLook(now);
  }

  disconnected(member: number, now: number): void {
    const m = this.at(member);
    assert(m.state !== 'vacant', 'a place without a session is disconnected');
    this.leaveUp(m, now);
    m.state = 'away';
  }

  /** Its session is over. The answer is how many ms to wait before the next is made. */
  ended(member: number, now: number): number {
    const m = this.at(member);
    const isStable = now - m.connectedAt >= stableMs;
    this.leaveUp(m, now);
    m.state = 'vacant';
    m.shortLives = isStable ? 0 : m.shortLives + 1;
    m.connectedAt = Infinity;
    const pause = this.pauseMs(m);
    m.replaceAt = now + pause;
    return pause;
  }

  /** A session stands in its place. */
  replaced(member: number): void {
    const m = this.at(member);
    assert(m.state === 'vacant', 'two sessions in one place');
    m.state = 'away';
    m.full = false;
    m.replaceAt = Infinity;
  }

  /** No session is made in a vacant place any more. */
  close(): void {
    for (const m of this.members) m.replaceAt = Infinity;
  }

  /** Whether a session is to be made in its place now. */
  due(member: number, now: number): boolean {
    return dueAt(this.at(member)) <= now;
  }

  /* --- publishes --- */

  /** Put one in. It stays until next() or drop(). */
  put(item: T, putFor: PutFor, now: number): void {
    this.listOf(putFor).push(item);
    this.nowWaits(now);
  }

  /** Publishes that a session could not send before its end go to the front, in their order. */
  giveBack(items: readonly T[], putFor: PutFor, now: number): void {
    if (items.length === 0) return;
    this.listOf(putFor).giveBack(items);
    this.nowWaits(now);
  }

  /** Take the next one that can go now; undefined: none can. If its member turns out to be full, it is given back by full() before anything else. */
  next(now: number): { readonly item: T; readonly member: number } | undefined {
    if (this.connectedCount === 0) return undefined;
    if (this.queuedAt !== Infinity) {
      if (now < this.flushAt) return undefined;
      this.queuedAt = this.flushAt = Infinity;
    }
    return this.nextKeyed() ?? this.nextAny();
  }

  /** The member had no room for what next() gave: it goes back to where it was. */
  full(item: T, putFor: PutFor, member: number): void {
    this.listOf(putFor).giveBack([item]);
    this.at(member).full = true;
  }

  room(member: number): void {
    this.at(member).full = false;
  }

  /** Take out any one, to refuse it; undefined: there is none. */
  drop(): T | undefined {
    return [this.waiting, ...this.members.map(({ waiting }) => waiting)].find((list) => list.count > 0)?.pop();
  }

  /** When something is due by the clock: a flush, or a place to be filled; Infinity: nothing. */
  deadline(): number {
    return Math.min(this.flushAt, ...this.members.map(dueAt));
  }

  /* --- within --- */

  private at(member: number): CoreMember<T> {
    const m = this.members[member];
    assert(m !== undefined, `there is no member ${member}`);
    return m;
  }

  private listOf(putFor: PutFor): Waiting<T> {
    return putFor === null ? this.waiting : this.at(putFor).waiting;
  }

  private nowWaits(now: number): void {
    if (this.connectedCount === 0 && this.queuedAt === Infinity) this.queuedAt = now;
  }

  /** The next moment, counted in intervals from the first publish that waits, that is not before now. */
  private nextLook(now: number): number {
    const looks = Math.max(1, Math.ceil((now - this.queuedAt) / this.flushIntervalMs));
    return this.queuedAt + looks * this.flushIntervalMs;
  }

  private leaveUp(m: CoreMember<T>, now: number): void {
    if (m.state !== 'up') return;
    this.connectedCount--;
    if (this.connectedCount > 0) return;
    this.flushAt = Infinity;
    if (this.queuedAt === Infinity && [this.waiting, ...this.members.map(({ waiting }) => waiting)].some((list) => list.count > 0)) this.queuedAt = now;
  }

  /** Half of a pause that doubles, and a random part of the other half: members that ended together do not come back together. */
  private pauseMs({ shortLives }: CoreMember<T>): number {
    if (shortLives === 0) return 0;
    const half = Math.min(replaceMsMax, replaceMsMin * 2 ** (shortLives - 1)) / 2;
    return half + this.random.below(half + 1);
  }

  /** A publish with a key goes to its member also while that one is away: there it waits, behind those that went before. */
  private nextKeyed(): { readonly item: T; readonly member: number } | undefined {
    for (let i = 0; i < this.members.length; i++) {
      const member = (this.keyedTurn + i) % this.members.length;
      const m = this.at(member);
      const item = m.state === 'vacant' || m.full ? undefined : m.waiting.pop();
      if (item === undefined) continue;
      this.keyedTurn = (member + 1) % this.members.length;
      return { item, member };
    }
    return undefined;
  }

  private nextAny(): { readonly item: T; readonly member: number } | undefined {
    for (let i = 0; i < this.members.length; i++) {
      const member = (this.anyTurn + i) % this.members.length;
      const m = this.at(member);
      const item = m.state !== 'up' || m.full ? undefined : this.waiting.pop();
      if (item === undefined) continue;
      this.anyTurn = (member + 1) % this.members.length;
      return { item, member };
    }
    return undefined;
  }
}

/** When a session is to be made in its place. */
function dueAt<T>({ state, replaceAt }: CoreMember<T>): number {
  return state === 'vacant' ? replaceAt : Infinity;
}
