/** page.ts - a page for tests: real time, and a wire that is given. It can be killed, as a browser does it: from then on nothing of it runs. */
import { afterEach } from 'vitest';
import type { Connection, ConnectionEvents, Platform, PlatformSignals, Transport } from '../src/types.js';

const pages = new Set<Page>();

export class Page {
  isAlive = true;
  /** Nothing of it runs, until it is woken: as killed, but that its locks stay. */
  isFrozen = false;
  readonly signals = new Set<PlatformSignals>();
  private readonly connections = new Set<Connection>();
  private readonly ends: (() => void)[] = [];

  constructor(
    readonly name: string,
    /** Its timers run so many times as fast. */
    private readonly speed = 1,
  ) {
    pages.add(this);
  }

  get runs(): boolean {
    return this.isAlive && !this.isFrozen;
  }

  /** Without a word: timers and events stop, what is sent goes nowhere, its connections break. */
  kill(): void {
    this.isAlive = false;
    for (const connection of this.connections) connection.close();
    for (const end of this.ends.splice(0)) end();
    pages.delete(this);
  }

  whenKilled(end: () => void): void {
    this.ends.push(end);
  }

  platform(transport: Transport): Platform {
    return {
      now: () => Math.floor(performance.now()),
      wallClock: () => Date.now(),
      timer: (delay, callback) => {
        let id: ReturnType<typeof setTimeout>;
        const fire = (): void => {
          if (this.runs) callback();
          else if (this.isAlive) id = setTimeout(fire, 5); // Frozen: it fires when the page is woken.
        };
        id = setTimeout(fire, Math.min(delay / this.speed, 0x7fffffff));
        return () => clearTimeout(id);
      },
      random: () => Math.random(),
      online: () => true,
      background: () => false,
      networkKey: () => '',
      watch: (signals) => {
        this.signals.add(signals);
        return () => void this.signals.delete(signals);
      },
      transport: () => this.mine(transport),
      warn: () => undefined,
    };
  }

  private mine(transport: Transport): Transport {
    return {
      open: (request, events) => {
        const alive = (call: () => void): void => void (this.runs && call());
        const own: ConnectionEvents = {
          opened: (protocol) => alive(() => events.opened(protocol)),
          message: (data) => alive(() => events.message(data)),
          refused: (status, retryAfter) => alive(() => events.refused(status, retryAfter)),
          closed: (code, reason) => alive(() => events.closed(code, reason)),
        };
        const connection = transport.open(request, own);
        this.connections.add(connection);
        return {
          send: (data) => alive(() => connection.send(data)),
          bufferedAmount: 0,
          close: (code, reason) => {
            this.connections.delete(connection);
            connection.close(code, reason);
          },
        };
      },
    };
  }
}

afterEach(() => {
  for (const page of [...pages]) page.kill();
});

/** Wait until it holds; the test's own time limit ends what never does. */
export async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 2));
}
