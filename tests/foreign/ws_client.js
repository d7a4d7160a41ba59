// A client by npm's `ws`, told by JSON on standard input what to do; it prints one line of JSON, what it saw.
//   {url, ca?, deflate: options or false, what: "echo" or "session", messages: [text], channel?}
// echo: each message must come back as it was, as text and as binary. session: subscribe to the channel, publish the messages, gather them.
'use strict';
const fs = require('fs');
const WebSocket = require('ws');

const task = JSON.parse(fs.readFileSync(0, 'utf8'));
const ws = new WebSocket(task.url, task.what === 'session' ? ['holdfast.v1.json'] : [], {
  perMessageDeflate: task.deflate,
  ca: task.ca ? fs.readFileSync(task.ca) : undefined,
  maxPayload: 1 << 24,
});
const seen = {extensions: '', header: null, protocol: '', received: [], wrong: [], closed: null};
let next = 0;

const sends = task.what === 'echo'
  ? task.messages.flatMap((text) => [text, Buffer.from(text)])
  : [{type: 'subscribe', channel: task.channel}, ...task.messages.map((payload, n) => (
    {type: 'data', channel: task.channel, seq: n + 1, payload}))].map((m) => JSON.stringify(m));

function step() {
  if (next < sends.length)
    ws.send(sends[next++]);
  else if (task.what === 'echo')
    ws.close(1000);
}

function takeEcho(data, isBinary) {
  const want = sends[next - 1];
  if (isBinary !== Buffer.isBuffer(want) || !Buffer.from(want).equals(data))
    seen.wrong.push(next - 1);
  seen.received.push(data.length);
  step();
}

function takeMessage(data) {
  const message = JSON.parse(data.toString());
  if (message.type === 'data')
    seen.received.push(message.payload);
  if (message.type !== 'ack')
    step();
  if (seen.received.length === task.messages.length)
    ws.close(1000);
}

ws.on('upgrade', (response) => { seen.header = response.headers['sec-websocket-extensions'] || null; });
ws.on('open', () => {
  seen.extensions = ws.extensions;
  seen.protocol = ws.protocol;
  if (task.what === 'echo')
    step();
});
ws.on('message', task.what === 'echo' ? takeEcho : takeMessage);
ws.on('error', (error) => { seen.wrong.push(String(error)); });
ws.on('close', (code) => {
  seen.closed = code;
  console.log(JSON.stringify(seen));
});
