/** why.ts - a session's events in words: what its newest disconnect was, and how its connections went. Pure. */
import { bytes, milliseconds, span } from './format.js';
import type { Mood } from './parts.js';
import type { SessionEvent } from './types.js';

const byWhom = { server: 'by the server', client: 'by the client', path: 'by the path between: no close frame came' } as const;

/** An end of a connection. */
const isEnd = (event: SessionEvent): boolean => event.by !== undefined;
const isBeginning = (event: SessionEvent): boolean => event.event === 'session began' || event.event === 'resumed';

/** The newest end of a connection that another one did not take the place of; events are newest first. */
export function newestDisconnect(events: readonly SessionEvent[]): SessionEvent | undefined {
  return events.find((event) => isEnd(event) && event.code !== 4001);
}

export function moodOf(event: SessionEvent): Mood {
  if (isBeginning(event)) return 'good';
  if (event.missed !== undefined) return 'bad';
  if (event.event.startsWith('session ')) return event.event === 'session ended by its client' ? '' : 'warn';
  if (!isEnd(event)) return '';
  return event.by === 'client' || event.code === 4001 ? '' : 'warn';
}

/** What is known of it, in pieces: who, with which code, after which silence, with how much waiting. */
export function detailsOf(event: SessionEvent): string[] {
  const details: string[] = [];
  if (event.by !== undefined) details.push(byWhom[event.by]);
  if (event.code !== undefined) details.push(`close code ${event.code}`);
  if (event.silenceMs !== undefined) details.push(`the client had been silent for ${milliseconds(event.silenceMs)}`);
  if (event.waitingBytes !== undefined && event.waitingBytes > 0) details.push(`${bytes(event.waitingBytes)} waited for it`);
  if (event.missed !== undefined) details.push(`${event.missed} messages`);
  if (event.heartbeatMs !== undefined && !isEnd(event)) details.push(`heartbeat every ${milliseconds(event.heartbeatMs)}`);
  if (event.address !== undefined) details.push(`from ${event.address}`);
  return details;
}

/** How long the connection stood that ended there, in ms; null where that cannot be told: another one had begun before its end. */
export function stoodMs(events: readonly SessionEvent[], at: number): number | null {
  const end = events[at];
  if (!end || !isEnd(end) || end.code === 4001) return null;
  const before = events.slice(at + 1).find((event) => isBeginning(event) || isEnd(event));
  return before && isBeginning(before) ? end.time - before.time : null;
}

/** One sentence for the top of the view. */
export function verdict(state: string, events: readonly SessionEvent[]): { readonly mood: Mood; readonly text: string } {
  const last = newestDisconnect(events);
  const ended = events.find(({ event }) => event.startsWith('session e'));
  if (state === 'ended' && ended) return { mood: 'bad', text: `It is over: ${ended.event}${last ? `; its last connection was ${sentence(last)}` : ''}.` };
  if (state === 'waiting' && last) return { mood: 'warn', text: `It waits for its client to come back. Its last connection was ${sentence(last)}.` };
  if (!last) return { mood: 'good', text: state === 'attached' ? 'It is connected, and no disconnect is remembered.' : 'No disconnect is remembered.' };
  const mood: Mood = state === 'attached' ? 'good' : 'warn';
  return { mood, text: `${state === 'attached' ? 'It is connected. Its last disconnect' : 'Its last disconnect'}: ${sentence(last)}.` };
}

function sentence(event: SessionEvent): string {
  const silence = event.silenceMs !== undefined && event.silenceMs >= 1000 ? `, after ${span(event.silenceMs)} of silence` : '';
  return `${event.event}${silence}`;
}
