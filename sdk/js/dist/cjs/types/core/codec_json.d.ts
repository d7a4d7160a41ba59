/** codec_json.ts - the JSON form of PROTOCOL.md, which is the normative one: one object per text message. */
import { type CodecKind } from './codec.js';
export declare const jsonCodec: CodecKind;
