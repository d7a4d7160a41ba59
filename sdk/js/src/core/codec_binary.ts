/**
 * codec_binary.ts - the binary form of PROTOCOL.md, `holdfast.v1.bin`: docs/protocol.md "The binary form" is its specification, tests/vectors/binary its examples.
 * A WebSocket message is a run of records. Both directions walk tables that are written as the specification's are.
 */
import { BadMessage, WrongKind, type Codec, type CodecKind } from './codec.js';
import { isChannelName, labelBytesMax, utf8Length, type ClientMessage, type DataMessage, type ServerMessage } from './message.js';

/* --- tables --- */

/** "Numbers of types", from 1 on. */
const types =
  'welcome subscribe subscribed unsubscribe unsubscribed data gap ack nack sync_request ping pong heartbeat reconnect history presence join leave call reply error refresh bye';
/** "Numbers of codes", from 1 on. */
const codes =
  'bad_message bad_seq unauthorized forbidden not_found too_large rate_limited limit overloaded unavailable timeout internal evicted slow epoch draining rebalance max_age';

/**
 * "Records of the server" and "of the client": the fields of each type. A kind stands behind a colon: t text, l label (id and epoch), c channel, i cid, C code, T type, s since, h heartbeat, w window, p payload, j JSON,
 * m mode, b truth, and the lists O offsets, A acks, N channels, R refusals, M members, D messages; without one it is a number. `/n`: there where bit n of the flags is set; `!n`: the bit is the value; `|n`: a cid in place of the
 * channel.
 */
const serverFields: Readonly<Record<string, string>> = {
  welcome:
    'resumed!0 lastSeq/1 session:t ticket:t ttl serverId:t serverTime heartbeat:h lossSpread maxMessage address:t channels:N refusals:R/2',
  subscribed: 'recovered!0 channel:c cid:i epoch:l offset',
  unsubscribed: 'channel:c code:C/0 reason:t/1',
  data: 'cid:i offset timestamp id:l/0 from:t/1 raw!2 payload:p',
  gap: 'channel:c cid:i epoch:l from/0 to/1 code:C',
  ack: 'seq/0 id:l/1 offsets:O',
  nack: 'seq/0 id:l/1 code:C reason:t',
  ping: '',
  pong: 'id:l/0 serverTime serverId:t',
  heartbeat: 'interval',
  reconnect: 'after:w code:C url:t/0',
  history: 'id:l channel:c cid epoch:l offset messages:D',
  presence: 'id:l channel:c members:M',
  join: 'cid:i session:t user:t info:j/0',
  leave: 'cid:i session:t user:t info:j/0',
  reply: 'id:l code:C/0 reason:t/1 raw!2 payload:p/3',
  error: 'code:C reason:t re:T id:l/0 channel:c/1 expected/2',
};
const clientFields: Readonly<Record<string, string>> = {
  subscribe: 'channel:c since:s/0 last/1 mode:m/2 presence:b/3',
  unsubscribe: 'channel:c|0',
  data: 'seq/0 id:t/1 channel:c|2 timestamp/3 raw!4 payload:p',
  ack: 'channel:c|0 offset/1 ackId:t/2',
  sync_request: 'channel:c|0 offset',
  ping: 'id:t/0',
  pong: 'acks:A/0',
  heartbeat: 'interval',
  history: 'id:t channel:c|0 since:s/1 limit/2 reverse!3',
  presence: 'id:t channel:c|0',
  call: 'id:t method:t raw!0 payload:p',
  refresh: 'token:t',
  bye: '',
};
/** Elements of lists, which are like bodies. */
const channelFields = 'channel:c cid:i epoch:l offset';
const refusalFields = 'seq code:t reason:t';
const memberFields = 'session:t user:t info:j/0';

interface Field {
  readonly name: string;
  readonly kind: string;
  /** '', or one of / ! | */
  readonly rule: string;
  /** The bit's value. */
  readonly bit: number;
}

