/**
 * pool_asks.ts - history, presence, calls and pings: which member is asked, and what becomes of the answer (src/client/pool_ask.c). What is the same wherever it is asked for goes to the next
 * connected member in turn, and to another where that one's connection breaks; an answer that comes twice is told once. A call is given to one member and never repeated. A ping is about its member, and
 * waits for it.
 */
import type { SessionEvent } from '../core/events.js';
import type { RequestWhat } from '../core/requests.js';
import type { Settle } from '../client/publishes.js';
import { closedError, HoldfastError } from '../errors.js';
import { messageOf, serverError } from '../subscription.js';
import type { PoolMember } from './pool_member.js';

/** Without an answer at a time. */
export const asksMax = 4096;

interface Ask extends Settle<unknown> {
  readonly what: RequestWhat;
  /** The one that it is about; null: any. */
  readonly member: number | null;
  /** Who was asked, and under which number. */
  readonly asked: Map<number, number>;
  askedAt: number;
  readonly cancelTimer: () => void;
}

/** What asks need of their pool. */
export interface AsksOwner {
  readonly count: number;
  /** Nothing is asked any more. */
  readonly isClosed: boolean;
  /** undefined: its session has ended. */
  client(member: number): PoolMember | undefined;
  isUp(member: number): boolean;
  now(): number;
  timer(delay: number, callback: () => void): () => void;
}

export class PoolAsks {
  /** Those that nobody is asked for at the moment, in their order. */
  private waiting: Ask[] = [];
  private readonly all = new Set<Ask>();
  /** By member and number. */
  private readonly byRequest: readonly Map<number, Ask>[];
  private turn = 0;

  constructor(
    private readonly owner: AsksOwner,
    /** 0: for ever. */
    private readonly timeoutMs: number,
  ) {
    this.byRequest = Array.from({ length: owner.count }, () => new Map<number, Ask>());
  }

  put(what: RequestWhat, member: number | null): Promise<unknown> {
    return new Promise((resolve, reject) => this.ask(what, member, this.timeoutMs, { resolve, reject }));
  }

  /** `settle` is called before what comes behind the answer is told. timeoutMs: 0 is for ever. */
  ask(what: RequestWhat, member: number | null, timeoutMs: number, settle: Settle<unknown>): void {
    if (this.owner.isClosed) return settle.reject(closedError());
    if (this.all.size >= asksMax)
      return settle.reject(new HoldfastError('requests_full', `${asksMax} requests wait for their answers: ask again when one has come`));
    const cancelTimer = timeoutMs === 0 ? () => undefined : this.owner.timer(timeoutMs, () => this.timedOut(ask));
    const ask: Ask = { what, member, asked: new Map(), askedAt: 0, cancelTimer, ...settle };
    this.all.add(ask);
    this.waiting.push(ask);
    this.askNow();
  }

  /** Ask what can be asked now. */
  askNow(): void {
    const later: Ask[] = [];
    for (const ask of this.waiting.splice(0)) if (this.all.has(ask) && !this.tryAsk(ask)) later.push(ask);
    this.waiting.unshift(...later);
  }

  /** Members have lost their connections, or have one again: what another can answer need not wait. */
  moved(): void {
    for (const ask of this.all) {
      if (ask.member !== null || ask.what.type === 'call' || ask.asked.size === 0) continue;
      if ([...ask.asked.keys()].some((member) => this.owner.isUp(member))) continue;
      this.tryAsk(ask); // Those that were asked may still answer first.
    }
    this.askNow();
  }

  /** A member's session has ended: it answers nothing any more. */
  ended(member: number): void {
    const asks = [...(this.byRequest[member] as Map<number, Ask>).values()];
    this.byRequest[member]?.clear();
    for (const ask of asks) {
      ask.asked.delete(member);
      if (ask.what.type === 'call')
        this.settle(ask)?.reject(new HoldfastError('uncertain', 'the session ended before the answer: the call may have reached the backend. Make it again only if twice does no harm'));
      else if (ask.asked.size === 0) this.waiting.push(ask);
    }
  }

  /** Whether it was an answer. */
  told(member: number, event: SessionEvent): boolean {
    if (event.type !== 'pong' && event.type !== 'history' && event.type !== 'members' && event.type !== 'reply' && event.type !== 'failed') return false;
    const ask = this.byRequest[member]?.get(event.requestId);
    if (ask === undefined) return true; // Its time was over.
    this.settle(ask);
    switch (event.type) {
      case 'pong':
        ask.resolve(this.owner.now() - ask.askedAt);
        break;
      case 'history': {
        const { channel, epoch, offset: head, messages } = event;
        ask.resolve({ channel, epoch, head, messages: messages.map((each) => messageOf(epoch, each)) });
        break;
      }
      case 'members':
        ask.resolve(event.members);
        break;
      case 'reply':
        ask.resolve(event.payload);
        break;
      case 'failed': {
        const { code, reason } = event;
        ask.reject(code === 'uncertain' ? new HoldfastError(code, reason) : serverError(code, reason));
      }
    }
    return true;
  }

  drop(error: HoldfastError): void {
    for (const ask of [...this.all]) this.settle(ask)?.reject(error);
  }

  /** Whether some member has taken it. What cannot be asked at all is rejected. */
  private tryAsk(ask: Ask): boolean {
    const { count } = this.owner;
    if (ask.member !== null) return this.askOf(ask, ask.member);
    for (let i = 0; i < count; i++) {
      const member = (this.turn + i) % count;
      if (!this.owner.isUp(member) || ask.asked.has(member) || !this.askOf(ask, member)) continue;
      this.turn = (member + 1) % count;
      return true;
    }
    return false;
  }

  private askOf(ask: Ask, member: number): boolean {
    const client = this.owner.client(member);
    if (client === undefined) return false;
    try {
      const requestId = client.askRaw(ask.what);
      ask.asked.set(member, requestId);
      ask.askedAt = this.owner.now();
      this.byRequest[member]?.set(requestId, ask);
      return true;
    } catch (error) {
      // The member has enough to answer, or its session is just ending.
      if (error instanceof HoldfastError && (error.code === 'requests_full' || error.code === 'closed')) return false;
      this.settle(ask)?.reject(error);
      return true;
    }
  }

  /** Nobody waits for it any more; undefined: nobody did. */
  private settle(ask: Ask): Ask | undefined {
    if (!this.all.delete(ask)) return undefined;
    ask.cancelTimer();
    for (const [member, requestId] of ask.asked) {
      this.byRequest[member]?.delete(requestId);
      this.owner.client(member)?.forgetRaw(requestId);
    }
    return ask;
  }

  private timedOut(ask: Ask): void {
    const text = `no answer within ${this.timeoutMs} ms: ask again, or see the option "requestTimeout"`;
    this.settle(ask)?.reject(new HoldfastError('timeout', text));
  }
}
