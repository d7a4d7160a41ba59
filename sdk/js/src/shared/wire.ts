/**
 * wire.ts - what the tabs of an origin say to each other. On one BroadcastChannel of the group the tab that leads makes itself known, and the others ask it for a connection; each connection
 * then has a BroadcastChannel of its own, and carries the messages of PROTOCOL.md in JSON, as if the leader were a server.
 */

import type { StoredPublish } from '../types.js';

/** On the group's channel. */
export type GroupMessage =
  /** This tab leads now. Connections to another are at their end. */
  | { readonly t: 'lead'; readonly leader: string }
  /** The leader lets go; what it had is where the next one finds it. */
  | { readonly t: 'resign'; readonly leader: string }
  /** A connection is wanted: `tab` names who asks, as long as it lives, and its Web Lock. */
  | { readonly t: 'open'; readonly connection: string; readonly tab: string; readonly protocols: readonly string[] };

/** On a connection's channel, to the tab. */
export type ToTab =
  | { readonly t: 'opened'; readonly leader: string }
  | { readonly t: 'message'; readonly text: string }
  | { readonly t: 'closed'; readonly code: number }
  /** The state of the leader's own connection, to the server. */
  | { readonly t: 'upstream'; readonly state: string };

/** And to the leader. */
export type ToLeader = { readonly t: 'message'; readonly text: string } | { readonly t: 'close' };

/** What is used of a BroadcastChannel. */
export interface Broadcast {
  onmessage: ((event: { readonly data: unknown }) => void) | null;
  postMessage(data: unknown): void;
  close(): void;
}

export type OpenBroadcast = (name: string) => Broadcast;

export function newName(): string {
  return `${Date.now().toString(36)}-${Math.random().toString(36).slice(2)}${Math.random().toString(36).slice(2)}`;
}

/** What a tab's publishes have come to, kept in the database beside the outbox. */
export interface TabRecord {
  readonly tab: string;
  /** Which of the tab's sessions it is about; what an older version has kept has none. */
  readonly session?: string;
  /** All up to here are done. */
  readonly lastSeq: number;
  /** Those of them, and of later ones, that were refused: the newest. */
  readonly refused: readonly { readonly seq: number; readonly code: string; readonly reason: string }[];
}

/** Of a publish in the outbox: whose it is, and which of that tab's session. */
export interface Origin {
  readonly tab: string;
  readonly session?: string;
  readonly seq: number;
}

export interface TabPublish extends StoredPublish {
  readonly origin?: Origin;
}
