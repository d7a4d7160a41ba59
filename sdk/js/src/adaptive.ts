/** adaptive.ts - `holdfast-client/adaptive`: the heartbeat that finds its interval, for the client of `holdfast-client/core`: `new Holdfast(url, { use: [adaptive] })`. */
import { adaptiveHeartbeat } from './client/adaptive.js';
import type { Part } from './client/use.js';

/** With it `tolerance`, `backgroundTolerance` and `storage.heartbeat` hold. */
export const adaptive: Part = { adaptive: adaptiveHeartbeat };
