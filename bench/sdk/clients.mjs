/**
 * clients.mjs - the contestants, each as its documentation says that it is used: one client, one channel, one handler. The payload reaches the handler as an object: where a client gives bytes, the handler parses them.
 */
import { chooseWebSocket } from './websocket_switch.mjs';
import { Centrifuge } from 'centrifuge';
import { Centrifuge as CentrifugeProtobuf } from 'centrifuge/build/protobuf';
import { Holdfast, webSocketTransport } from 'holdfast-client';
import { io } from 'socket.io-client';
import { channel } from './protocols.mjs';

function holdfast(encoding) {
  return async (url, WebSocket, onPayload) => {
    const client = new Holdfast(url, { encoding, transport: webSocketTransport(WebSocket) });
      for (const event of ['gap', 'problem', 'retrying']) client.on(event, (what) => console.error(`${event}: ${JSON.stringify(what)}`));
    const subscription = client.subscribe(channel, (message) => onPayload(message.payload));
    await subscription.ready();
    return () => void client.close();
  };
}

function centrifuge(Class, payloadOf) {
  return async (url, websocket, onPayload) => {
    const client = new Class(url, { websocket });
    for (const event of ['error', 'disconnected']) client.on(event, (what) => console.error(`${event}: ${JSON.stringify(what)}`));
    const subscription = client.newSubscription(channel);
    subscription.on('publication', (context) => onPayload(payloadOf(context.data)));
    subscription.subscribe();
    client.connect();
    await subscription.ready();
    return () => client.removeAllListeners('disconnected').disconnect();
  };
}

const decoder = new TextDecoder();

async function socketIo(url, WebSocket, onPayload) {
  chooseWebSocket(WebSocket);
  const client = io(url.replace(/\/$/, ''), { transports: ['websocket'] });
  client.on('connect_error', (error) => console.error(`connect_error: ${error.message}`));
  client.on('message', onPayload);
  await new Promise((resolve) => client.on('connect', resolve));
  return () => client.disconnect();
}

export const clients = {
  'holdfast-json': holdfast('json'),
  'holdfast-binary': holdfast('binary'),
  'centrifuge-json': centrifuge(Centrifuge, (data) => data),
  'centrifuge-protobuf': centrifuge(CentrifugeProtobuf, (data) => JSON.parse(decoder.decode(data))),
  'socket.io': socketIo,
};
