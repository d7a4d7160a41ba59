// ws_server.js PORT - npm `ws`: /echo sends back what comes; elsewhere what one client sends goes to all the others.
'use strict';
const { WebSocketServer, WebSocket } = require('ws');

const server = new WebSocketServer({
  host: '127.0.0.1', port: Number(process.argv[2]), backlog: 4096, perMessageDeflate: false, skipUTF8Validation: false,
});

server.on('connection', (socket, request) => {
  if (request.url === '/echo') {
    socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }));
    return;
  }
  socket.on('message', (data, isBinary) => {
    for (const other of server.clients) {
      if (other !== socket && other.readyState === WebSocket.OPEN) other.send(data, { binary: isBinary });
    }
  });
});
server.on('listening', () => console.log('ready'));
