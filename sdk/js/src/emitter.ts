/** emitter.ts - handlers of events. What one throws is reported as the platform reports uncaught errors, and stops nothing. */
export class Emitter<Events> {
  /** Lists are never changed, only replaced: whoever walks one walks what was there when it began. */
  private readonly handlers = new Map<keyof Events, readonly ((event: never) => void)[]>();

  on<E extends keyof Events>(event: E, handler: (event: Events[E]) => void): () => void {
    // Each registration counts, also of a function that is registered already.
    const own = (value: Events[E]): void => handler(value);
    const list = (): readonly ((event: never) => void)[] => this.handlers.get(event) ?? [];
    this.handlers.set(event, [...list(), own]);
    return () => void this.handlers.set(event, list().filter((each) => each !== own));
  }

  /** Whether anybody listens. */
  has(event: keyof Events): boolean {
    return (this.handlers.get(event)?.length ?? 0) > 0;
  }

  emit<E extends keyof Events>(event: E, value: Events[E]): void {
    for (const handler of this.handlers.get(event) ?? []) call(handler as (event: Events[E]) => void, value);
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
