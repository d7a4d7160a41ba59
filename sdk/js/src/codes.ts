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

/** A state's name; see `stateNumbers`. */
export type State = keyof typeof stateNumbers;

/** Why the state changed. */
export const causeNumbers = {
  /** The first attempt. */
  started: 1,
  /** The time of the next attempt has come. */
  due: 2,
  /** A rare attempt, though the system says that there is no way. */
  probe: 3,
  /** The server has welcomed the connection. */
  welcomed: 4,
  /** Something came from the server. */
  proven: 5,
  /** The network changed. */
  network_changed: 6,
  /** The connection's own address is gone. */
  address_gone: 7,
  /** The system says that there is no way to the server. */
  offline: 8,
  /** The machine slept. */
  woke_up: 9,
  /** The application is in use again. */
  foreground: 10,
  /** No answer to a heartbeat yet. */
  heartbeat_late: 11,
  /** No answer to a heartbeat. */
  heartbeat_missed: 12,
  /** The first send after a long silence. */
  sent_after_silence: 13,
  /** An answer of the server is late. */
  answer_late: 14,
  /** What was written does not leave this machine. */
  output_stuck: 15,
  /** The connection ended without a word. */
  connection_lost: 16,
  /** The connection could not be made. */
  unreachable: 17,
  /** No answer in time. */
  timed_out: 18,
  /** The server refused the connection. */
  refused: 19,
  /** The server says when to come back. */
  retry_after: 20,
  /** The server asked for a new connection. */
  server_drain: 21,
  /** The server closed the connection. */
  closed_by_server: 22,
  /** The session was taken over by another connection. */
  superseded: 23,
  /** The token has expired. */
  token_expired: 24,
  /** The server ended the session. */
  ended_by_server: 25,
  /** The server broke the protocol. */
  protocol_error: 26,
  /** Never told by this library; it keeps the number. */
  no_memory: 27,
  /** Closed by the application. */
  closed: 28,
} as const;

/** A cause's name; see `causeNumbers`. */
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
  /** The number of a publish is not the next one. This library repairs that by itself. */
  bad_seq: 2,
  /** The token is missing, or not good. */
  unauthorized: 3,
  /** The token does not give the right. */
  forbidden: 4,
  /** There is no such thing on the server. */
  not_found: 5,
  /** Larger than the server takes; also found by the client, which knows the server's limit. */
  too_large: 6,
  /** More was sent than the server takes in that time: send it later. */
  rate_limited: 7,
  /** A limit of the session, or of this client, is reached: its number of subscriptions, for instance. */
  limit: 8,
  /** The server has too much to do: send it later. */
  overloaded: 9,
  /** Something that the server needs for it cannot be reached, or it does not offer this. */
  unavailable: 10,
  /** There was no answer in time; also found by the client. */
  timeout: 11,
  /** The server failed; its log says why. */
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

/** An error's name; see `errorNumbers`. */
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

/** A gap's reason; see `gapNumbers`. */
export type GapCode = keyof typeof gapNumbers;

/** WebSocket close codes with a meaning of their own (PROTOCOL.md "Close codes"). */
export const closeCodes = {
  /** The session was ended by the goodbye of one side. */
  normal: 1000,
  /** The server shuts down, or the page is left. */
  goingAway: 1001,
  /** A side broke the WebSocket protocol. */
  protocolError: 1002,
  /** The other kind of WebSocket message than the encoding has. */
  unsupported: 1003,
  /** Too many bad messages. */
  policy: 1008,
  /** A message larger than the server reads. */
  tooBig: 1009,
  /** The server failed. */
  internal: 1011,
  /** The server has no room now; it said before when to come back. */
  tryAgainLater: 1013,
  /** The session goes on in a newer connection. */
  superseded: 4001,
  /** The token has expired. */
  tokenExpired: 4002,
  /** The application's backend ended the session. */
  ended: 4003,
  /** The client did not answer a heartbeat. */
  heartbeatMissed: 4004,
  /** The server's policy ends connections that read too slowly. */
  tooSlow: 4005,
  /** The server holds no more sessions of this user. */
  sessionLimit: 4006,
} as const;
