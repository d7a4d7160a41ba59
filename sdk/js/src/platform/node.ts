/** node.ts - connections where Node has no WebSocket of its own (before version 22): those of npm `ws`, an optional peer that is loaded when the first connection is made. */
import type { Connection, ConnectionEvents, ConnectionRequest, Transport } from '../types.js';
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

export function wsTransport(load: Load = loadWs): Transport {
  let loading: Promise<Transport> | null = null;
  return {
    open(request, events) {
      loading ??= load().then(webSocketTransport);
      loading.catch(() => (loading = null)); // It may be installed by the next attempt.
      return new LoadingConnection(loading, request, events);
    },
  };
}
