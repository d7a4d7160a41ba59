/** index.ts - what the package gives. Importing it does nothing: no timer, no listener, no global. */
import { wholeParts } from './client/whole.js';
import { HoldfastClient } from './holdfast.js';
import { systemPlatform } from './platform/system.js';
import type { AnyChannels, ChannelMap, HoldfastOptions } from './types.js';

export * from './types.js';
export { causeNumbers, causeTexts, closeCodes, errorNumbers, gapNumbers, stateNumbers } from './codes.js';
export { HoldfastError, PublishRefused, PublishUncertain } from './errors.js';
export { systemPlatform } from './platform/system.js';
export { webSocketTransport } from './platform/websocket.js';

/**
 * A client of a Holdfast server; see `Client` for what it does, `HoldfastOptions` for what can be chosen.
 *
 *     const holdfast = new Holdfast('wss://example.org/ws', { getToken: () => fetch('/token').then((answer) => answer.text()) });
 *     holdfast.subscribe('room:lobby', (message) => console.log(message.payload));
 *     await holdfast.publish('room:lobby', { text: 'hello' });
 *
 * Several URLs are servers of the same sessions: an attempt that fails moves on to the next one.
 */
export class Holdfast<M extends ChannelMap = AnyChannels> extends HoldfastClient<M> {
  constructor(url: string | readonly string[], options: HoldfastOptions = {}) {
    super(url, options, options.platform ?? systemPlatform(), wholeParts);
  }
}
