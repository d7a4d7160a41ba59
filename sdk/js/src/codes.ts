/**
 * codes.ts - every reason that this library gives, with its number and what it says where nothing more is known.
 * Names and numbers are part of the public interface: they are added to, never changed. The states and causes, and their numbers, are those of
 * the C client (src/session/client_state.h), so that logs of both can be read together.
 */

/** Where the connection stands. docs/reconnect.md tells what may follow what. */
export const stateNumbers = {
  /** There is no connection; the time of the next attempt is known. */
  waiting: 0,
  /** One is being made, up to the server's `welcome`. */
  connecting: 1,
  /** The server has welcomed it. */
  live: 2,
  /** There is one, and it may be dead: it is being asked. Messages, requests and publishes go on. */
  doubtful: 3,
  /** No connection, and the system says that there is no way to make one. */
  offline: 4,
  /** The goodbye is said; its answer is awaited for two seconds at most. */
  closing: 5,
  /** For ever. */
  ended: 6,
} as const;

export type State = keyof typeof stateNumbers;

/** Why the state changed. */
export const causeNumbers = {
  started: 1,
  due: 2,
  probe: 3,
  welcomed: 4,
  proven: 5,
  network_changed: 6,
  address_gone: 7,
  offline: 8,
  woke_up: 9,
  foreground: 10,
  heartbeat_late: 11,
  heartbeat_missed: 12,
  sent_after_silence: 13,
  answer_late: 14,
  output_stuck: 15,
  connection_lost: 16,
  unreachable: 17,
  timed_out: 18,
  refused: 19,
  retry_after: 20,
  server_drain: 21,
  closed_by_server: 22,
  superseded: 23,
  token_expired: 24,
  ended_by_server: 25,
  protocol_error: 26,
  /** Never told by this library; it keeps the number. */
  no_memory: 27,
  closed: 28,
} as const;

export type Cause = keyof typeof causeNumbers;

/** What a cause says where nothing more is known. */
export const causeTexts: Readonly<Record<Cause, string>> = {
  started: 'the first attempt',
  due: 'the time of the next attempt has come',
  probe: 'a rare attempt, though the system says that there is no way',
  welcomed: 'the server has welcomed the connection',
  proven: 'something came from the server',
  network_changed: 'the network changed',
  address_gone: "the connection's own address is gone",
  offline: 'the system says that there is no way to the server',
  woke_up: 'the machine slept',
  foreground: 'the application is in use again',
  heartbeat_late: 'no answer to a heartbeat yet',
  heartbeat_missed: 'no answer to a heartbeat',
  sent_after_silence: 'the first send after a long silence',
  answer_late: 'an answer of the server is late',
  output_stuck: 'what was written does not leave this machine',
  connection_lost: 'the connection ended without a word',
  unreachable: 'the connection could not be made',
  timed_out: 'no answer in time',
  refused: 'the server refused the connection',
  retry_after: 'the server says when to come back',
  server_drain: 'the server asked for a new connection',
  closed_by_server: 'the server closed the connection',
  superseded: 'the session was taken over by another connection',
  token_expired: 'the token has expired',
  ended_by_server: 'the server ended the session',
  protocol_error: 'the server broke the protocol',
  no_memory: 'out of memory',
  closed: 'closed by the application',
};

/** What is wrong, in a {@link HoldfastError}. Below 100: the server says so (PROTOCOL.md "Limits"); from 100 on: this library does. */
export const errorNumbers = {
  /** The server could not understand what it was sent, or the client what came. */
  bad_message: 1,
  bad_seq: 2,
  unauthorized: 3,
  forbidden: 4,
  not_found: 5,
  /** Larger than the server takes; also found by the client, which knows the server's limit. */
  too_large: 6,
  rate_limited: 7,
  limit: 8,
  overloaded: 9,
  unavailable: 10,
  /** There was no answer in time; also found by the client. */
  timeout: 11,
  internal: 12,
  /** The server's code is not one of the above: `serverCode` has it. */
  unknown: 99,

  /** An argument is not what it must be. */
  invalid: 100,
  /** The channel is subscribed to already: `subscription(channel)` gives the subscription. */
  exists: 101,
  /** The client was closed, or its session has ended. */
  closed: 102,
  /** The outbox is full: publish again when one of its publishes has settled. */
  outbox_full: 103,
  /** The server has lost the session: the publish, or call, may have been applied. It is not sent again. */
  uncertain: 104,
  /** An iterator's queue was full, and `overflow` is `fail`. */
  overflow: 105,
  /** This platform, or this encoding, cannot do it. */
  unsupported: 106,
  /** What the outbox's storage should keep could not be kept. */
  outbox: 107,
  /** The caller's `AbortSignal` ended the wait. */
  aborted: 108,
  /** Too many requests wait for their answers. */
  requests_full: 109,
} as const;

export type ErrorCode = keyof typeof errorNumbers;

/** Why messages cannot be had, in a {@link Gap}. */
export const gapNumbers = {
  /** The log does not hold them any more. */
  evicted: 1,
  /** The server's policy for slow connections skipped them. */
  slow: 2,
  /** The channel was begun anew: what is left of the old epoch cannot be had, how much that is is not known. */
  epoch: 3,
  /** An iterator's queue was full: this page was too slow, and they were dropped on it. Never told by an event. */
  overflow: 4,
  /** The server's code is not one of the above. */
  unknown: 99,
} as const;

export type GapCode = keyof typeof gapNumbers;

/** WebSocket close codes with a meaning of their own (PROTOCOL.md "Close codes"). */
export const closeCodes = {
  normal: 1000,
  goingAway: 1001,
  protocolError: 1002,
  unsupported: 1003,
  policy: 1008,
  tooBig: 1009,
  internal: 1011,
  tryAgainLater: 1013,
  superseded: 4001,
  tokenExpired: 4002,
  ended: 4003,
  heartbeatMissed: 4004,
  tooSlow: 4005,
  sessionLimit: 4006,
} as const;
