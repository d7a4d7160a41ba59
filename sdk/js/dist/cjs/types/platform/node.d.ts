/** node.ts - connections where Node has no WebSocket of its own (before version 22): those of npm `ws`, an optional peer that is loaded when the first connection is made. */
import type { Transport } from '../types.js';
type Load = () => Promise<unknown>;
export declare function wsTransport(load?: Load): Transport;
export {};