type Members = Record<string, unknown>;

const parsed = /* @__PURE__ */ new Map<string, readonly Field[]>();

function fieldsOf(row: string): readonly Field[] {
  let fields = parsed.get(row);
  if (fields === undefined) {
    fields = row.split(' ').map((text) => {
      const [, name = '', kind = 'n', rule = '', bit = '0'] = /^(\w*)(?::(\w))?(?:([/!|])(\d))?$/.exec(text) ?? [];
      return { name, kind, rule, bit: 2 ** Number(bit) };
    });
    parsed.set(row, fields);
  }
  return fields;
}

const typeNames = /* @__PURE__ */ types.split(' ');
const codeNames = /* @__PURE__ */ codes.split(' ');
const numberMax = 2 ** 53;

/* --- decoding --- */

/** What is wrong with a record, by its key in the vectors. */
class Fault extends Error {
  constructor(readonly key: string) {
    super(key);
  }
}

const decoder = /* @__PURE__ */ new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const encoder = /* @__PURE__ */ new TextEncoder();

class Reader {
  at = 0;

  constructor(
    readonly bytes: Uint8Array,
    readonly end: number = bytes.length,
  ) {}

  /** undefined: it is cut, not in its shortest form, or too large. */
  varint(): number | undefined {
    const { bytes, end } = this;
    let value = 0;
    let unit = 1;
    for (let i = this.at; i < end && i < this.at + 8; i++) {
      const byte = bytes[i] as number;
      value += (byte & 0x7f) * unit;
      if (byte < 0x80) {
        if ((byte === 0 && i > this.at) || value >= numberMax) return undefined;
        this.at = i + 1;
        return value;
      }
      unit *= 128;
    }
    return undefined;
  }

  number(): number {
    const value = this.varint();
    if (value !== undefined) return value;
    // One that the body's end cuts, or one that is none.
    for (let i = this.at; i < this.end; i++) if ((this.bytes[i] as number) < 0x80 || i === this.at + 7) throw new Fault('varint');
    throw new Fault('short');
  }

  /** Step over what a length and so many bytes are. The answer is where the bytes begin. */
  private sized(): number {
    const length = this.number();
    const from = this.at;
    if (length > this.end - from) throw new Fault('short');
    this.at += length;
    return from;
  }

  take(): Uint8Array {
    const from = this.sized();
    return this.bytes.subarray(from, this.at);
  }

  text(): string {
    const from = this.sized();
    return decodeText(this.bytes, from, this.at);
  }

  label(): string {
    const before = this.at;
    const text = this.text();
    if (this.at - before > labelBytesMax + 2) throw new Fault('label');
    return text;
  }

  json(key: string): unknown {
    const from = this.sized();
    try {
      return JSON.parse(decodeText(this.bytes, from, this.at));
    } catch {
      throw new Fault(key);
    }
  }

  /** A number that stands for a name; 0: the name follows. */
  named(names: readonly string[]): string {
    const number = this.number();
    return number === 0 ? this.text() : (names[number - 1] ?? 'unknown');
  }

  /** The elements of a list, each read by `one`; they must end where the list does. */
  list<T>(one: (reader: Reader) => T | undefined): T[] {
    const reader = new Reader(this.take());
    const all: T[] = [];
    try {
      while (reader.at < reader.end) {
        const element = one(reader);
        if (element !== undefined) all.push(element);
      }
    } catch (error) {
      if (error instanceof Fault) throw new Fault('list');
      throw error;
    }
    return all;
  }
}

/** What is short, and most is, is decoded faster without the platform's decoder. */
function decodeText(bytes: Uint8Array, from: number, to: number): string {
  if (to - from <= 24) {
    let text = '';
    let i = from;
    for (; i < to; i++) {
      const byte = bytes[i] as number;
      if (byte >= 0x80) break;
      text += String.fromCharCode(byte);
    }
    if (i === to) return text;
  }
  try {
    return decoder.decode(bytes.subarray(from, to));
  } catch {
    throw new Fault('utf8');
  }
}

