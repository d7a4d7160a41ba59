/**
 * state.ts - what may follow what: src/session/client_state.h.
 *
 *   waiting    -> connecting  the time of the next attempt has come (due), or a signal brought it forward (the first: started)
 *   waiting    -> offline     the system says that there is no way to the server
 *   connecting -> live        `welcome` has come
 *   connecting -> waiting     the attempt failed; backoff.ts says for how long
 *   connecting -> offline     the same, while there is no way to the server
 *   live       -> doubtful    the connection is being verified, or a heartbeat's soft deadline has passed
 *   doubtful   -> live        something came from the server (proven), or the next connection was welcomed
 *   live, doubtful -> waiting     the connection is lost, or dead
 *   live, doubtful -> offline     the same, while there is no way to the server
 *   live, doubtful -> connecting  the same, while the connection that shall follow it is already on its way
 *   live, doubtful -> closing     close(): `bye` is out
 *   offline    -> waiting     the system says that there is a way again: the next attempt is due in at most 100 ms
 *   offline    -> connecting  the rare probe, because signals lie
 *   any        -> ended       a close code or a refusal that no repetition changes, or the end of closing
 */
import type { State } from '../codes.js';
import * as has from '../features.js';

const mayFollow: Readonly<Record<State, readonly State[]>> = {
  waiting: ['connecting', 'offline', 'ended'],
  connecting: ['live', 'waiting', 'offline', 'ended'],
  live: ['doubtful', 'waiting', 'offline', 'connecting', 'closing', 'ended'],
  doubtful: ['live', 'waiting', 'offline', 'connecting', 'closing', 'ended'],
  offline: ['waiting', 'connecting', 'ended'],
  closing: ['ended'],
  ended: [],
};

export function stateMayFollow(from: State, to: State): boolean {
  return mayFollow[from].includes(to);
}

/** Whether there is a connection that the server has welcomed. */
export function isConnected(state: State): boolean {
  return state === 'live' || state === 'doubtful';
}

/** Our own misuse: the program is wrong, and going on would hide it. */
export function assert(holds: boolean, what: string): asserts holds {
  if (has.explains && !holds) throw new Error(`holdfast-client: broken invariant: ${what}`);
}
