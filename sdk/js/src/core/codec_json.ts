/** codec_json.ts - the JSON form of PROTOCOL.md, which is the normative one: one object per text message. */
import * as has from '../features.js';
import { fromBase64, toBase64 } from './base64.js';
import { BadMessage, WrongKind, type Codec, type CodecKind } from './codec.js';
import { isNumber, type ClientMessage, type DataMessage, type Raw, type ServerMessage, type ServerType } from './message.js';

/* --- encoding --- */

/**
 * PROTOCOL.md's members in PROTOCOL.md's order; a payload is JSON text already, and is put in as it is.
 */
function encode(message: ClientMessage): string {
  switch (message.type) {
    case 'data': {
      const { channel, payload, seq, id } = message;
      const rest = id === undefined ? '' : `,"id":${JSON.stringify(id)}`;
      return `{"type":"data","channel":${JSON.stringify(channel)},${payloadMember(payload)},"seq":${seq}${rest}}`;
    }
    case 'call': {
      if (!has.asks) return '';
      const { id, method, payload } = message;
      return `{"type":"call","id":${JSON.stringify(id)},"method":${JSON.stringify(method)},${payloadMember(payload)}}`;
    }
    case 'pong':
      return JSON.stringify(
        message.acks === undefined ? { type: 'pong' } : { type: 'pong', acks: Object.fromEntries(message.acks) },
      );
    default:
      return JSON.stringify(message);
  }
}

/** "`payloadBase64` (RFC 4648 section 4, with padding) publishes bytes" */
function payloadMember(payload: Raw): string {
  if (typeof payload === 'string') return `"payload":${payload}`;
  return `"payloadBase64":"${toBase64(payload)}"`;
}

/* --- decoding --- */

type Members = Record<string, unknown>;

/**
 * The members that are checked, by type: name, and s: text, n: number, b: truth, a: array, o: object. With ? it may be left out, or be null. What a type has beyond
 * that is not looked at: "Unknown fields are ignored."
 */
const shapes: Readonly<Record<ServerType, string>> = {
  welcome:
    'session:s ticket:s resumed:b lastSeq:n? ttl:n serverId:s serverTime:n heartbeat:o lossSpread:n maxMessage:n address:s channels:a refusals:a?',
  subscribed: 'channel:s epoch:s offset:n recovered:b',
  unsubscribed: 'channel:s code:s? reason:s?',
  data: 'channel:s offset:n id:s timestamp:n from:s? payloadBase64:s?',
  gap: 'channel:s epoch:s from:n? to:n? code:s',
  ack: 'seq:n? offsets:a? id:s?',
  nack: 'seq:n? id:s? code:s reason:s',
  ping: '',
  pong: 'id:s?',
  heartbeat: 'interval:n',
  reconnect: 'after:a code:s url:s?',
  /** @only asks */
  history: 'id:s channel:s epoch:s offset:n messages:a',
  /** @only asks */
  presence: 'id:s channel:s members:a',
  /** @only asks */
  join: 'channel:s session:s user:s',
  /** @only asks */
  leave: 'channel:s session:s user:s',
  /** @only asks */
  reply: 'id:s code:s? reason:s? payloadBase64:s?',
  error: 'code:s reason:s re:s? id:s? channel:s? expected:n?',
};

const fits: Readonly<Record<string, (value: unknown) => boolean>> = {
  s: (value) => typeof value === 'string',
  n: isNumber,
  b: (value) => typeof value === 'boolean',
  a: Array.isArray,
  o: isMembers,
};

