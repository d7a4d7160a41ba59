/** client/use.ts - the parts that the small file can be given, each a module of its own. */
import type { CodecKind } from '../core/codec.js';
import { jsonCodec } from '../core/codec_json.js';
import type { Parts } from './parts.js';

/** A part, for the option `use`. */
export interface Part {
  /** An encoding, preferred to JSON. @hidden */
  readonly codec?: CodecKind;
  /** A heartbeat that finds its interval. @hidden */
  readonly adaptive?: NonNullable<Parts['adaptive']>;
}

/** JSON, and the classic heartbeat. */
export const coreParts: Parts = { codecs: [jsonCodec], adaptive: null };

export function withParts(use: readonly Part[] = []): Parts {
  return {
    codecs: [...use.flatMap(({ codec }) => codec ?? []), jsonCodec],
    adaptive: use.find(({ adaptive }) => adaptive !== undefined)?.adaptive ?? null,
  };
}
