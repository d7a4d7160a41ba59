/**
 * features.ts - what the whole library has, and the small file for pages (dist/holdfast.core.min.js) has not: there build.mjs puts `false` in place of each `has.…`, and what they guard is left out.
 * Used as `import * as has from './features.js'`.
 * What is larger, and stands alone, is a part (client/parts.ts) instead.
 */

/** history(), presence(), ping(), call(), and the events of who comes and goes. */
export const asks = true;
/** Keeps publishes beyond the page, and sends what another page left. */
export const keepsOutbox = true;
/** Tells in a sentence what happened and what to do, and looks whether its own invariants hold. */
export const explains = true;
/** Connections that are prepared on a doubt, by a driver that can dial without asking. */
export const prepares = true;
/** Can be given parts (client/parts.ts): the binary encoding, and the heartbeat that adapts, with its tolerance and its probes. */
export const takesParts = true;
/** Renews a token before it ends, where it tells when that is. */
export const renewsTokens = true;
/** Loops over a subscription. */
export const iterates = true;
/** HTTP statuses of refusals, and other ways of a connection than the system's: where the WebSocket is not a browser's. */
export const seesStatus = true;
/** A second, faster way to the same, for what comes most. */
export const shortcuts = true;
