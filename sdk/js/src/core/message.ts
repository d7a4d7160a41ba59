/**
 * message.ts - the messages of PROTOCOL.md, whatever their encoding. Members have the names of the JSON form. Payloads that go out are JSON text, or bytes; those
 * that come in are values.
 */

export type Raw = string | Uint8Array;

export interface Since {
  readonly epoch: string;
  readonly offset: number;
}

/** What a client sends. */
export type ClientMessage =
  | { type: 'subscribe'; channel: string; since?: Since; last?: number; mode?: 'all' | 'latest'; presence?: boolean }
  | { type: 'unsubscribe'; channel: string }
  | { type: 'data'; channel: string; payload: Raw; seq: number; id?: string }
  | { type: 'ack'; channel: string; offset: number }
  | { type: 'sync_request'; channel: string; offset: number }
  | { type: 'ping'; id?: string }
  | { type: 'pong'; acks?: readonly (readonly [channel: string, offset: number])[] }
  | { type: 'heartbeat'; interval: number }
  | { type: 'history'; id: string; channel: string; since?: Since; limit?: number; reverse?: boolean }
  | { type: 'presence'; id: string; channel: string }
  | { type: 'call'; id: string; method: string; payload: Raw }
  | { type: 'refresh'; token: string }
  | { type: 'bye' };

export interface WelcomeMessage {
  type: 'welcome';
  session: string;
  ticket: string;
  resumed: boolean;
  lastSeq: number | null;
  ttl: number;
  serverId: string;
  serverTime: number;
  heartbeat: { interval: number; min: number; max: number };
  lossSpread: number;
  maxMessage: number;
  address: string;
  channels: readonly { channel: string; epoch: string; offset: number }[];
  /** Of a session that is gone: which publishes of those that lastSeq covers were refused, by the numbers that they had in it. */
  refusals?: readonly { seq: number; code: string; reason: string }[];
}

export interface DataMessage {
  type: 'data';
  channel: string;
  offset: number;
  id: string;
  payload: unknown;
  timestamp: number;
  from?: string;
  /** Of the payload as it was written. */
  bytes?: number;
}

export interface MemberRecord {
  session: string;
  user: string;
  info?: unknown;
}

export interface ErrorMessage {
  type: 'error';
  code: string;
  reason: string;
  re?: string;
  id?: string;
  channel?: string;
  expected?: number;
}

/** What a server sends. */
export type ServerMessage =
  | WelcomeMessage
  | DataMessage
  | ErrorMessage
  | { type: 'subscribed'; channel: string; epoch: string; offset: number; recovered: boolean }
  | { type: 'unsubscribed'; channel: string; code?: string; reason?: string }
  | { type: 'gap'; channel: string; epoch: string; from: number | null; to: number | null; code: string }
  | { type: 'ack'; seq?: number; offsets?: readonly (number | null)[]; id?: string }
  | { type: 'nack'; seq?: number; id?: string; code: string; reason: string }
  | { type: 'ping' }
  | { type: 'pong'; id?: string; serverTime?: number; serverId?: string }
  | { type: 'heartbeat'; interval: number }
  | { type: 'reconnect'; after: readonly [number, number]; code: string; url?: string }
  | { type: 'history'; id: string; channel: string; epoch: string; offset: number; messages: readonly DataMessage[] }
  | { type: 'presence'; id: string; channel: string; members: readonly MemberRecord[] }
  | { type: 'join' | 'leave'; channel: string; session: string; user: string; info?: unknown }
  | { type: 'reply'; id: string; payload?: unknown; code?: string; reason?: string };

export type ServerType = ServerMessage['type'];
export type Of<T extends ServerType> = Extract<ServerMessage, { type: T }>;

/** PROTOCOL.md "Limits": "channel name 255 bytes of UTF-8"; the same bound holds for ids and epochs. */
export const labelBytesMax = 255;
export const channelBytesMax = 255;
export const historyLimitMax = 1000;

/** Bytes of a text in UTF-8, -1: it holds half a surrogate pair, which UTF-8 has no form for. */
export function utf8Length(text: string): number {
  let bytes = 0;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit < 0x80) bytes += 1;
    else if (unit < 0x800) bytes += 2;
    else if (unit < 0xd800 || unit > 0xdfff) bytes += 3;
    else {
      const next = text.charCodeAt(i + 1);
      if (unit > 0xdbff || !(next >= 0xdc00 && next <= 0xdfff)) return -1;
      bytes += 4;
      i++;
    }
  }
  return bytes;
}

export function isLabel(text: string, empty = false): boolean {
  const bytes = utf8Length(text);
  return bytes >= (empty ? 0 : 1) && bytes <= labelBytesMax;
}

/** Whether this may name a channel: 1 to 255 bytes of UTF-8 without U+0000-U+001F and U+007F-U+009F. */
export function isChannelName(name: string): boolean {
  return isLabel(name) && !/[\u0000-\u001f\u007f-\u009f]/.test(name);
}

/** "Both stay below 2^53." */
export function isNumber(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

/** What may stand in a header's list (RFC 9110 section 5.6.2): token and ticket must. */
export function isHeaderToken(text: string, max: number): boolean {
  return text.length <= max && /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/.test(text);
}
