/** client/whole.ts - all parts: what `new Holdfast()` has where nothing else is said. */
import { binaryCodec } from '../core/codec_binary.js';
import { jsonCodec } from '../core/codec_json.js';
import { adaptiveHeartbeat } from './adaptive.js';
import type { Parts } from './parts.js';

export const wholeParts: Parts = { codecs: [binaryCodec, jsonCodec], adaptive: adaptiveHeartbeat };
