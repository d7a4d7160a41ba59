/**
 * protocols.mjs - what a server of each contestant's protocol says: its answers until a client follows the channel, and then prepared messages. Nothing here knows a socket; it runs in Node and in a page.
 * A protocol: `subprotocol`: what the server picks; `isBinary`: the kind of its WebSocket messages; `greeting()`: what it says first; `answer(data)`: what it says to a client's message;
 * `frame(payloads, offset)`: one WebSocket message with these payloads, the first of which has this offset. `many`: it can hold more than one.
 */
const encoder = new TextEncoder();
const decoder = new TextDecoder();

export const channel = 'bench';
const cid = 18;
const epoch = 'e1';
/** 2026-11-30: as long as a real one. */
const timestamp = 1_795_996_800_000;

/* --- bytes --- */

function varint(number) {
  const bytes = [];
  for (; number >= 0x80; number = Math.floor(number / 128)) bytes.push((number % 128) | 0x80);
  return [...bytes, number];
}

function join(...parts) {
  const arrays = parts.map((part) => (part instanceof Uint8Array ? part : Uint8Array.from(part)));
  const joined = new Uint8Array(arrays.reduce((length, each) => length + each.length, 0));
  let at = 0;
  for (const each of arrays) {
    joined.set(each, at);
    at += each.length;
  }
  return joined;
}

function sized(bytes) {
  return join(varint(bytes.length), bytes);
}

function text(value) {
  return sized(encoder.encode(value));
}

function textOf(data) {
  return typeof data === 'string' ? data : decoder.decode(data);
}

/* --- Holdfast --- */

const welcome = {
  type: 'welcome', session: 's1', ticket: 't1', resumed: false, lastSeq: null, ttl: 120_000, serverId: 'bench', serverTime: timestamp,
  heartbeat: { interval: 25_000, min: 10_000, max: 60_000 }, lossSpread: 0, maxMessage: 65_536, address: '127.0.0.1', channels: [],
};

const holdfastJson = {
  subprotocol: 'holdfast.v1.json',
  isBinary: false,
  many: false,
  greeting: () => [JSON.stringify(welcome)],
  answer(data) {
    const { type } = JSON.parse(textOf(data));
    return type === 'subscribe' ? [JSON.stringify({ type: 'subscribed', channel, epoch, offset: 0, recovered: true })] : [];
  },
  frame: ([payload], offset) => `{"type":"data","channel":"${channel}","offset":${offset},"id":"${epoch}-${offset}","payload":${payload},"timestamp":${timestamp}}`,
};

/** docs/protocol.md "Records": type, length, body. */
function record(type, body) {
  return join([type], sized(body));
}

const holdfastBinary = {
  subprotocol: 'holdfast.v1.bin',
  isBinary: true,
  many: true,
  greeting: () => {
    const { interval, min, max } = welcome.heartbeat;
    const times = [...varint(interval), ...varint(min), ...varint(max)];
    const body = join([0], text('s1'), text('t1'), varint(welcome.ttl), text('bench'), varint(timestamp), times, varint(0), varint(welcome.maxMessage), text(welcome.address), [0]);
    return [record(1, body)];
  },
  // The records of 2, subscribe, are answered by 3, subscribed, with flags of 1 (recovered). Lengths here are below 128.
  answer(data) {
    const bytes = new Uint8Array(data);
    const answers = [];
    for (let at = 0; at < bytes.length; at += 2 + bytes[at + 1]) if (bytes[at] === 2) answers.push(record(3, join([1], text(channel), varint(cid), text(epoch), varint(0))));
    return answers;
  },
  frame: (payloads, offset) =>
    join(...payloads.map((payload, i) => record(6, join([0], varint(cid), varint(offset + i), varint(timestamp), text(payload))))),
};

/* --- Centrifugo --- */

