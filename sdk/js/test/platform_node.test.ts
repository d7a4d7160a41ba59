/** Which WebSocket a client in Node connects by: npm ws where it is installed, because it tells HTTP statuses; else Node's own. */
import { afterEach, describe, expect, it, vi } from 'vitest';
import { nodeTransport, wsTransport } from '../src/platform/node.js';
import { Holdfast } from '../src/index.node.js';
import type { Connection, ConnectionEvents, Transport } from '../src/types.js';
import { holdfast, RealServer, until } from './real_server.js';

const request = { url: 'ws://127.0.0.1:1/ws', protocols: ['holdfast.v1.json'] };

class Seen implements ConnectionEvents {
  readonly heard: string[] = [];
  opened = (): void => void this.heard.push('opened');
  message = (): void => void this.heard.push('message');
  refused = (status: number): void => void this.heard.push(`refused ${status}`);
  closed = (code: number, reason: string): void => void this.heard.push(`closed ${code} ${reason}`);
}

/** As Node's own, as far as these tests go: it tells nothing, but that it was made. */
class OwnWebSocket {
  static made = 0;
  binaryType = '';
  readonly bufferedAmount = 0;
  readonly protocol = '';

  constructor() {
    OwnWebSocket.made++;
  }

  send(): void {}
  close(): void {}
}

afterEach(() => {
  vi.unstubAllGlobals();
  OwnWebSocket.made = 0;
});

describe('connections in Node', () => {
  it('are those of ws, though there is a WebSocket', async () => {
    vi.stubGlobal('WebSocket', OwnWebSocket);
    const seen = new Seen();
    nodeTransport()?.open(request, seen);
    await until(() => seen.heard.length > 0, 'the attempt fails');
    expect(seen.heard[0]).toMatch(/^closed 1006/);
    expect(OwnWebSocket.made).toBe(0);
  });

  it('are those of the WebSocket that there is, where ws is not installed', async () => {
    const made: string[] = [];
    const own: Transport = {
      open: ({ url }): Connection => {
        made.push(url);
        return { bufferedAmount: 0, send: () => undefined, close: () => undefined };
      },
    };
    const transport = wsTransport(() => Promise.reject(new Error("Cannot find package 'ws'")), own);
    transport.open(request, new Seen());
    transport.open(request, new Seen());
    await until(() => made.length === 2, 'both are made');
    expect(made).toEqual([request.url, request.url]);
  });

  it('cannot be made where there is neither, until ws is installed', async () => {
    let isInstalled = false;
    const transport = wsTransport(() => (isInstalled ? Promise.resolve(OwnWebSocket) : Promise.reject(new Error("Cannot find package 'ws'"))), undefined);
    const seen = new Seen();
    transport.open(request, seen);
    await until(() => seen.heard.length > 0, 'it fails');
    expect(seen.heard[0]).toMatch(/npm install ws/);
    isInstalled = true;
    transport.open(request, seen);
    await until(() => OwnWebSocket.made === 1, 'the next one is made');
  });

  it('are not sought by ws where this is no Node', () => {
    vi.stubGlobal('Deno', {});
    expect(nodeTransport()).toBeUndefined();
  });

  it.skipIf(holdfast === undefined)('see the status of a refusal, though there is a WebSocket that tells none', async () => {
    const server = new RealServer();
    await server.start();
    vi.stubGlobal('WebSocket', OwnWebSocket);
    const client = new Holdfast(server.url.replace('/ws', '/nothing'));
    try {
      const statuses: number[] = [];
      client.on('ended', ({ httpStatus }) => statuses.push(httpStatus));
      await expect(client.connected()).rejects.toMatchObject({ code: 'closed' });
      expect(statuses).toEqual([404]);
    } finally {
      await client.close();
      await server.stop('SIGKILL');
    }
  });
});
