/**
 * requests.ts - what a client has asked the server and has no answer to yet (src/session/request.h). A request lives until it is answered, through as many connections as that
 * takes: "Requests without an answer are asked again after the resume; a `call` is reported as uncertain" (PROTOCOL.md "Resume" 6). Its id on the wire is 'r' and its
 * number, so that it is never taken for a heartbeat's.
 */
import type { Raw, Since } from './message.js';

export type RequestWhat =
  | { readonly type: 'ping' }
  | {
      readonly type: 'history';
      readonly channel: string;
      readonly since: Since | undefined;
      readonly limit: number;
      readonly reverse: boolean;
    }
  | { readonly type: 'presence'; readonly channel: string }
  | { readonly type: 'call'; readonly method: string; readonly payload: Raw };

export interface Request {
  readonly requestId: number;
  /** The id on the wire. */
  readonly name: string;
  readonly what: RequestWhat;
  /** On the present connection. */
  asked: boolean;
}

/** Without an answer at a time. */
export const requestsMax = 64;

export class Requests {
  /** In the order of asking, by the id on the wire. */
  private readonly all = new Map<string, Request>();
  private lastId = 0;

  get full(): boolean {
    return this.all.size >= requestsMax;
  }

  /** Asked on the present connection. */
  get asked(): number {
    let count = 0;
    for (const request of this.all.values()) count += request.asked ? 1 : 0;
    return count;
  }

  add(what: RequestWhat): number {
    const requestId = ++this.lastId;
    const name = `r${requestId}`;
    this.all.set(name, { requestId, name, what, asked: false });
    return requestId;
  }

  /** Those that have not been asked on this connection, which they are from now on. */
  toAsk(): Request[] {
    const list = [...this.all.values()].filter((request) => !request.asked);
    for (const request of list) request.asked = true;
    return list;
  }

  /** Take out the one of this type that was asked on this connection under this id. */
  take(type: RequestWhat['type'], name: string | undefined): Request | undefined {
    const request = name === undefined ? undefined : this.all.get(name);
    if (request === undefined || !request.asked || request.what.type !== type) return undefined;
    this.all.delete(request.name);
    return request;
  }

  /** The caller waits no more. An answer that comes is ignored. */
  forget(requestId: number): void {
    this.all.delete(`r${requestId}`);
  }

  /** The connection is gone: all are to be asked again, but for the calls that were, which are taken out and given back. */
  disconnected(): Request[] {
    const lost: Request[] = [];
    for (const request of this.all.values()) {
      if (request.asked && request.what.type === 'call') {
        this.all.delete(request.name);
        lost.push(request);
      }
      request.asked = false;
    }
    return lost;
  }
}