const centrifugeJson = {
  subprotocol: '',
  isBinary: false,
  many: true,
  greeting: () => [],
  answer: (data) =>
    textOf(data).split('\n').filter((line) => line !== '').flatMap((line) => {
      const { id, connect, subscribe } = JSON.parse(line);
      if (connect !== undefined) return [JSON.stringify({ id, connect: { client: 'c1', version: 'bench' } })];
      return subscribe === undefined ? [] : [JSON.stringify({ id, subscribe: { recoverable: true, positioned: true, epoch, offset: 0 } })];
    }),
  frame: (payloads, offset) => payloads.map((payload, i) => `{"push":{"channel":"${channel}","pub":{"data":${payload},"offset":${offset + i}}}}`).join('\n'),
};

/** A field of protocol buffers that holds bytes. */
function field(number, bytes) {
  return join(varint(number * 8 + 2), sized(bytes));
}

/** The commands of a client's message: the id, and the number of the field behind it. Lengths and ids are below 128 here. */
function commands(data) {
  const bytes = new Uint8Array(data);
  const found = [];
  for (let at = 0; at < bytes.length; at += 1 + bytes[at]) found.push({ id: bytes[at + 2], kind: bytes[at + 3] >> 3 });
  return found;
}

function replyOf({ id, kind }) {
  if (kind === 4) return [sized(join([8, id], field(5, field(1, encoder.encode('c1')))))];
  // SubscribeResult: recoverable 3, epoch 6, offset 9, positioned 10.
  return kind === 5 ? [sized(join([8, id], field(6, join([0x18, 1], field(6, encoder.encode(epoch)), [0x48, 0], [0x50, 1]))))] : [];
}

const centrifugeProtobuf = {
  subprotocol: 'centrifuge-protobuf',
  isBinary: true,
  many: true,
  greeting: () => [],
  answer: (data) => commands(data).flatMap(replyOf),
  frame: (payloads, offset) =>
    join(
      ...payloads.map((payload, i) => {
        const publication = join(field(4, encoder.encode(payload)), [0x30], varint(offset + i));
        return sized(field(4, join(field(2, encoder.encode(channel)), field(4, publication))));
      }),
    ),
};

/* --- Socket.IO --- */

const socketIo = {
  subprotocol: '',
  isBinary: false,
  many: false,
  greeting: () => ['0{"sid":"e1","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}'],
  answer: (data) => (textOf(data).startsWith('40') ? ['40{"sid":"s1"}'] : []),
  frame: ([payload]) => `42["message",${payload}]`,
};

export const protocols = {
  'holdfast-json': holdfastJson,
  'holdfast-binary': holdfastBinary,
  'centrifuge-json': centrifugeJson,
  'centrifuge-protobuf': centrifugeProtobuf,
  'socket.io': socketIo,
};

/* --- payloads --- */

const words = 'the quick brown fox jumps over the lazy dog and says good night, naïve café, 東京 🦊'.split(' ');

function sentence(n, length) {
  let made = '';
  for (let i = n; made.length < length; i++) made += `${words[i % words.length]} `;
  return made;
}

/** JSON texts; `n` counts the messages, so that a client can see that it got each once and in order. */
export const payloads = {
  /** A price, about 60 bytes. */
  tick: (n) => JSON.stringify({ n, symbol: 'ACME', bid: 101.25 + (n % 100) / 100, ask: 101.5 + (n % 100) / 100 }),
  /** A line of a chat, about 300 bytes. */
  chat: (n) => JSON.stringify({ n, user: `user-${n % 50}`, room: 'lobby', at: timestamp + n, text: sentence(n, 200) }),
  /** An object of an application's state, about 2,200 bytes. */
  state: (n) =>
    JSON.stringify({ n, title: sentence(n, 40), items: Array.from({ length: 20 }, (_, i) => ({ id: n + i, name: sentence(i, 24), price: i * 1.25, tags: ['a', 'b'], open: i % 2 === 0 })) }),
};

/** WebSocket messages with the payloads first … first + count - 1, `per` in each. */
export function framesOf(protocol, payload, first, count, per) {
  const frames = [];
  for (let n = first; n < first + count; n += per) {
    const texts = Array.from({ length: Math.min(per, first + count - n) }, (_, i) => payloads[payload](n + i));
    frames.push(protocols[protocol].frame(texts, n));
  }
  return frames;
}