function isMembers(value: unknown): value is Members {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

interface Rule {
  readonly name: string;
  readonly fits: (value: unknown) => boolean;
  readonly optional: boolean;
  /** null says something, and stays. */
  readonly nullable: boolean;
}

/** The shapes as they are walked, made when they are first needed. */
const ruled = /* @__PURE__ */ new Map<string, readonly Rule[]>();

function rulesOf(shape: string): readonly Rule[] {
  let rules = ruled.get(shape);
  if (rules === undefined) {
    rules = (shape.match(/\S+/g) ?? []).map((text) => {
      const [name = '', kind = ''] = text.split(':');
      const nullable = name === 'lastSeq' || ((name === 'from' || name === 'to') && kind === 'n?');
      return { name, fits: fits[kind.charAt(0)] ?? (() => false), optional: kind.endsWith('?'), nullable };
    });
    ruled.set(shape, rules);
  }
  return rules;
}

/** What is wrong with the members of an object; undefined: nothing. What is null and may be is left out. */
function fault(members: Members, shape: string): string | undefined {
  for (const { name, fits, optional, nullable } of rulesOf(shape)) {
    const value = members[name];
    if (value === undefined || value === null) {
      if (!optional) return `"${name}" is missing`;
      if (value === null && !nullable) delete members[name];
    } else if (!fits(value)) return `"${name}" is of a wrong type`;
  }
  return undefined;
}

function allFit(list: readonly unknown[], shape: string): boolean {
  return list.every((element) => isMembers(element) && fault(element, shape) === undefined);
}

/** What the shapes do not tell. */
function deeperFault(members: Members, type: ServerType): string | undefined {
  const list = (name: string): readonly unknown[] => (members[name] as readonly unknown[] | undefined) ?? [];
  switch (type) {
    case 'welcome':
      if (fault(members['heartbeat'] as Members, 'interval:n min:n max:n') !== undefined) return '"heartbeat" is of a wrong type';
      if (!allFit(list('refusals'), 'seq:n code:s reason:s')) return '"refusals" is of a wrong type';
      return allFit(list('channels'), 'channel:s epoch:s offset:n') ? undefined : '"channels" is of a wrong type';
    case 'ack':
      return list('offsets').every((offset) => offset === null || isNumber(offset)) ? undefined : '"offsets" is of a wrong type';
    case 'reconnect':
      return list('after').length === 2 && list('after').every(isNumber) ? undefined : '"after" is of a wrong type';
    case 'data':
      return finishData(members);
    default:
      return has.asks ? answerFault(members, type) : undefined;
  }
}

/** The same, of answers to what the application asks. @only asks */
function answerFault(members: Members, type: ServerType): string | undefined {
  const list = (name: string): readonly unknown[] => members[name] as readonly unknown[];
  switch (type) {
    case 'presence':
      return allFit(list('members'), 'session:s user:s') ? undefined : '"members" is of a wrong type';
    case 'history':
      return list('messages').every((each) => isMembers(each) && fault(each, shapes.data) === undefined && finishData(each) === undefined)
        ? undefined
        : '"messages" is of a wrong type';
    case 'reply':
      return typeof members['payloadBase64'] === 'string' ? finishData(members) : undefined;
    default:
      return undefined;
  }
}

/** "a binary publisher's payload that is no JSON reaches JSON subscribers as `payloadBase64` instead" */
function finishData(members: Members): string | undefined {
  const base64 = members['payloadBase64'];
  if (typeof base64 === 'string') {
    try {
      members['payload'] = fromBase64(base64);
    } catch {
      return '"payloadBase64" is no base64';
    }
    delete members['payloadBase64'];
  }
  return 'payload' in members ? undefined : '"payload" is missing';
}

/** What most messages are, found without walking the shape. False: it may still be good. */
function isPlainData(members: Members): boolean {
  const { channel, offset, id, payload, timestamp, from, payloadBase64 } = members;
  return (
    typeof channel === 'string' &&
    isNumber(offset) &&
    typeof id === 'string' &&
    payload !== undefined &&
    isNumber(timestamp) &&
    (from === undefined || typeof from === 'string') &&
    payloadBase64 === undefined
  );
}

function decodeOne(data: string): ServerMessage | BadMessage {
  let members: unknown;
  try {
    members = JSON.parse(data);
  } catch {
    return new BadMessage('it is no JSON');
  }
  if (!isMembers(members)) return new BadMessage('it is no JSON object');
  const type = members['type'] as ServerType;
  if (has.shortcuts && type === 'data' && isPlainData(members)) return sized(members as unknown as DataMessage, data);
  if (typeof type !== 'string' || !Object.hasOwn(shapes, type)) return new BadMessage('its "type" is missing or unknown');
  const wrong = fault(members, shapes[type]) ?? deeperFault(members, type);
  if (wrong !== undefined) return new BadMessage(wrong);
  const message = members as unknown as ServerMessage;
  return message.type === 'data' ? sized(message, data) : message;
}

/** "In a `data` message `payload` is the last member, always": so its size is known without writing it again. */
function sized(message: DataMessage, data: string): DataMessage {
  message.bytes = data.length - data.indexOf('"payload') - 11;
  return message;
}

class JsonCodec implements Codec {
  readonly kind = jsonCodec;
  readonly encode = encode;

  decode(data: string | Uint8Array): (ServerMessage | BadMessage)[] {
    return [typeof data === 'string' ? decodeOne(data) : new WrongKind('a binary message where JSON was agreed on')];
  }
}

export const jsonCodec: CodecKind = {
  protocol: 'holdfast.v1.json',
  encoding: 'json',
  create: () => new JsonCodec(),
};
