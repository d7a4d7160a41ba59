// socket_io_server.js PORT - socket.io over WebSocket only: rooms, and a room called echo that answers the sender.
'use strict';
const { createServer } = require('http');
const { Server } = require('socket.io');

const http = createServer();
const io = new Server(http, { transports: ['websocket'], perMessageDeflate: false, serveClient: false });

io.on('connection', (socket) => {
  socket.on('join', (room) => {
    socket.join(room);
    socket.emit('joined');
  });
  socket.on('publish', (room, payload) => {
    if (room === 'echo') socket.emit('m', payload);
    else io.to(room).emit('m', payload);
  });
});
http.listen({ host: '127.0.0.1', port: Number(process.argv[2]), backlog: 4096 }, () => console.log('ready'));
