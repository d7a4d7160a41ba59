/** index.ts - what the package gives. Importing it does nothing: no timer, no listener, no global. */
export * from './types.js';
export { causeNumbers, causeTexts, closeCodes, errorNumbers, gapNumbers, stateNumbers } from './codes.js';
export { HoldfastError, PublishRefused, PublishUncertain } from './errors.js';
