/**
 * websocket_switch.mjs - imported before socket.io-client, which takes the global WebSocket when it is loaded: what it takes then makes sockets of the class that is chosen later. So every contestant uses the
 * same class, in Node as well, where socket.io-client would bring its own.
 */
/** The platform's own; undefined where it has none. */
export const platformWebSocket = globalThis.WebSocket;

let chosen = platformWebSocket;

globalThis.WebSocket = function WebSocketSwitch(...args) {
  return new chosen(...args);
};

export function chooseWebSocket(Class) {
  chosen = Class;
}
