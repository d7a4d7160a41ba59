import type { Platform, Transport } from '../types.js';
export declare function globalTransport(): Transport | undefined;
/** The platform that the program runs on; `other`: where connections come from if there is no global WebSocket. */
export declare function systemPlatform(other?: () => Transport): Platform;
