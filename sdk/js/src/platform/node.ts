/**
 * node.ts - connections in Node: those of npm `ws` where it is installed, because it alone tells the HTTP status of a refusal; else those of Node's own WebSocket, which it has from version 22 on. `ws` is
 * an optional peer, and loaded when the first connection is made.
 */
import type { Connection, ConnectionEvents, ConnectionRequest, Transport } from '../types.js';
import { globalTransport } from './system.js';
import { webSocketTransport } from './websocket.js';

type Load = () => Promise<unknown>;

/** Stands for a connection until its class is loaded. */
class LoadingConnection implements Connection {
  private inner: Connection | null = null;
  private over = false;

  constructor(transport: Promise<Transport>, request: ConnectionRequest, events: ConnectionEvents) {
    transport.then(
      (loaded) => {
        if (!this.over) this.inner = loaded.open(request, events);
      },
      (error: unknown) => {
        if (!this.over) events.closed(1006, `Node before version 22 has no WebSocket: npm install ws (${String(error)})`);
      },
    );
  }

  get bufferedAmount(): number {
    return this.inner?.bufferedAmount ?? 0;
  }

  send(data: string | Uint8Array): void {
    this.inner?.send(data);
  }

  close(code?: number, reason?: string): void {
    this.over = true;
    this.inner?.close(code, reason);
  }
}

function loadWs(): Promise<unknown> {
  return import('ws').then((module: { default: unknown }) => module.default);
}

/** own: what there is where `ws` cannot be loaded. */
export function wsTransport(load: Load = loadWs, own: Transport | undefined = globalTransport()): Transport {
  let loading: Promise<Transport> | null = null;
  return {
    open(request, events) {
      loading ??= load().then(webSocketTransport, (error: unknown) => own ?? Promise.reject(error));
      loading.catch(() => (loading = null)); // It may be installed by the next attempt.
      return new LoadingConnection(loading, request, events);
    },
  };
}

interface Runtime {
  readonly process?: { readonly versions?: { readonly node?: string; readonly bun?: string } };
  readonly Deno?: unknown;
}

/** undefined: this is not Node, though it may look like it. Bun's `ws` is no more than its own WebSocket. */
export function nodeTransport(): Transport | undefined {
  const { process, Deno } = globalThis as Runtime;
  return process?.versions?.node === undefined || process.versions.bun !== undefined || Deno !== undefined ? undefined : wsTransport();
}
