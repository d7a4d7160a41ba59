/** emitter.ts - handlers of events. What one throws is reported as the platform reports uncaught errors, and stops nothing. */
export declare class Emitter<Events> {
    private readonly handlers;
    on<E extends keyof Events>(event: E, handler: (event: Events[E]) => void): () => void;
    /** Whether anybody listens. */
    has(event: keyof Events): boolean;
    emit<E extends keyof Events>(event: E, value: Events[E]): void;
}
/** Call what the application gave. */
export declare function call<T>(handler: (value: T) => void, value: T): void;