function readField(reader: Reader, kind: string, raw: boolean): unknown {
  switch (kind) {
    case 't':
      return reader.text();
    case 'l':
      return reader.label();
    case 'c': {
      let name: string;
      try {
        name = reader.text();
      } catch (error) {
        throw error instanceof Fault && error.key === 'utf8' ? new Fault('channel') : error;
      }
      if (!isChannelName(name)) throw new Fault('channel');
      return name;
    }
    case 'i': {
      const cid = reader.number();
      if (cid === 0) throw new Fault('cid');
      return cid;
    }
    case 'C':
      return reader.named(codeNames);
    case 'T':
      return reader.named(typeNames);
    case 'h':
      return { interval: reader.number(), min: reader.number(), max: reader.number() };
    case 'w': {
      const after = [reader.number(), reader.number()] as const;
      if (after[1] < after[0]) throw new Fault('window');
      return after;
    }
    case 'p':
      return raw ? reader.take().slice() : reader.json('payload');
    case 'j':
      return reader.json('info');
    case 'O':
      return reader.list((list) => list.number() || null);
    case 'N':
      return reader.list((list) => readBody(new Reader(list.take()), channelFields));
    case 'R':
      return reader.list((list) => readBody(new Reader(list.take()), refusalFields));
    case 'M':
      return reader.list((list) => readBody(new Reader(list.take()), memberFields));
    case 'D':
      return reader.list((list) => {
        const record = readRecord(list);
        if (record !== undefined && (typeof record === 'string' || record['type'] !== 'data')) throw new Fault('list');
        return record;
      });
    default:
      return reader.number();
  }
}

function readBody(reader: Reader, row: string): Members {
  const flags = reader.at < reader.end ? reader.number() : 0;
  const members: Members = {};
  if (row === '') return members;
  for (const { name, kind, rule, bit } of fieldsOf(row)) {
    const isSet = Math.floor(flags / bit) % 2 === 1;
    if (rule === '!') members[name] = isSet;
    else if (rule !== '/' || isSet) members[name] = readField(reader, kind, members['raw'] === true);
  }
  return members;
}

/** The record that most are; as readBody() would, without its table. */
function readData(reader: Reader): Members {
  const flags = reader.at < reader.end ? reader.number() : 0;
  const cid = reader.number();
  if (cid === 0) throw new Fault('cid');
  const members: Members = { type: 'data', cid, offset: reader.number(), timestamp: reader.number() };
  if ((flags & 1) !== 0) members['id'] = reader.label();
  if ((flags & 2) !== 0) members['from'] = reader.text();
  const before = reader.at;
  members['payload'] = (flags & 4) !== 0 ? reader.take().slice() : reader.json('payload');
  members['bytes'] = reader.at - before - 1;
  return members;
}

/** Of what is there in one of two forms, one must be. */
function givesNeither(members: Members): boolean {
  const has = (name: string): boolean => members[name] !== undefined;
  if (members['type'] === 'ack') return !has('seq') && !has('id');
  return members['type'] === 'reply' && !has('payload') && !(has('code') && has('reason'));
}

/** One record of a server's; undefined: its type is not known; a text: it is malformed, by this key. Throws a Fault where the framing is broken. */
function readRecord(reader: Reader): Members | string | undefined {
  const { bytes } = reader;
  const number = bytes[reader.at++] as number;
  if (number >= 0x80) throw new Fault('reserved');
  const length = reader.varint();
  if (length === undefined) throw new Fault('length');
  if (length > reader.end - reader.at) throw new Fault('beyond');
  const body = new Reader(bytes, reader.at + length);
  body.at = reader.at;
  reader.at += length;
  const type = typeNames[number - 1];
  if (type === undefined) return undefined;
  const row = serverFields[type];
  if (row === undefined) return 'direction';
  try {
    const members = type === 'data' ? readData(body) : { type, ...readBody(body, row) };
    return givesNeither(members) ? 'neither' : members;
  } catch (error) {
    if (error instanceof Fault) return error.key;
    throw error;
  }
}

