/** types.ts - the answers of the HTTP API, as docs/http-api.md tells them: what this page reads of them. */

/** GET /api/access: what this caller may. */
export interface Access {
  readonly right: 'full' | 'read';
  /** The name of its key; null without one. */
  readonly key: string | null;
}

/** Upper bound in seconds (null: above all bounds), and how many lie above the bound before it. */
export type Bucket = readonly [bound: number | null, count: number];

export interface Histogram {
  readonly count: number;
  readonly sum: number;
  readonly buckets?: readonly Bucket[];
}

/** Counters and gauges by their names, of one worker or of all. Not all of them are told of each worker. */
export interface Part {
  readonly histograms?: Readonly<Record<string, Histogram>>;
  readonly [name: string]: unknown;
}

export interface Worker extends Part {
  readonly slot: number;
  readonly pid: number;
  readonly running: boolean;
  readonly restarts: number;
  readonly silent_ms: number;
}

/** GET /api/stats */
export interface Stats {
  readonly serverId: string;
  readonly version: string;
  /** ms since 1970 */
  readonly time: number;
  readonly started: number;
  readonly workers: readonly Worker[];
  readonly total: Part;
}

export interface BusyChannel {
  readonly channel: string | null;
  readonly publishes: number;
  readonly deliveries: number;
}

export interface SlowSession {
  readonly session: string;
  readonly worker: number;
  readonly channel: string | null;
  readonly behind: number;
  readonly lag_ms: number;
  readonly blocked_ms: number;
}

/** GET /api/top */
export interface Top {
  readonly connections_blocked: number;
  readonly channels: readonly BusyChannel[];
  readonly slow: readonly SlowSession[];
}

export interface Channel {
  readonly channel: string;
  readonly epoch: string;
  readonly offset: number;
  readonly subscribers: number;
}

/** GET /api/channels */
export interface ChannelPage {
  readonly channels: readonly Channel[];
  readonly next?: string;
}

export interface Session {
  readonly session: string;
  readonly user?: string;
  readonly state: 'attached' | 'waiting' | 'ended';
  readonly worker?: number;
  readonly subscriptions?: number;
  readonly waitingMs?: number;
  readonly address?: string;
}

/** GET /api/sessions */
export interface SessionPage {
  readonly sessions: readonly Session[];
  readonly next?: number;
}

export interface Position {
  readonly channel: string;
  readonly epoch: string;
  readonly acknowledged: number;
  readonly offset: number;
  readonly mode: 'all' | 'latest';
}

export interface SessionEvent {
  readonly time: number;
  readonly event: string;
  readonly address?: string;
  readonly code?: number;
  readonly by?: 'server' | 'client' | 'path';
  readonly silenceMs?: number;
  readonly waitingBytes?: number;
  readonly missed?: number;
  readonly heartbeatMs?: number;
}

export interface Finding {
  readonly finding: string;
  readonly advice: string;
}

/** GET /api/session */
export interface SessionDetail extends Session {
  readonly positions: readonly Position[];
  /** Newest first. */
  readonly events: readonly SessionEvent[];
  readonly findings: readonly Finding[];
}

export interface Message {
  readonly offset: number;
  readonly id: string;
  readonly payload?: unknown;
  readonly payloadBase64?: string;
  readonly timestamp: number;
  readonly from?: string;
}

/** POST /api/history */
export interface History {
  readonly epoch: string;
  readonly offset: number;
  readonly messages: readonly Message[];
}

export interface Member {
  readonly session: string;
  readonly user: string;
  readonly info?: unknown;
}

/** POST /api/presence */
export interface Presence {
  readonly members: readonly Member[];
  readonly total: number;
  readonly next?: string;
}

/** POST /api/publish */
export interface Published {
  readonly epoch: string;
  readonly offset: number;
}

export function numberOf(part: Part | undefined, name: string): number | null {
  const value = part?.[name];
  return typeof value === 'number' ? value : null;
}
