/** events.ts - what a session tells its driver. Each is told once, during the call that made it happen. */
import type { Cause, State } from '../codes.js';
import type { DataMessage, MemberRecord, Raw } from './message.js';

/** Why a connection, or an attempt, ended. */
export interface Ending {
  readonly cause: Cause;
  /** In English. */
  readonly evidence: string;
  /** What the server said. */
  readonly reason: string;
  /** The close code that was received; 0: none. */
  readonly closeCode: number;
  /** The HTTP refusal; 0: none. */
  readonly httpStatus: number;
}

export interface EndingEvent extends Ending {
  readonly type: 'disconnected' | 'retrying' | 'ended';
  /** Until the next attempt; 0 also: one is under way. */
  readonly nextAttempt: number;
  /** By the application. */
  readonly asked: boolean;
}

export type SessionEvent =
  /** It comes first where others follow. nextAttempt: until the next attempt; 0 for connecting, which is one; null where none is planned. */
  | (Ending & { readonly type: 'state'; readonly from: State; readonly to: State; readonly nextAttempt: number | null })
  | {
      readonly type: 'connected';
      readonly resumed: boolean;
      readonly session: string;
      readonly retries: number;
      readonly address: string;
      readonly encoding: 'json' | 'binary';
    }
  | { readonly type: 'caughtUp'; readonly count: number }
  | EndingEvent
  | {
      readonly type: 'subscribed';
      readonly channel: string;
      readonly epoch: string;
      readonly offset: number;
      /** The channel's head, which messages lead up to. */
      readonly head: number;
      readonly recovered: boolean;
    }
  /** code is empty where the application asked for it. */
  | { readonly type: 'unsubscribed'; readonly channel: string; readonly code: string; readonly reason: string }
  | { readonly type: 'message'; readonly epoch: string; readonly message: DataMessage }
  /** With the code `epoch` the offsets are 0. */
  | {
      readonly type: 'gap';
      readonly channel: string;
      readonly epoch: string;
      readonly from: number;
      readonly to: number;
      readonly code: string;
    }
  | {
      readonly type: 'presence';
      readonly kind: 'join' | 'leave';
      readonly channel: string;
      readonly member: MemberRecord;
    }
  /** Joins and leaves were left out, or are not told: "it asks again" (docs/protocol.md "Presence") where the code is one of refusedForNow. */
  | { readonly type: 'presenceLost'; readonly channel: string; readonly code: string; readonly reason: string }
  /** offset: 0 where it is not known (any more). */
  | { readonly type: 'acked'; readonly publishId: number; readonly channel: string; readonly offset: number }
  | {
      readonly type: 'refused';
      readonly publishId: number;
      readonly channel: string;
      readonly code: string;
      readonly reason: string;
    }
  /** It may have been applied; it is not sent again. */
  | {
      readonly type: 'uncertain';
      readonly publishId: number;
      readonly channel: string;
      readonly id: string | undefined;
      readonly payload: Raw;
    }
  | { readonly type: 'pong'; readonly requestId: number }
  | {
      readonly type: 'history';
      readonly requestId: number;
      readonly channel: string;
      readonly epoch: string;
      readonly offset: number;
      readonly messages: readonly DataMessage[];
    }
  | {
      readonly type: 'members';
      readonly requestId: number;
      readonly channel: string;
      readonly members: readonly MemberRecord[];
    }
  | { readonly type: 'reply'; readonly requestId: number; readonly payload: unknown }
  /** A request cannot be answered. A call whose answer was lost has the code `uncertain`. */
  | { readonly type: 'failed'; readonly requestId: number; readonly code: string; readonly reason: string }
  /** A request was refused, or the server sent nonsense; `outbox`: the store does not keep what it should. */
  | { readonly type: 'error'; readonly code: string; readonly reason: string; readonly channel: string };
