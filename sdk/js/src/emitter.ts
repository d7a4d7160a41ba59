/** emitter.ts - handlers of events. What one throws is reported as the platform reports uncaught errors, and stops nothing. */
import * as has from './features.js';

export class Emitter<Events> {
  private readonly handlers = new Map<keyof Events, Set<(event: never) => void>>();

  on<E extends keyof Events>(event: E, handler: (event: Events[E]) => void): () => void {
    const set = this.handlers.get(event) ?? new Set();
    // Each registration counts, also of a function that is registered already.
    const own = (value: Events[E]): void => handler(value);
    this.handlers.set(event, set.add(own));
    return () => void set.delete(own);
  }

  /** Whether anybody listens. */
  has(event: keyof Events): boolean {
    return (this.handlers.get(event)?.size ?? 0) > 0;
  }

  emit<E extends keyof Events>(event: E, value: Events[E]): void {
    const set = this.handlers.get(event);
    if (set === undefined || (has.shortcuts && set.size === 0)) return; // The most, and for each message.
    for (const handler of [...set]) call(handler as (event: Events[E]) => void, value);
  }
}

/** Call what the application gave. */
export function call<T>(handler: (value: T) => void, value: T): void {
  try {
    handler(value);
  } catch (error) {
    queueMicrotask(() => {
      throw error;
    });
  }
}
