/** questions.ts - a session's requests: history, presence, pings of the application's, calls (src/session/client_session_request.c). */
import { closedError, HoldfastError } from '../errors.js';
import { historyLimitMax, isChannelName, isLabel, isNumber, type ErrorMessage, type Of } from './message.js';
import { Requests, requestsMax, type Request, type RequestWhat } from './requests.js';
import type { SessionCore } from './session_core.js';
import { isConnected } from './state.js';

const lostCall =
  'the connection broke before the answer: the call may have reached the backend. Make it again only if twice does no harm';

/** What cannot be asked, and why; undefined: nothing. */
function fault(what: RequestWhat): string | undefined {
  if ('channel' in what && !isChannelName(what.channel)) return `"${what.channel}" names no channel`;
  if (what.type !== 'history') return undefined;
  const { since, limit } = what;
  if (!isNumber(limit) || limit < 1 || limit > historyLimitMax) return `"limit" is no number from 1 to ${historyLimitMax}`;
  return since === undefined || (isLabel(since.epoch) && isNumber(since.offset))
    ? undefined
    : '"since" is no position: give one as a subscription had it, {epoch, offset}';
}

export class Questions {
  private readonly requests = new Requests();
  /** Calls whose connection broke before their answer, until they are told. */
  private lost: Request[] = [];

  constructor(private readonly s: SessionCore) {}

  get asked(): number {
    return this.requests.asked;
  }

  /** Ask; an event will name the number that is the answer here. Throws `invalid`, `closed`, `requests_full`. */
  ask(what: RequestWhat, now: number): number {
    const wrong = fault(what);
    if (wrong !== undefined) throw new HoldfastError('invalid', wrong);
    if (this.s.closing) throw closedError();
    if (this.requests.full)
      throw new HoldfastError('requests_full', `${requestsMax} requests wait for their answers: ask again when one has come`);
    const requestId = this.requests.add(what);
    this.put(now);
    return requestId;
  }

  forget(requestId: number): void {
    this.requests.forget(requestId);
  }

  put(now: number): void {
    if (!isConnected(this.s.state) || this.s.greeting) return;
    for (const request of this.requests.toAsk()) {
      this.putOne(request);
      this.s.awaitingAnswer(now);
    }
  }

  /** Whether it answers one of them. */
  onAnswer(message: Of<'pong' | 'history' | 'presence' | 'reply'>, now: number): boolean {
    const request = this.requests.take(message.type === 'pong' ? 'ping' : message.type === 'reply' ? 'call' : message.type, message.id);
    if (request === undefined) return false;
    const { requestId } = request;
    this.s.answered(now);
    if (message.type === 'pong') {
      this.s.emit({ type: 'pong', requestId });
    } else if (message.type === 'history') {
      const { channel, epoch, offset, messages } = message;
      this.s.emit({ type: 'history', requestId, channel, epoch, offset, messages });
    } else if (message.type === 'presence') {
      this.s.emit({ type: 'members', requestId, channel: message.channel, members: message.members });
    } else if (message.code !== undefined) {
      this.s.emit({ type: 'failed', requestId, code: message.code, reason: message.reason ?? '' });
    } else {
      this.s.emit({ type: 'reply', requestId, payload: message.payload });
    }
    return true;
  }

  /** Whether an `error` is the answer to one of them. */
  onError(message: ErrorMessage, now: number): boolean {
    const { re } = message;
    if (re !== 'history' && re !== 'presence' && re !== 'call') return false;
    const request = this.requests.take(re, message.id);
    if (request === undefined) return false;
    this.s.emit({ type: 'failed', requestId: request.requestId, code: message.code, reason: message.reason });
    this.s.answered(now);
    return true;
  }

  disconnected(): void {
    this.lost.push(...this.requests.disconnected());
  }

  /** "a `call` is reported as uncertain" (PROTOCOL.md "Resume" 6) */
  tellLost(): void {
    for (let request = this.lost.shift(); request !== undefined; request = this.lost.shift())
      this.s.emit({ type: 'failed', requestId: request.requestId, code: 'uncertain', reason: lostCall });
  }

  private putOne({ name: id, what }: Request): void {
    switch (what.type) {
      case 'ping':
        return this.s.put({ type: 'ping', id });
      case 'presence':
        return this.s.put({ type: 'presence', id, channel: what.channel });
      case 'call':
        return this.s.put({ type: 'call', id, method: what.method, payload: what.payload });
      case 'history': {
        const { channel, since, limit, reverse } = what;
        const more = { ...(since === undefined ? {} : { since }), limit, ...(reverse ? { reverse } : {}) };
        return this.s.put({ type: 'history', id, channel, ...more });
      }
    }
  }
}
