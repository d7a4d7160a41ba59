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

// src/platform/node.ts
var LoadingConnection = class {
  inner = null;
  over = false;
  constructor(transport, request, events) {
    transport.then(
      (loaded) => {
        if (!this.over) this.inner = loaded.open(request, events);
      },
      (error) => {
        if (!this.over) events.closed(1006, `Node before version 22 has no WebSocket: npm install ws (${String(error)})`);
      }
    );
  }
  get bufferedAmount() {
    return this.inner?.bufferedAmount ?? 0;
  }
  send(data) {
    this.inner?.send(data);
  }
  close(code, reason) {
    this.over = true;
    this.inner?.close(code, reason);
  }
};
function loadWs() {
  return import("ws").then((module) => module.default);
}
function wsTransport(load = loadWs) {
  let loading = null;
  return {
    open(request, events) {
      loading ??= load().then(webSocketTransport);
      loading.catch(() => loading = null);
      return new LoadingConnection(loading, request, events);
    }
  };
}

// src/index.node.ts
function systemPlatform2() {
  return systemPlatform(wsTransport);
}
var Holdfast = class extends HoldfastClient {
  constructor(url, options = {}) {
    super(url, options, options.platform ?? systemPlatform2());
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
  systemPlatform2 as systemPlatform,
  webSocketTransport
};
//# sourceMappingURL=index.node.js.map
