/** store.ts - what the session asks of whatever keeps its outbox (src/session/store.h). */
import type { StoredPublish, StoredState } from '../types.js';

export interface Stored {
  readonly state: StoredState;
  readonly publishes: readonly StoredPublish[];
}

export interface SessionStore {
  /** Before a publish is accepted. It throws where it knows that it cannot keep it; else its failure is that of the save behind it. */
  put(publish: StoredPublish): void;
  /** Before the application is told that a publish was refused, while older ones have no answer. Its failure is that of the save behind it. */
  refuse(publishId: number, code: string): void;
  /** Before publishes are written. `kept`: it is safe now; `later`: Session.saved() will tell, for one save after the other; `failed`. */
  save(state: StoredState): 'kept' | 'later' | 'failed';
}