/** What a record says, before its channel's number is looked up; or what is wrong with it, and whether that spoils all behind it. */
export type DecodedRecord = { readonly members: Members } | { readonly fault: string; readonly framing: boolean };

/** The next one whose type is known; undefined: there is none. */
function nextRecord(reader: Reader): DecodedRecord | undefined {
  if (reader.end === 0 && reader.at++ === 0) return { fault: 'empty', framing: true };
  while (reader.at < reader.end) {
    try {
      const record = readRecord(reader);
      if (typeof record === 'string') return { fault: record, framing: false };
      if (record !== undefined) return { members: record };
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      reader.at = reader.end;
      return { fault: error.key, framing: true };
    }
  }
  return undefined;
}

export function* decodeRecords(bytes: Uint8Array): Generator<DecodedRecord> {
  const reader = new Reader(bytes);
  for (let record = nextRecord(reader); record !== undefined; record = nextRecord(reader)) yield record;
}

/* --- encoding --- */

class Writer {
  private bytes = new Uint8Array(256);
  private length = 0;

  byte(byte: number): void {
    this.room(1);
    this.bytes[this.length++] = byte;
  }

  number(value: number): void {
    while (value >= 0x80) {
      this.byte((value % 128) | 0x80);
      value = Math.floor(value / 128);
    }
    this.byte(value);
  }

  text(text: string): void {
    const bytes = utf8Length(text);
    this.number(bytes);
    this.room(bytes);
    this.length += encoder.encodeInto(text, this.bytes.subarray(this.length)).written;
  }

  all(bytes: Uint8Array): void {
    this.room(bytes.length);
    this.bytes.set(bytes, this.length);
    this.length += bytes.length;
  }

  sized(bytes: Uint8Array): void {
    this.number(bytes.length);
    this.all(bytes);
  }

  taken(): Uint8Array {
    return this.bytes.subarray(0, this.length);
  }

  private room(more: number): void {
    if (this.length + more <= this.bytes.length) return;
    const bytes = new Uint8Array(Math.max(2 * this.bytes.length, this.length + more));
    bytes.set(this.taken());
    this.bytes = bytes;
  }
}

function writeField(writer: Writer, kind: string, value: unknown, cidOf: (channel: string) => number | undefined): void {
  switch (kind) {
    case 't':
    case 'c':
      return writer.text(value as string);
    case 's': {
      const { epoch, offset } = value as { epoch: string; offset: number };
      writer.text(epoch);
      return writer.number(offset);
    }
    case 'm':
      return writer.number(value === 'latest' ? 1 : 0);
    case 'b':
      return writer.number(value === true ? 1 : 0);
    case 'p':
      return typeof value === 'string' ? writer.text(value) : writer.sized(value as Uint8Array);
    case 'A': {
      const list = new Writer();
      for (const [channel, offset] of value as readonly (readonly [string, number])[]) {
        const cid = cidOf(channel);
        if (cid === undefined) continue; // It has ended meanwhile.
        list.number(cid);
        list.number(offset);
      }
      return writer.sized(list.taken());
    }
    default:
      return writer.number(value as number);
  }
}

/** A message as one record. A channel that cidOf() knows goes by its number. */
export function encodeRecord(message: ClientMessage, cidOf: (channel: string) => number | undefined): Uint8Array {
  const members = message as unknown as Members;
  const body = new Writer();
  const fields = new Writer();
  const row = clientFields[message.type] ?? '';
  let flags = 0;
  for (const { name, kind, rule, bit } of row === '' ? [] : fieldsOf(row)) {
    const value = members[name];
    const cid = rule === '|' ? cidOf(value as string) : undefined;
    const isSet = rule === '|' ? cid !== undefined : rule === '!' ? value === true || (name === 'raw' && members['payload'] instanceof Uint8Array) : rule === '/' && value !== undefined;
    if (isSet) flags += bit;
    if (cid !== undefined) fields.number(cid);
    else if (rule !== '!' && (rule !== '/' || isSet)) writeField(fields, kind, value, cidOf);
  }
  const rest = fields.taken();
  if (flags !== 0 || rest.length > 0) {
    body.number(flags);
    body.all(rest);
  }
  const record = new Writer();
  record.byte(typeNames.indexOf(message.type) + 1);
  record.sized(body.taken());
  return record.taken();
}

