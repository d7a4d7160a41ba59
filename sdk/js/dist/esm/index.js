import {
  HoldfastClient,
  HoldfastError,
  PublishRefused,
  PublishUncertain,
  causeNumbers,
  causeTexts,
  closeCodes,
  errorNumbers,
  gapNumbers,
  stateNumbers,
  systemPlatform,
  webSocketTransport
} from "./shared-Z2LNZCYJ.js";

// src/index.ts
var Holdfast = class extends HoldfastClient {
  constructor(url, options = {}) {
    super(url, options, options.platform ?? systemPlatform());
  }
};
export {
  Holdfast,
  HoldfastError,
  PublishRefused,
  PublishUncertain,
  causeNumbers,
  causeTexts,
  closeCodes,
  errorNumbers,
  gapNumbers,
  stateNumbers,
  systemPlatform,
  webSocketTransport
};
//# sourceMappingURL=index.js.map
