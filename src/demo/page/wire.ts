/**
 * wire.ts - a transport with a plug. Pulled, it behaves as a device without a network: what is sent goes nowhere, nothing comes, nobody is told that a connection has
 * ended, and new ones fail.
 */
import type { Connection, ConnectionEvents, ConnectionRequest, Transport } from '../../../sdk/js/src/index.js';

/** How long a device without a network takes to say that an address cannot be reached. */
const failsAfterMs = 30;

const dead: Connection = { send: () => undefined, bufferedAmount: 0, close: () => undefined };

export class PluggedTransport implements Transport {
  private plugged = true;
  private readonly cut = new Set<() => void>();

  constructor(private readonly inner: Transport) {}

  open(request: ConnectionRequest, events: ConnectionEvents): Connection {
    if (!this.plugged) {
      const timer = setTimeout(() => events.closed(1006, ''), failsAfterMs);
      return { ...dead, close: () => clearTimeout(timer) };
    }
    let alive = true;
    const pass =
      <A extends unknown[]>(tell: (...args: A) => void) =>
      (...args: A): void => {
        if (alive) tell(...args);
      };
    const connection = this.inner.open(request, {
      opened: pass((protocol: string) => events.opened(protocol)),
      message: pass((data: string | ArrayBuffer) => events.message(data)),
      refused: pass((status: number, retryAfter: number) => events.refused(status, retryAfter)),
      closed: pass((code: number, reason: string) => {
        this.cut.delete(die);
        events.closed(code, reason);
      }),
    });
    const die = (): void => {
      alive = false;
      connection.close();
    };
    this.cut.add(die);
    return {
      send: (data) => {
        if (alive) connection.send(data);
      },
      get bufferedAmount() {
        return alive ? connection.bufferedAmount : 0;
      },
      close: (code, reason) => {
        this.cut.delete(die);
        if (alive) connection.close(code, reason);
        alive = false;
      },
    };
  }

  /** Pull the plug, or put it in again. Connections that were cut stay dead. */
  setPlugged(plugged: boolean): void {
    this.plugged = plugged;
    if (plugged) return;
    for (const die of this.cut) die();
    this.cut.clear();
  }
}
