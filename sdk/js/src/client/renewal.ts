/** client/renewal.ts - brings a client's tokens to its session: those that it is given, and those that it asks for. */
import { isConnected } from '../core/state.js';
import { HoldfastError } from '../errors.js';
import { Tokens } from '../tokens.js';
import * as has from '../features.js';
import type { Host } from './host.js';
import { checkToken, invalid } from './options.js';

/** A source that takes longer is asked anew when a token is needed. */
const answerMs = 30_000;
const nothing = (): void => undefined;

export class Renewal {
  private readonly tokens: Tokens;
  /** @only renewsTokens */
  private cancel = nothing;
  /** @only renewsTokens */
  private cancelWait = nothing;

  constructor(private readonly host: Host) {
    const { options, platform } = host;
    if (options.token !== undefined) checkToken('"token"', options.token);
    this.tokens = new Tokens(options.token, options.getToken, platform.wallClock());
  }

  /** The application shows this one from now on. */
  set(token: string): void {
    checkToken('the token', token);
    this.taken(token);
    this.host.later(() => this.give(token));
    if (has.renewsTokens) this.plan();
  }

  /** Whether one must be had before the next attempt; it has been asked for then. */
  missing(): boolean {
    const missing = this.tokens.missing(this.host.platform.wallClock());
    if (missing) this.ask(false);
    return missing;
  }

  /** The server does not take it any more. */
  expired(): void {
    this.tokens.expired();
  }

  /** @only renewsTokens */
  plan(): void {
    const { platform, session } = this.host;
    const at = this.tokens.renewAt;
    this.cancel();
    this.cancel = nothing;
    if (at === Infinity || session?.state === 'ended') return;
    this.cancel = platform.timer(Math.max(1000, at - platform.wallClock()), () => {
      if (this.isConnected) this.ask(true);
    });
  }

  end(): void {
    if (!has.renewsTokens) return;
    this.cancel();
    this.cancelWait();
  }

  private get isConnected(): boolean {
    const { session } = this.host;
    return session !== undefined && isConnected(session.state);
  }

  private taken(token: string): void {
    this.tokens.taken(token, this.host.platform.wallClock(), this.isConnected);
  }

  private give(token: string): boolean | undefined {
    const { driver } = this.host;
    return driver?.soon((now) => driver.session.setToken(token, now));
  }

  private ask(renewal: boolean): void {
    const { host } = this;
    // The attempt that waits for it ends at its deadline, and the next one asks again; a renewal is not repeated: the next attempt will ask.
    const failed = (why: string): void => host.problem(new HoldfastError('unauthorized', `getToken() failed: ${why}`));
    let over = nothing;
    const begun = this.tokens.ask(
      renewal,
      (token) => {
        if (has.renewsTokens) over();
        this.taken(token);
        const good = host.driver?.run((now) => host.session?.setToken(token, now));
        if (good === false) {
          this.tokens.expired();
          host.problem(invalid('getToken() gave what is no token: see the option "token"'));
        }
        if (has.renewsTokens) this.plan();
      },
      (error) => {
        if (has.renewsTokens) over();
        failed(error instanceof Error ? error.message : String(error));
      },
    );
    if (!has.renewsTokens || !begun) return;
    this.cancelWait = over = host.platform.timer(answerMs, () => {
      this.tokens.giveUp();
      failed(`it has given none for ${answerMs / 1000} s`);
    });
  }
}
