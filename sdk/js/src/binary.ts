/** binary.ts - `holdfast-client/binary`: the binary encoding, for the client of `holdfast-client/core`: `new Holdfast(url, { use: [binary] })`. */
import type { Part } from './client/use.js';
import { binaryCodec } from './core/codec_binary.js';

/** Preferred to JSON, unless `encoding` says otherwise. */
export const binary: Part = { codec: binaryCodec };
