/** client/requests.ts - what an application has asked and waits for: history, presence, pings, calls, by their request ids. */
import type { SessionEvent } from '../core/events.js';
import type { RequestWhat } from '../core/requests.js';
import { closedError, HoldfastError } from '../errors.js';
import { messageOf, serverError } from '../subscription.js';
import type { Host } from './host.js';
import type { Settle } from './publishes.js';

interface Waiting extends Settle<unknown> {
  readonly askedAt: number;
  readonly cancelTimer: () => void;
}

export class Requests {
  private readonly all = new Map<number, Waiting>();

  /** timeoutMs: 0 is for ever. */
  constructor(
    private readonly host: Host,
    private readonly timeoutMs: number,
  ) {}

  ask(what: RequestWhat): Promise<unknown> {
    return new Promise((resolve, reject) => this.put(what, this.timeoutMs, { resolve, reject }));
  }

  /** `settle` is called before what comes behind the answer is told. timeoutMs: 0 is for ever. */
  put(what: RequestWhat, timeoutMs: number, settle: Settle<unknown>): void {
    this.host.later(() => {
      const { driver, platform } = this.host;
      if (driver === null) {
        settle.reject(closedError());
        return;
      }
      try {
        const requestId = driver.soon((now) => driver.session.ask(what, now));
        const cancelTimer = timeoutMs === 0 ? () => undefined : platform.timer(timeoutMs, () => this.timedOut(requestId));
        this.all.set(requestId, { ...settle, askedAt: platform.now(), cancelTimer });
      } catch (error) {
        settle.reject(error);
      }
    });
  }

  /** Whether the event was an answer. */
  onEvent(event: SessionEvent): boolean {
    switch (event.type) {
      case 'pong': {
        const waiting = this.take(event.requestId);
        waiting?.resolve(this.host.platform.now() - waiting.askedAt);
        return true;
      }
      case 'history': {
        const { channel, epoch, offset: head, messages } = event;
        this.take(event.requestId)?.resolve({ channel, epoch, head, messages: messages.map((each) => messageOf(epoch, each)) });
        return true;
      }
      case 'members':
        this.take(event.requestId)?.resolve(event.members);
        return true;
      case 'reply':
        this.take(event.requestId)?.resolve(event.payload);
        return true;
      case 'failed': {
        const { requestId, code, reason } = event;
        this.take(requestId)?.reject(code === 'uncertain' ? new HoldfastError(code, reason) : serverError(code, reason));
        return true;
      }
      default:
        return false;
    }
  }

  end(): void {
    for (const requestId of [...this.all.keys()]) this.take(requestId)?.reject(closedError());
  }

  private take(requestId: number): Waiting | undefined {
    const waiting = this.all.get(requestId);
    this.all.delete(requestId);
    waiting?.cancelTimer();
    return waiting;
  }

  private timedOut(requestId: number): void {
    this.host.session?.questions?.forget(requestId);
    this.take(requestId)?.reject(
      new HoldfastError('timeout', `no answer within ${this.timeoutMs} ms: ask again, or see the option "requestTimeout"`),
    );
  }
}
