/** client/host.ts - what the parts of a client share: its options, its platform, the driver once it is there, and how the application is told. */
import type { Session } from '../core/session.js';
import type { Driver } from '../driver.js';
import { Emitter } from '../emitter.js';
import type { HoldfastError } from '../errors.js';
import type { ClientEvents, HoldfastOptions, Platform } from '../types.js';
import * as has from '../features.js';

export class Host {
  readonly emitter = new Emitter<ClientEvents>();
  /** null: the outbox is being read, and what is called waits in `early`. */
  driver: Driver | null = null;
  /** The outbox could not be read, or the client was closed before it was. @only keepsOutbox */
  stillborn = false;
  /** @only keepsOutbox */
  private early: (() => void)[] = [];

  constructor(
    readonly options: HoldfastOptions,
    readonly platform: Platform,
  ) {}

  get session(): Session | undefined {
    return this.driver?.session;
  }

  /** Now, or when the outbox has been read. */
  later(call: () => void): void {
    if (has.keepsOutbox && this.driver === null && !this.stillborn) this.early.push(call);
    else call();
  }

  /** It has been read, or never will be. @only keepsOutbox */
  callEarly(): void {
    for (const call of this.early.splice(0)) call();
  }

  /** What belongs to no call. */
  problem(error: HoldfastError, channel = ''): void {
    if (!this.emitter.has('problem')) this.platform.warn(`holdfast: ${error.message}`);
    this.emitter.emit('problem', channel === '' ? { error } : { error, channel });
  }
}
