/**
 * websocket.ts - connections by a WebSocket class: the browser's, Node's, Deno's, Bun's, or that of npm `ws`, which alone can tell the HTTP status of a refusal.
 */
import type { Connection, ConnectionEvents, ConnectionRequest, Transport } from '../types.js';
import * as has from '../features.js';

interface RefusedResponse {
  readonly statusCode?: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
}

/** What is used of a WebSocket. */
export interface WebSocketLike {
  binaryType: string;
  readonly bufferedAmount: number;
  readonly protocol: string;
  onopen: ((event: never) => void) | null;
  onmessage: ((event: never) => void) | null;
  onclose: ((event: never) => void) | null;
  onerror: ((event: never) => void) | null;
  send(data: string | ArrayBufferView<ArrayBuffer>): void;
  close(code?: number, reason?: string): void;
  /** npm `ws` only. */
  on?(event: 'unexpected-response', listener: (request: { destroy(): void }, response: RefusedResponse) => void): unknown;
  terminate?(): void;
}

export type WebSocketClass = new (url: string, protocols: string[]) => WebSocketLike;

/** PROTOCOL.md "Opening": `Retry-After`; a date in place of seconds is taken for none. */
function retryAfter(headers: RefusedResponse['headers']): number {
  const value = headers['retry-after'];
  const seconds = typeof value === 'string' ? Number(value) : 0;
  return Number.isInteger(seconds) && seconds > 0 ? seconds : 0;
}

class SocketConnection implements Connection {
  /** The last event was told, or close() was called: nothing is told any more. */
  private over = false;
  private readonly socket: WebSocketLike;

  constructor(WebSocket: WebSocketClass, request: ConnectionRequest, events: ConnectionEvents) {
    const socket = new WebSocket(request.url, [...request.protocols]);
    this.socket = socket;
    socket.binaryType = 'arraybuffer';
    socket.onopen = () => {
      if (!this.over) events.opened(socket.protocol);
    };
    socket.onmessage = ({ data }: { data: string | ArrayBuffer }) => {
      if (!this.over) events.message(data);
    };
    socket.onclose = ({ code, reason }: { code: number; reason: string }) => {
      if (this.end()) events.closed(code, reason);
    };
    // `close` follows, and says as much. With npm `ws` an error that nobody listens to would end the program.
    socket.onerror = () => undefined;
    if (has.seesStatus)
      socket.on?.('unexpected-response', (asked, response) => {
        asked.destroy();
        if (this.end()) events.refused(response.statusCode ?? 0, retryAfter(response.headers));
      });
  }

  get bufferedAmount(): number {
    return this.socket.bufferedAmount;
  }

  send(data: string | Uint8Array): void {
    this.socket.send(data as string | Uint8Array<ArrayBuffer>);
  }

  close(code?: number, reason?: string): void {
    this.over = true;
    if (has.seesStatus && code === undefined && this.socket.terminate !== undefined) {
      this.socket.terminate(); // No wait for an answer on what may be dead.
      return;
    }
    try {
      this.socket.close(code, reason);
    } catch {
      this.socket.close(); // A browser lets a page send 1000 and 3000 to 4999 only.
    }
  }

  private end(): boolean {
    const first = !this.over;
    this.over = true;
    return first;
  }
}

/** For the option `transport`: connections by this class. */
export function webSocketTransport(WebSocket: unknown): Transport {
  const Class = WebSocket as WebSocketClass;
  return {
    open(request, events) {
      try {
        return new SocketConnection(Class, request, events);
      } catch (error) {
        // A URL that is none; or one that this page may not connect to.
        let over = false;
        queueMicrotask(() => {
          if (!over) events.closed(1006, error instanceof Error ? error.message : String(error));
        });
        return { send: () => undefined, bufferedAmount: 0, close: () => void (over = true) };
      }
    },
  };
}
