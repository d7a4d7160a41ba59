/**
 * server.mjs CONTESTANT [PAGE] - a server of that contestant's protocol which replays prepared messages over loopback, and says its port. One client at a time.
 *   GET /prepare?payload=&per=&warmup=&messages=   makes the messages, framed
 *   GET /feed?first=&count=                        sends those that begin there to the client, as fast as its socket takes them
 *   GET /, /page.js                                the page that runs a client in a browser; PAGE is the script's path
 * Messages are framed beforehand and written to the socket in large pieces, so that the server takes as little of the machine as it can.
 */
import { readFileSync } from 'node:fs';
import http from 'node:http';
import { once } from 'node:events';
import { Sender, WebSocketServer } from 'ws';
import { framesOf, protocols } from './protocols.mjs';

const [contestant, page] = process.argv.slice(2);
const protocol = protocols[contestant];
const pieceBytes = 64 * 1024;
const prepared = new Map();
let client = null;

/** RFC 6455 frames, joined to pieces. */
function pieces(frames) {
  const framed = frames.map((frame) =>
    Buffer.concat(Sender.frame(Buffer.from(frame), { fin: true, opcode: protocol.isBinary ? 2 : 1, mask: false, readOnly: false, rsv1: false })),
  );
  const joined = [];
  let some = [];
  let bytes = 0;
  for (const frame of framed) {
    some.push(frame);
    bytes += frame.length;
    if (bytes >= pieceBytes) {
      joined.push(Buffer.concat(some));
      some = [];
      bytes = 0;
    }
  }
  if (some.length > 0) joined.push(Buffer.concat(some));
  return joined;
}

async function feed(first) {
  const socket = client;
  for (const piece of prepared.get(first)) if (!socket.write(piece)) await once(socket, 'drain');
}

const server = http.createServer((request, response) => {
  const { pathname, searchParams } = new URL(request.url, 'http://127.0.0.1');
  const number = (name) => Number(searchParams.get(name));
  response.setHeader('Access-Control-Allow-Origin', '*');
  if (pathname === '/') {
    response.setHeader('Content-Type', 'text/html; charset=utf-8');
    response.end('<!doctype html><title>bench</title><link rel="icon" href="data:,"><script type="module" src="/page.js"></script>');
  } else if (pathname === '/page.js') {
    response.setHeader('Content-Type', 'text/javascript; charset=utf-8');
    response.end(readFileSync(page));
  } else if (pathname === '/prepare') {
    const [payload, per, warmup, messages] = [searchParams.get('payload'), number('per'), number('warmup'), number('messages')];
    prepared.clear();
    prepared.set(1, pieces(framesOf(contestant, payload, 1, warmup, per)));
    prepared.set(warmup + 1, pieces(framesOf(contestant, payload, warmup + 1, messages, per)));
    response.end();
  } else if (pathname === '/feed') {
    void feed(number('first'));
    response.end();
  } else {
    response.writeHead(404).end();
  }
});

const sockets = new WebSocketServer({
  noServer: true,
  perMessageDeflate: false,
  handleProtocols: (offered) => (offered.has(protocol.subprotocol) ? protocol.subprotocol : false),
});
server.on('upgrade', (request, socket, head) => {
  client = socket;
  socket.setNoDelay(true);
  sockets.handleUpgrade(request, socket, head, (webSocket) => {
    const say = (frames) => frames.forEach((frame) => webSocket.send(frame));
    say(protocol.greeting());
    webSocket.on('message', (data, isBinary) => say(protocol.answer(isBinary ? data : data.toString())));
    webSocket.on('error', () => undefined);
  });
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
