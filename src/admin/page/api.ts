/** api.ts - the server's HTTP API: requests with the key, deadlines, and refusals told apart. */
import { parseExactly } from './payload.js';
import type { Access, ChannelPage, History, Presence, Published, SessionDetail, SessionPage, Stats, Top } from './types.js';

/** A server that has not answered by then is not there: its own time-out for a publish is shorter. */
const answerMs = 15_000;

/**
 * unreachable    no answer: the server does not run, or the network does not reach it
 * unauthorized   401: it asks for a key, or does not know this one
 * forbidden      403: not with this key, or not from here
 * absent         404
 * busy           429 or 503: later; retryMs is what it said, or 0
 * refused        anything else
 */
export type FailureKind = 'unreachable' | 'unauthorized' | 'forbidden' | 'absent' | 'busy' | 'refused';

export class ApiError extends Error {
  constructor(
    readonly kind: FailureKind,
    /** What the server gave as its reason, or what the browser said. */
    reason: string,
    readonly status = 0,
    readonly retryMs = 0,
  ) {
    super(reason);
  }
}

/** As a sentence, whatever was thrown. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof ApiError)) return `The page has a fault: ${String(error)}`;
  switch (error.kind) {
    case 'unreachable':
      return 'The server did not answer.';
    case 'unauthorized':
      return `The server does not take the key (401): ${error.message}.`;
    case 'forbidden':
      return `Not allowed (403): ${error.message}.`;
    case 'busy':
      return `The server asks to come back later (${error.status}): ${error.message}.`;
    default:
      return `Refused (${error.status}): ${error.message}.`;
  }
}

/** The page lies in a folder beside the API, also behind a proxy that gives both a path of their own: no address begins at the root. */
const root = '..';

type Query = Readonly<Record<string, string | number | undefined>>;

export class Api {
  constructor(private readonly key: () => string | null) {}

  access(): Promise<Access> {
    return this.get('/api/access');
  }

  /** Whether the worker that answers takes new clients. */
  async ready(): Promise<boolean> {
    try {
      await this.get('/readyz');
      return true;
    } catch (error) {
      if (error instanceof ApiError && error.status === 503) return false;
      throw error;
    }
  }

  /** The workers in brief, but for the one that is looked at: there may be 256. A server that does not know these arguments tells all. */
  stats(worker: number | null): Promise<Stats> {
    return this.get('/api/stats', { workers: 'brief', worker: worker ?? undefined });
  }

  top(): Promise<Top> {
    return this.get('/api/top', { limit: 10 });
  }

  channels(query: { prefix: string; limit: number } | { search: string; after?: string; limit: number }, signal: AbortSignal): Promise<ChannelPage> {
    return this.get('/api/channels', query, signal);
  }

  sessions(query: { search: string; after?: number; limit: number }, signal: AbortSignal): Promise<SessionPage> {
    return this.get('/api/sessions', query, signal);
  }

  session(session: string, signal: AbortSignal): Promise<SessionDetail> {
    return this.get('/api/session', { session }, signal);
  }

  history(query: { channel: string; limit: number; reverse?: boolean; since?: { epoch: string; offset: number } }, signal: AbortSignal): Promise<History> {
    return this.ask('/api/history', { method: 'POST', body: JSON.stringify(query) }, signal, parseExactly);
  }

  presence(query: { channel: string; limit: number; after?: string }, signal: AbortSignal): Promise<Presence> {
    return this.post('/api/presence', JSON.stringify(query), signal);
  }

  /** payload: JSON text, which goes out as it stands: its numbers may be longer than a number of this language. */
  publish(channel: string, payload: string, key: string): Promise<Published> {
    return this.post('/api/publish', `{"channel":${JSON.stringify(channel)},"key":${JSON.stringify(key)},"payload":${payload}}`);
  }

  disconnect(whom: { session: string; code?: number } | { user: string }): Promise<{ disconnected: number }> {
    return this.post('/api/disconnect', JSON.stringify(whom));
  }

  private get<T>(path: string, query: Query = {}, signal?: AbortSignal): Promise<T> {
    const given = Object.entries(query).flatMap(([name, value]) => (value === undefined ? [] : [[name, String(value)] as [string, string]]));
    return this.ask<T>(given.length > 0 ? `${path}?${new URLSearchParams(given).toString()}` : path, { method: 'GET' }, signal);
  }

  private post<T>(path: string, body: string, signal?: AbortSignal): Promise<T> {
    return this.ask<T>(path, { method: 'POST', body }, signal);
  }

  private async ask<T>(url: string, request: RequestInit, signal?: AbortSignal, parse: (text: string) => unknown = JSON.parse): Promise<T> {
    const key = this.key();
    const headers: Record<string, string> = key === null ? {} : { Authorization: `Bearer ${key}` };
    const deadline = AbortSignal.timeout(answerMs);
    const until = signal ? AbortSignal.any([signal, deadline]) : deadline;
    let answer: Response;
    let text: string;
    try {
      answer = await fetch(root + url, { ...request, headers, cache: 'no-store', credentials: 'omit', redirect: 'error', referrerPolicy: 'no-referrer', signal: until });
      text = await answer.text();
    } catch (error) {
      // The view that asked is gone: nobody waits for the answer.
      if (signal?.aborted) throw error;
      throw new ApiError('unreachable', deadline.aborted ? `no answer within ${answerMs / 1000} s` : String(error));
    }
    if (!answer.ok) throw refusal(answer, text);
    try {
      return parse(text) as T;
    } catch {
      throw new ApiError('refused', 'the answer is no JSON: something other than a Holdfast server answers here', answer.status);
    }
  }
}

function refusal(answer: Response, text: string): ApiError {
  const kinds: Readonly<Record<number, FailureKind>> = { 401: 'unauthorized', 403: 'forbidden', 404: 'absent', 429: 'busy', 503: 'busy' };
  const retry = Number(answer.headers.get('Retry-After') ?? 0);
  return new ApiError(kinds[answer.status] ?? 'refused', reasonIn(text) ?? (answer.statusText || 'no reason given'), answer.status, retry > 0 ? retry * 1000 : 0);
}

function reasonIn(text: string): string | null {
  try {
    const body: unknown = JSON.parse(text);
    if (typeof body === 'object' && body !== null && 'reason' in body && typeof body.reason === 'string') return body.reason;
  } catch {
    // A proxy's page.
  }
  return null;
}
