/** pool_types.ts - what can be chosen for a pool, and what it tells. All times are milliseconds. */
import type { State } from '../codes.js';
import type { Connected, Disconnected, Gap, HoldfastOptions, Message, Problem, PublishOptions, StateChange, Storage, Subscription } from '../types.js';

/**
 * What can be chosen for a pool: what each member's session is made with (bounds are of each: three members have three outboxes; `getToken` is called for each), and how many there are.
 */
export interface PoolOptions extends Omit<HoldfastOptions, 'storage'> {
  /** The members: 1 to 64; default 3. A server with several workers gives them to different ones. */
  connections?: number;
  /** Publishes taken while no member is connected; default 100. At that `publish()` rejects with `outbox_full`: the server cannot be reached. */
  queueMax?: number;
  /** Publishes that wait for room in the members' outboxes while one is connected; default 10,000. At that `publish()` rejects with `outbox_full`: they are made faster than they are sent. */
  connectedQueueMax?: number;
  /** While publishes wait for a connection, the pool looks so often whether there is one, so that members which come back together share them: 1 to 60,000; default 100. */
  flushInterval?: number;
  /** An outbox that outlives the program is for one session, and cannot be given. What networks bear is learnt, and kept, by the first member. */
  storage?: Pick<Storage, 'heartbeat'>;
}

/** What can be said of a publish beside its payload. */
export interface PoolPublishOptions extends PublishOptions {
  /**
   * What must keep its order: publishes of one key go by one member, which the key's hash names for the life of the pool (the same as in C). Default: the channel's name. null: the next
   * connected member that has room; there is no order between two such publishes.
   */
  key?: string | null;
}

/** Which member an event is about: 0, 1, 2 … */
export interface OfMember {
  /** Its number. */
  readonly member: number;
}

/** The events of a pool, for `on()`. */
export interface PoolEvents {
  /** Every change of a member's state. After `ended` its next session begins `waiting`, without a word. */
  state: StateChange & OfMember;
  /** The server has welcomed a member's connection. */
  connected: Connected & OfMember;
  /** After a member's `connected`: all that it had missed has been delivered, so many messages. */
  caughtUp: OfMember & {
    /** So many were missed. */
    readonly messages: number;
  };
  /** A member's connection is lost. What it was given waits with it; its channels and publishes go on with the next connection. */
  disconnected: Disconnected & OfMember;
  /** An attempt of a member's failed. */
  retrying: Disconnected & OfMember;
  /**
   * A member's session is over, because the backend ended it or the server refuses it. After `nextAttempt` another is made in its place. What the server may have got of its publishes and has not
   * answered rejects as uncertain; what it cannot have got goes on with the next session.
   */
  memberEnded: Disconnected & OfMember;
  /** The pool was closed. Nothing comes after it. */
  ended: undefined;
  /** Every message of every channel, after its subscription's own handlers. */
  message: Message;
  /** Every gap of every channel. One that nobody listens to, here or at its subscription, is written to the console. */
  gap: Gap;
  /** A subscription that the backend made for this user: the pool had not asked for it. */
  subscription: Subscription;
  /** Written to the console if nobody listens. */
  problem: Problem & OfMember;
}

/** A member as it stands. */
export interface PoolMemberState {
  /** Where it connects to. */
  readonly url: string;
  /** Of its present session; `ended`: the next is not made yet. */
  readonly state: State;
  /** The session's id; empty before the first connection. */
  readonly session: string;
}

/** Counted since the pool was made, of one member or of all. */
export interface PoolStatistics {
  /** Of a member: 0 or 1; of all: how many are connected. */
  readonly connected: number;
  /** Publishes given to a member's session. */
  readonly published: number;
  /** Results, by outcome: applied, */
  readonly acknowledged: number;
  /** refused, */
  readonly refused: number;
  /** and uncertain. */
  readonly uncertain: number;
  /** Now without a result. Of a member: those it was given; of all: those that wait in the queue as well. */
  readonly queued: number;
  /** Connections but the first of each session. */
  readonly reconnects: number;
  /** Sessions but the first. */
  readonly replaced: number;
}