/* --- a connection --- */

class BinaryCodec implements Codec {
  readonly kind = binaryCodec;
  /** Channels by the numbers that were told on this connection; and the epoch that makes a message's id. */
  private readonly told = new Map<number, { readonly channel: string; readonly epoch: string }>();
  /** Those that are subscribed: "use a cid while the channel is subscribed, and the name otherwise". */
  private readonly cids = new Map<string, number>();
  /** Those whose `unsubscribe` is the last that was said of them: for the server they are left before it has answered, whatever it still says of them. */
  private readonly left = new Set<string>();

  encode(message: ClientMessage): Uint8Array {
    const record = encodeRecord(message, (channel) => (this.left.has(channel) ? undefined : this.cids.get(channel)));
    if (message.type === 'unsubscribe') this.left.add(message.channel);
    else if (message.type === 'subscribe') this.left.delete(message.channel);
    return record;
  }

  *decode(data: string | Uint8Array): Generator<ServerMessage | BadMessage> {
    if (typeof data === 'string') {
      yield new WrongKind('a text message where binary was agreed on');
      return;
    }
    const reader = new Reader(data);
    for (let record = nextRecord(reader); record !== undefined; record = nextRecord(reader)) {
      if ('fault' in record) yield new BadMessage(`a record of the server is malformed: ${record.fault}`);
      else yield this.named(record.members);
    }
  }

  /** In terms of names, as in JSON. */
  private named(members: Members): ServerMessage | BadMessage {
    const message = members as unknown as ServerMessage;
    const { cid, channel, epoch } = members as { cid: number; channel: string; epoch: string };
    switch (message.type) {
      case 'welcome':
        members['lastSeq'] ??= null;
        for (const at of message.channels as readonly { channel: string; cid: number; epoch: string; offset: number }[])
          this.learn(at.cid, at.channel, at.epoch, true);
        break;
      case 'subscribed':
        this.learn(cid, channel, epoch, true);
        break;
      case 'gap':
        members['from'] ??= null;
        members['to'] ??= null;
        this.learn(cid, channel, epoch, true);
        break;
      case 'unsubscribed':
        this.cids.delete(channel);
        // Ours was read: should the backend subscribe to it again, that is news. With a code it is the server's own, and the answer to ours may be still to come.
        if (message.code === undefined) this.left.delete(channel);
        break;
      case 'history':
        for (const each of message.messages) complete(each, { channel, epoch });
        break;
      case 'data':
      case 'join':
      case 'leave': {
        const known = this.told.get(cid);
        if (known === undefined) return new BadMessage(`the server named a channel by a number that it has not told: ${cid}`);
        if (message.type === 'data') complete(message, known);
        else message.channel = known.channel;
        break;
      }
    }
    return message;
  }

  private learn(cid: number, channel: string, epoch: string, subscribed: boolean): void {
    this.told.set(cid, { channel, epoch });
    if (subscribed) this.cids.set(channel, cid);
  }
}

/** "`data` has an `id` only if its publisher gave one. Otherwise the id is `epoch-offset`" */
function complete(data: DataMessage, known: { channel: string; epoch: string }): void {
  data.channel = known.channel;
  data.id ??= `${known.epoch}-${data.offset}`;
}

export const binaryCodec: CodecKind = {
  protocol: 'holdfast.v1.bin',
  encoding: 'binary',
  create: () => new BinaryCodec(),
};
