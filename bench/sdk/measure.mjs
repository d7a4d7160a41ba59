/**
 * measure.mjs - one measurement: one client follows the channel and takes so many messages, in Node or in a page. Two ways to feed it:
 *   parse     a class in place of WebSocket hands it prepared messages, without any network: what remains is the client's own work
 *   loopback  the WebSocket of the platform, from server.mjs: what a program would see
 * Every message is checked: each once, in order. A warm-up goes before what is measured.
 */
import { clients } from './clients.mjs';
import { framesOf, protocols } from './protocols.mjs';

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** Engines keep a text that was joined as its parts until somebody reads it. Those of a WebSocket are in one piece: else the client that reads it first would be charged with the joining. */
function inOnePiece(text) {
  return decoder.decode(encoder.encode(text));
}

/** Messages that are given to a client before the event loop has a turn: about what one read from a socket brings. */
const perTurn = 64;

/** As much of a WebSocket as the clients use. */
function replaySocket(protocol, hold) {
  return class ReplaySocket {
    static CONNECTING = 0;
    static OPEN = 1;
    static CLOSING = 2;
    static CLOSED = 3;
    readyState = 0;
    bufferedAmount = 0;
    binaryType = 'blob';
    protocol = protocol.subprotocol;
    onopen = null;
    onmessage = null;
    onclose = null;
    onerror = null;

    constructor() {
      hold.socket = this;
      setTimeout(() => {
        this.readyState = 1;
        this.onopen?.({});
        this.say(protocol.greeting());
      });
    }

    send(data) {
      // Copied: the sender may use its bytes again.
      const taken = typeof data === 'string' ? data : new Uint8Array(data).slice();
      setTimeout(() => this.say(protocol.answer(taken)));
    }

    close() {
      this.readyState = 3;
    }

    say(frames) {
      for (const frame of frames) this.onmessage({ data: typeof frame === 'string' ? frame : frame.slice().buffer });
    }
  };
}

/** A turn of the event loop, the same in Node and in a page. */
const turns = new MessageChannel();
function turn() {
  return new Promise((resolve) => {
    turns.port1.onmessage = resolve;
    turns.port2.postMessage(0);
  });
}

function now() {
  return performance.now();
}

/** In Node: the processor time of this process, in ms; in a page nobody can say. */
function processorTime() {
  if (typeof process === 'undefined') return NaN;
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

/** Counts what comes, and checks it. */
function counter() {
  const state = { expected: 1, done: null, until: 0 };
  return {
    take({ n }) {
      if (n !== state.expected) throw new Error(`message ${n} came in place of ${state.expected}`);
      state.expected++;
      if (n === state.until) state.done();
    },
    upTo: (n) => (state.expected > n ? Promise.resolve() : new Promise((done) => Object.assign(state, { until: n, done }))),
  };
}

async function timed(work) {
  const begin = now();
  const beginProcessor = processorTime();
  await work();
  return { ms: now() - begin, processorMs: processorTime() - beginProcessor };
}

async function parse({ contestant, payload, per, warmup, messages }) {
  const protocol = protocols[contestant];
  const hold = {};
  const got = counter();
  const close = await clients[contestant]('ws://127.0.0.1:1/', replaySocket(protocol, hold), got.take);
  const feed = async (first, count) => {
    // A page gets each message's bytes in a buffer of its own, and each text in one piece; making that is no part of what is measured.
    const frames = framesOf(contestant, payload, first, count, per).map((frame) => (typeof frame === 'string' ? inOnePiece(frame) : frame.buffer));
    return timed(async () => {
      const all = got.upTo(first + count - 1);
      for (let i = 0; i < frames.length; i++) {
        hold.socket.onmessage({ data: frames[i] });
        if (i % perTurn === perTurn - 1) await turn();
      }
      await all;
    });
  };
  await feed(1, warmup);
  const result = await feed(warmup + 1, messages);
  close();
  return result;
}

async function loopback({ contestant, payload, per, warmup, messages, port }, WebSocket) {
  const got = counter();
  const url = `ws://127.0.0.1:${port}/`;
  const close = await clients[contestant](url, WebSocket, got.take);
  const ask = (first, count) =>
    timed(async () => {
      const all = got.upTo(first + count - 1);
      await fetch(`http://127.0.0.1:${port}/feed?first=${first}&count=${count}`);
      await all;
    });
  // The server makes its messages before it answers, so that only their way is measured.
  await fetch(`http://127.0.0.1:${port}/prepare?payload=${payload}&per=${per}&warmup=${warmup}&messages=${messages}`);
  await ask(1, warmup);
  const result = await ask(warmup + 1, messages);
  close();
  return result;
}

export function measure(what, WebSocket) {
  return what.way === 'parse' ? parse(what) : loopback(what, WebSocket);
}
