/** client/options.ts - what an application gives, and whether it can be. */
import type { CodecKind } from '../core/codec.js';
import type { Raw } from '../core/message.js';
import { isHeaderToken } from '../core/message.js';
import { HoldfastError } from '../errors.js';
import type { HoldfastOptions } from '../types.js';

/** As much as a header may well have. */
const tokenBytesMax = 4096;
const urlsMax = 8;

export function invalid(text: string): HoldfastError {
  return new HoldfastError('invalid', text);
}

export function checkUrls(url: string | readonly string[]): readonly string[] {
  const urls = typeof url === 'string' ? [url] : url;
  if (urls.length === 0 || urls.length > urlsMax) throw invalid(`1 to ${urlsMax} URLs can be given, and these are ${urls.length}`);
  for (const each of urls)
    if (!/^wss?:\/\/[^/?#\s]+/i.test(each)) throw invalid(`"${each}" is no URL of a server: ws://HOST[:PORT]/PATH or wss://… is`);
  return urls;
}

type Bounds = { readonly [N in keyof HoldfastOptions as number extends HoldfastOptions[N] ? N : never]?: number | undefined };

/** The option of that name, rounded down; `otherwise` where it is not given. */
export function bound(options: Bounds, name: keyof Bounds & string, otherwise: number, min: number, max: number): number {
  return checkBound(name, options[name], otherwise, min, max);
}

export function checkBound(name: string, value: number | undefined, otherwise: number, min: number, max: number): number {
  if (value === undefined) return otherwise;
  if (!Number.isFinite(value) || value < min || value > max) throw invalid(`"${name}" is no number from ${min} to ${max}`);
  return Math.floor(value);
}

/** `name`: what the application calls it. */
export function checkToken(name: string, token: string): void {
  if (!isHeaderToken(token, tokenBytesMax))
    throw invalid(`${name} is none: letters, digits and !#$%&'*+-.^_\`|~ can stand in it, at most 4,096 of them`);
}

/** Of the encodings that there are, in the order of preference. */
export function codecsOf(encoding: HoldfastOptions['encoding'] = 'auto', all: readonly CodecKind[]): readonly CodecKind[] {
  switch (encoding) {
    case 'auto':
      return all;
    case 'binary':
    case 'json':
      return all.filter((codec) => codec.encoding === encoding);
    default:
      throw invalid('"encoding" is none of "auto", "binary" and "json"');
  }
}

/** The text that a payload is on the wire; bytes stay bytes. */
export function rawPayload(payload: unknown): Raw {
  if (payload instanceof Uint8Array) return new Uint8Array(payload); // Not slice(): that of a Buffer is a view of it.
  let text: string | undefined;
  try {
    text = JSON.stringify(payload);
  } catch (error) {
    throw invalid(`the payload cannot be written as JSON: ${error instanceof Error ? error.message : String(error)}`);
  }
  if (text === undefined) throw invalid('the payload cannot be written as JSON: undefined, functions and symbols have no form there');
  return text;
}
