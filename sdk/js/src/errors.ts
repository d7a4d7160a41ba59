/** errors.ts - what is thrown, and what promises are rejected with: a code to decide by, a text that says what to do. */
import { errorNumbers, type ErrorCode } from './codes.js';
import * as has from './features.js';

/** What this library throws, and what its promises are rejected with. */
export class HoldfastError extends Error {
  /** Always this text: it tells the class where `instanceof` cannot. */
  override readonly name: string = 'HoldfastError';
  /** To decide by. */
  readonly code: ErrorCode;
  /** The code's number, for logs. */
  readonly number: number;
  /** The code as the server wrote it, where the server said so. */
  readonly serverCode: string | undefined;

  constructor(code: ErrorCode, message: string, serverCode?: string) {
    super(has.explains || serverCode !== undefined ? message : `${code}:${message} (docs/sdk.md)`);
    this.code = code;
    this.number = errorNumbers[code];
    this.serverCode = serverCode;
  }
}

/** A publish was refused: it was not applied, and will not be. `code` says why. */
export class PublishRefused extends HoldfastError {
  /** Always this text: it tells the class where `instanceof` cannot. */
  override readonly name = 'PublishRefused';
  /** The name of the channel that was published to. */
  readonly channel: string;

  constructor(channel: string, code: ErrorCode, message: string, serverCode?: string) {
    super(code, message, serverCode);
    this.channel = channel;
  }
}

/**
 * Nobody knows whether a publish was applied: it was sent, and the server has lost the session before it answered. It is not sent again. Where it has an `id` and
 * the channel keeps ids, publishing it once more with the same `id` is safe.
 */
export class PublishUncertain extends HoldfastError {
  /** Always this text: it tells the class where `instanceof` cannot. */
  override readonly name = 'PublishUncertain';
  /** The name of the channel that was published to. */
  readonly channel: string;
  /** The message's own id, if `publish()` was given one. */
  readonly id: string | undefined;
  /** As it was published. */
  readonly payload: unknown;

  constructor(channel: string, id: string | undefined, payload: unknown) {
    super(
      'uncertain',
      `the server lost the session before it answered a publish to "${channel}": it may have been applied. ` +
        'Publish it again only if applying it twice does no harm, or with an id where the channel keeps ids',
    );
    this.channel = channel;
    this.id = id;
    this.payload = payload;
  }
}

/** An error from a code as the server writes it. */
export function errorCode(serverCode: string): ErrorCode {
  return Object.hasOwn(errorNumbers, serverCode) && errorNumbers[serverCode as ErrorCode] < 99
    ? (serverCode as ErrorCode)
    : 'unknown';
}

export function closedError(): HoldfastError {
  return new HoldfastError('closed', 'this client was closed, or its session has ended: make a new one');
}

/** Asked of a client that was made of fewer parts. */
export function notHere(what: string): HoldfastError {
  return new HoldfastError('unsupported', has.explains ? `${what} is not in this file of the library: docs/sdk.md "What each file has"` : what);
}
