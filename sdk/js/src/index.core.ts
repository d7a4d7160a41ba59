/**
 * index.core.ts - the small file for pages, dist/holdfast.core.min.js: connect, subscribe, publish, resume, each message once; in JSON, with the classic heartbeat. It is made with the
 * features of features.ts switched off; docs/sdk.md says what that leaves out. As a module, `holdfast-client/core`, it can be given parts: `use`.
 */
import { coreParts, withParts, type Part } from './client/use.js';
import * as has from './features.js';
import { HoldfastClient } from './holdfast.js';
import { systemPlatform } from './platform/system.js';
import type { AnyChannels, ChannelMap, HoldfastOptions } from './types.js';

export { HoldfastError, PublishRefused, PublishUncertain } from './errors.js';
export type { Part } from './client/use.js';
export * from './types.js';

/** What can be chosen for the client of the small file. */
export interface CoreOptions extends HoldfastOptions {
  /** What it has beside its core: `binary`, `adaptive`. */
  use?: readonly Part[];
}

/** As `Holdfast`, with less in it. */
export class Holdfast<M extends ChannelMap = AnyChannels> extends HoldfastClient<M> {
  constructor(url: string | readonly string[], options: CoreOptions = {}) {
    super(url, options, options.platform ?? systemPlatform(), has.takesParts ? withParts(options.use) : coreParts);
  }
}
