/**
 * system.ts - the platform as it is found: a page, a worker, Node, Deno, Bun. Nothing of it is taken for granted: what is there is used. No module of this package touches a global
 * before a client is made.
 */
import { HoldfastError } from '../errors.js';
import type { Platform, PlatformSignals, Transport } from '../types.js';
import { webSocketTransport } from './websocket.js';

/** What is used of the Network Information API, where there is one. */
interface NetworkInformation {
  readonly type?: string;
  addEventListener?(type: 'change', listener: () => void): void;
  removeEventListener?(type: 'change', listener: () => void): void;
}

interface Globals {
  readonly document?: Document;
  readonly navigator?: { readonly onLine?: boolean; readonly connection?: NetworkInformation };
  readonly WebSocket?: unknown;
  addEventListener?(type: string, listener: (event: Event) => void): void;
  removeEventListener?(type: string, listener: (event: Event) => void): void;
}

const globals = (): Globals => globalThis as Globals;

/** More than that between the two clocks is no inaccuracy: the machine slept, or somebody set the wall clock, which does no harm to take for the same. */
const sleptMs = 1000;

/**
 * A clock that never goes back and goes on while the machine sleeps. performance.now() stands still then on most systems, and the wall clock can be set: so the time is that of the first,
 * and what the second has more.
 */
function makeClock(): () => number {
  let lastSteady = performance.now();
  let lastWall = Date.now();
  let now = 0;
  return () => {
    const steady = performance.now();
    const wall = Date.now();
    const passed = steady - lastSteady;
    now += wall - lastWall - passed > sleptMs ? wall - lastWall : Math.max(0, passed);
    lastSteady = steady;
    lastWall = wall;
    return Math.floor(now);
  };
}

function isHidden(): boolean {
  return globals().document?.visibilityState === 'hidden';
}

function isOnline(): boolean {
  return globals().navigator?.onLine !== false;
}

function networkKind(): string {
  return globals().navigator?.connection?.type ?? '';
}

/** Listen to what the page, or worker, tells. The answer ends it. */
function watch(signals: PlatformSignals): () => void {
  const { document, navigator, addEventListener, removeEventListener } = globals();
  const ends: (() => void)[] = [];
  let kind = networkKind();

  const listen = (type: string, listener: (event: Event) => void): void => {
    addEventListener?.call(globalThis, type, listener);
    ends.push(() => removeEventListener?.call(globalThis, type, listener));
  };
  const listenDocument = (type: string, listener: () => void): void => {
    document?.addEventListener(type, listener);
    ends.push(() => document?.removeEventListener(type, listener));
  };
  const networkChanged = (): void => {
    const moved = networkKind() !== kind;
    kind = networkKind();
    signals.network(isOnline(), moved);
  };

  if (addEventListener !== undefined) {
    listen('online', networkChanged);
    listen('offline', networkChanged);
  }
  if (document !== undefined) {
    listenDocument('visibilitychange', () => signals.background(isHidden()));
    listenDocument('resume', () => signals.wokeUp());
    listen('pagehide', () => signals.leaving());
    // Behind it nothing runs any more: whoever holds a lock, or a connection, lets go now.
    listenDocument('freeze', () => signals.leaving());
    listen('pageshow', (event) => {
      if ((event as PageTransitionEvent).persisted) signals.wokeUp();
    });
  }
  // It also tells that its guess of the speed has changed, which is nothing.
  const connectionChanged = (): void => {
    if (networkKind() !== kind) networkChanged();
  };
  navigator?.connection?.addEventListener?.('change', connectionChanged);
  ends.push(() => navigator?.connection?.removeEventListener?.('change', connectionChanged));
  return () => {
    for (const end of ends.splice(0)) end();
  };
}

export function globalTransport(): Transport | undefined {
  const { WebSocket } = globals();
  return WebSocket === undefined ? undefined : webSocketTransport(WebSocket);
}

/** The platform that the program runs on; `preferred`: where connections come from, if it gives any, before the global WebSocket. */
export function systemPlatform(preferred?: () => Transport | undefined): Platform {
  return {
    now: makeClock(),
    wallClock: () => Date.now(),
    timer(delay, callback) {
      // setTimeout() takes no more than 2^31 - 1; who is called early asks again.
      const id = setTimeout(callback, Math.min(Math.max(0, Math.ceil(delay)), 0x7fffffff));
      return () => clearTimeout(id);
    },
    random: () => Math.random(),
    online: isOnline,
    background: isHidden,
    /** @only takesParts */
    networkKey: networkKind,
    watch,
    transport() {
      const transport = preferred?.() ?? globalTransport();
      if (transport === undefined)
        throw new HoldfastError('unsupported', 'there is no WebSocket here: give the option `transport: webSocketTransport(…)` one, npm `ws` for example');
      return transport;
    },
    warn: (text) => console.warn(text),
  };
}
