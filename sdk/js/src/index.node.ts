/** index.node.ts - the same for Node: with the WebSocket of npm `ws` where that is installed, else with Node's own. */
import { wholeParts } from './client/whole.js';
import { HoldfastClient } from './holdfast.js';
import { nodeTransport } from './platform/node.js';
import { systemPlatform as platformOf } from './platform/system.js';
import type { AnyChannels, ChannelMap, HoldfastOptions, Platform } from './types.js';

export * from './types.js';
export { causeNumbers, causeTexts, closeCodes, errorNumbers, gapNumbers, stateNumbers } from './codes.js';
export { HoldfastError, PublishRefused, PublishUncertain } from './errors.js';
export { webSocketTransport } from './platform/websocket.js';

export function systemPlatform(): Platform {
  return platformOf(nodeTransport);
}

export class Holdfast<M extends ChannelMap = AnyChannels> extends HoldfastClient<M> {
  constructor(url: string | readonly string[], options: HoldfastOptions = {}) {
    super(url, options, options.platform ?? systemPlatform(), wholeParts);
  }
}
