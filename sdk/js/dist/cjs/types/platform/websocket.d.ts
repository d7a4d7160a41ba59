/**
 * websocket.ts - connections by a WebSocket class: the browser's, Node's, Deno's, Bun's, or that of npm `ws`, which alone can tell the HTTP status of a refusal.
 */
import type { Transport } from '../types.js';
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
    on?(event: 'unexpected-response', listener: (request: {
        destroy(): void;
    }, response: RefusedResponse) => void): unknown;
    terminate?(): void;
}
export type WebSocketClass = new (url: string, protocols: string[]) => WebSocketLike;
/** For the option `transport`: connections by this class. */
export declare function webSocketTransport(WebSocket: unknown): Transport;
export {};
