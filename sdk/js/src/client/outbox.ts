/** client/outbox.ts - an application's store of its outbox, as the session has one. */
import type { SessionStore, Stored } from '../core/store.js';
import { HoldfastError } from '../errors.js';
import type { OutboxStore, StoredState } from '../types.js';
import type { Host } from './host.js';

/** Read it, then begin with what it has; `failed` where it cannot be read, or what it has cannot be. */
export function loadOutbox(
  host: Host,
  store: OutboxStore,
  begin: (stored: Stored, store: SessionStore) => void,
  failed: (error: HoldfastError) => void,
): void {
  const fail = (error: unknown): void =>
    failed(error instanceof HoldfastError ? error : new HoldfastError('outbox', `the outbox cannot be read: ${String(error)}`));
  const saved = (ok: boolean): void => host.driver?.run((now) => host.session?.saved(ok, now));
  const adapted: SessionStore = {
    put: store.put.bind(store),
    refuse: store.refuse.bind(store),
    save: (state: StoredState): 'later' => {
      void store.save(state).then(
        () => saved(true),
        () => saved(false),
      );
      return 'later';
    },
  };
  store.load().then((stored) => {
    try {
      begin(stored, adapted);
    } catch (error) {
      fail(error);
    }
  }, fail);
}
