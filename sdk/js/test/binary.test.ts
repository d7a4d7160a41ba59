/**
 * The binary form: the golden vectors of tests/vectors/binary, and the C codec beside ours. The latter where CODEC_PEER names the program of tests/vectors/codec_peer.c.
 */
import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BadMessage } from '../src/core/codec.js';
import { binaryCodec, decodeRecords, encodeRecord } from '../src/core/codec_binary.js';
import type { ClientMessage, DataMessage } from '../src/core/message.js';
import { seeded } from './world.js';

type Meaning = Record<string, unknown>;

interface Vector {
  name: string;
  from: 'server' | 'client';
  hex: string;
  records: { message?: Meaning; error?: string; framing?: string; type?: string }[];
}

function vectors(file: string): Vector[] {
  const path = fileURLToPath(new URL(`../../../tests/vectors/binary/${file}.json`, import.meta.url));
  return (JSON.parse(readFileSync(path, 'utf8')) as { vectors: Vector[] }).vectors;
}

function bytesOf(hex: string): Uint8Array {
  return Uint8Array.from(Buffer.from(hex, 'hex'));
}

function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

/** The vectors' words for payloads, in ours. */
function ourPayload(meaning: Meaning): Meaning {
  const { payloadText, payloadBase64, infoText, ...rest } = meaning;
  if (typeof payloadText === 'string') rest['payload'] = JSON.parse(payloadText) as unknown;
  if (typeof payloadBase64 === 'string') rest['payload'] = Uint8Array.from(Buffer.from(payloadBase64, 'base64'));
  if (typeof infoText === 'string') rest['info'] = JSON.parse(infoText) as unknown;
  for (const list of ['messages', 'members'])
    if (Array.isArray(rest[list])) rest[list] = (rest[list] as Meaning[]).map(ourPayload);
  return rest;
}

/** What decodeRecords() gives, in the vectors' words but for payloads. */
function decodedMeaning(bytes: Uint8Array): unknown[] {
  return [...decodeRecords(bytes)].map((record) => {
    if ('fault' in record) return record.framing ? { framing: record.fault } : { error: record.fault };
    return { message: tidy(record.members) };
  });
}

function tidy(members: Meaning): Meaning {
  const { bytes, raw, ...rest } = members;
  void bytes, raw;
  if (rest['type'] === 'welcome') rest['lastSeq'] ??= null;
  if (rest['type'] === 'gap') {
    rest['from'] ??= null;
    rest['to'] ??= null;
  }
  if (rest['cid'] === 0) delete rest['cid'];
  if (Array.isArray(rest['refusals']) && rest['refusals'].length === 0) delete rest['refusals']; // None, and no list: as good.
  for (const list of ['messages', 'members', 'channels', 'refusals'])
    if (Array.isArray(rest[list])) rest[list] = (rest[list] as Meaning[]).map(tidy);
  return rest;
}

/** Where a record has several faults, which of them is told is left to the decoder. */
function faulty(record: unknown): unknown {
  return typeof record === 'object' && record !== null && 'error' in record ? { error: true } : record;
}

function expected(records: Vector['records']): unknown[] {
  return records.map(({ message, error, framing }) => {
    if (message === undefined) return framing === undefined ? { error } : { framing };
    return { message: tidy(ourPayload(message)) };
  });
}

/** A client's message of the vectors as the session would put it; cids have the names that `cidOf` knows. */
function clientMessage(meaning: Meaning): ClientMessage {
  const { payloadText, payloadBase64, cid, acks, ...rest } = meaning;
  const message: Meaning = { ...rest };
  if (cid !== undefined) message['channel'] = `#${String(cid)}`;
  if (payloadText !== undefined) message['payload'] = payloadText;
  if (typeof payloadBase64 === 'string') message['payload'] = Uint8Array.from(Buffer.from(payloadBase64, 'base64'));
  if (Array.isArray(acks)) message['acks'] = (acks as { cid: number; offset: number }[]).map((ack) => [`#${ack.cid}`, ack.offset]);
  return message as unknown as ClientMessage;
}

function cidOf(channel: string): number | undefined {
  return channel.startsWith('#') ? Number(channel.slice(1)) : undefined;
}

describe('golden vectors', () => {
  for (const file of ['from_server', 'lenient', 'malformed']) {
    for (const { name, hex, records } of vectors(file).filter(({ from }) => from === 'server')) {
      it(`${file}: ${name}`, () => {
        expect(decodedMeaning(bytesOf(hex))).toEqual(expected(records));
      });
    }
  }

  for (const { name, hex, records } of vectors('from_client')) {
    it(`from_client: ${name}`, () => {
      const bytes = records.map(({ message = {} }) => hexOf(encodeRecord(clientMessage(message), cidOf))).join('');
      expect(bytes).toBe(hex);
    });
  }
});

describe('a connection', () => {
  const record = (hex: string): Uint8Array => bytesOf(hex);
  const subscribed = record('030b010464656d6f1202653100');
  const data = record('0611001201cc97eca8a034072268656c6c6f22');

  it('knows channels by the numbers that it was told, and makes ids', () => {
    const codec = binaryCodec.create();
    expect([...codec.decode(data)][0]).toBeInstanceOf(BadMessage);
    expect([...codec.decode(subscribed)]).toMatchObject([{ type: 'subscribed', channel: 'demo', epoch: 'e1' }]);
    expect([...codec.decode(data)]).toMatchObject([{ type: 'data', channel: 'demo', id: 'e1-1', payload: 'hello', bytes: 7 }]);
    expect(hexOf(codec.encode({ type: 'ack', channel: 'demo', offset: 1 }) as Uint8Array)).toBe('0803031201');
    expect(hexOf(codec.encode({ type: 'data', channel: 'demo', seq: 1, payload: '"hello"' }) as Uint8Array)).toBe('060b050112072268656c6c6f22');
  });

  it('names a channel again that is not subscribed any more', () => {
    const codec = binaryCodec.create();
    void [...codec.decode(subscribed)];
    void [...codec.decode(record('0506000464656d6f'))];
    expect(hexOf(codec.encode({ type: 'sync_request', channel: 'demo', offset: 12 }) as Uint8Array)).toBe('0a07000464656d6f0c');
  });

  it('takes a text for the wrong kind of message', () => {
    expect([...binaryCodec.create().decode('{"type":"ping"}')][0]).toBeInstanceOf(BadMessage);
  });

  it('is the same however much of a message is there: what is cut is broken, and nothing else is lost', () => {
    const [first] = vectors('lenient').filter(({ name }) => name === 'welcome, then what was missed');
    const whole = first === undefined ? data : bytesOf(first.hex);
    for (let i = 0; i < whole.length; i++) {
      const records = [...decodeRecords(whole.subarray(0, i))];
      const last = records.at(-1);
      expect(last !== undefined && 'fault' in last && last.framing).toBe(i !== whole.length - data.length);
    }
  });
});

/* --- against C --- */

const peerPath = process.env['CODEC_PEER'];

class Peer {
  private readonly child: ChildProcessWithoutNullStreams;
  private readonly waiting: ((line: string) => void)[] = [];

  constructor(path: string) {
    this.child = spawn(path);
    // Not node:readline, which in Deno and Bun takes U+2028, which texts may hold, for a line's end.
    let rest = '';
    this.child.stdout.setEncoding('utf8').on('data', (data: string) => {
      const lines = (rest + data).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) this.waiting.shift()?.(line);
    });
  }

  ask(line: string): Promise<string> {
    return new Promise((resolve) => {
      this.waiting.push(resolve);
      this.child.stdin.write(line + '\n');
    });
  }

  end(): void {
    this.child.stdin.end();
  }
}

/** Messages of all types, of every shape that comes to mind. */
class Maker {
  constructor(private readonly random: () => number) {}

  below(n: number): number {
    return Math.floor(this.random() * n);
  }

  number(): number {
    return [this.below(3), this.below(200), this.below(70_000), Math.floor(this.random() * 2 ** 53), 2 ** 53 - 1, 127, 128][this.below(7)] as number;
  }

  text(): string {
    const alphabet = ['a', 'Z', '0', ' ', '"', '\\', 'é', '漢', '😀', '\u2028'];
    return Array.from({ length: this.below(4) === 0 ? this.below(300) : this.below(8) }, () => alphabet[this.below(alphabet.length)]).join('');
  }

  label(): string {
    let text = this.text();
    while (Buffer.byteLength(text) > 255) text = text.slice(0, -2);
    return text.replace(/[\ud800-\udbff]$/, '');
  }

  channel(): string {
    return this.below(2) === 0 ? `#${1 + this.below(100_000)}` : this.label().replaceAll('#', '') || 'c';
  }

  value(): unknown {
    return [null, true, 1.5, -7, this.text(), [1, [2]], { k: this.text() }, {}][this.below(8)];
  }

  maybe<T>(name: string, make: () => T): Record<string, T> {
    return this.below(2) === 0 ? {} : { [name]: make() };
  }

  payload(): string | Uint8Array {
    if (this.below(4) > 0) return JSON.stringify(this.value());
    return Uint8Array.from({ length: this.below(300) }, () => this.below(256));
  }

  since(): Meaning {
    return { epoch: this.label(), offset: this.number() };
  }

  client(): ClientMessage {
    const channel = this.channel();
    const make: (() => Meaning)[] = [
      () => ({
        type: 'subscribe',
        channel: channel.replace('#', 'c'),
        ...this.maybe('since', () => this.since()),
        ...this.maybe('last', () => this.number()),
        ...this.maybe('mode', () => ['all', 'latest'][this.below(2)]),
        ...this.maybe('presence', () => this.below(2) === 0),
      }),
      () => ({ type: 'unsubscribe', channel }),
      () => ({ type: 'data', channel, seq: this.number(), payload: this.payload(), ...this.maybe('id', () => this.label()) }),
      () => ({ type: 'ack', channel, offset: this.number() }),
      () => ({ type: 'sync_request', channel, offset: this.number() }),
      () => ({ type: 'ping', ...this.maybe('id', () => this.label()) }),
      () => ({ type: 'pong', ...this.maybe('acks', () => Array.from({ length: this.below(5) }, () => [`#${Math.max(1, this.number())}`, this.number()])) }),
      () => ({ type: 'heartbeat', interval: this.number() }),
      () => ({
        type: 'history',
        id: this.label(),
        channel,
        ...this.maybe('since', () => this.since()),
        ...this.maybe('limit', () => this.number()),
        ...(this.below(2) === 0 ? { reverse: true } : {}),
      }),
      () => ({ type: 'presence', id: this.label(), channel }),
      () => ({ type: 'call', id: this.label(), method: this.text(), payload: this.payload() }),
      () => ({ type: 'refresh', token: this.text() }),
      () => ({ type: 'bye' }),
    ];
    return make[this.below(make.length)]?.() as unknown as ClientMessage;
  }

  payloadMeaning(): Meaning {
    const payload = this.payload();
    return typeof payload === 'string' ? { payloadText: payload } : { payloadBase64: Buffer.from(payload).toString('base64') };
  }

  data(cid: number): Meaning {
    return {
      type: 'data',
      cid,
      offset: this.number(),
      timestamp: this.number(),
      ...this.payloadMeaning(),
      ...this.maybe('id', () => this.label()),
      ...this.maybe('from', () => this.text()),
    };
  }

  server(): Meaning {
    const channel = this.channel().replace('#', 'c');
    const cid = 1 + this.below(100_000);
    const info = (): Record<string, string> => this.maybe('infoText', () => JSON.stringify(this.value()));
    const code = (): string => ['limit', 'forbidden', 'max_age', 'evicted', 'something_new'][this.below(5)] as string;
    const make: (() => Meaning)[] = [
      () => ({
        type: 'welcome', session: this.text(), ticket: this.text(), resumed: this.below(2) === 0, lastSeq: this.below(2) === 0 ? null : this.number(),
        ttl: this.number(), serverId: this.text(), serverTime: this.number(), heartbeat: { interval: this.number(), min: this.number(), max: this.number() },
        lossSpread: this.number(), maxMessage: this.number(), address: this.text(),
        // A session that was resumed has channels, and one that was not may have refusals.
        ...(this.below(2) === 0
          ? { channels: Array.from({ length: this.below(4) }, () => ({ channel: this.channel().replace('#', 'c'), cid: 1 + (this.number() % 1000), epoch: this.label(), offset: this.number() })) }
          : { channels: [], refusals: Array.from({ length: this.below(3) }, () => ({ seq: this.number(), code: this.text(), reason: this.text() })) }),
      }),
      () => ({ type: 'subscribed', channel, cid, epoch: this.label(), offset: this.number(), recovered: this.below(2) === 0 }),
      () => ({ type: 'unsubscribed', channel, ...this.maybe('code', code), ...this.maybe('reason', () => this.text()) }),
      () => this.data(cid),
      () => ({ type: 'gap', channel, cid, epoch: this.label(), from: this.below(3) === 0 ? null : this.number(), to: this.below(3) === 0 ? null : this.number(), code: code() }),
      () => ({ type: 'ack', seq: this.number(), offsets: Array.from({ length: this.below(5) }, () => (this.below(3) === 0 ? null : 1 + this.below(100_000))), ...this.maybe('id', () => this.label()) }),
      () => ({ type: 'nack', ...this.maybe('seq', () => this.number()), ...this.maybe('id', () => this.label()), code: code(), reason: this.text() }),
      () => ({ type: 'ping' }),
      () => ({ type: 'pong', ...this.maybe('id', () => this.label()), serverTime: this.number(), serverId: this.text() }),
      () => ({ type: 'heartbeat', interval: this.number() }),
      () => { const min = this.number(); return { type: 'reconnect', after: [min, Math.max(min, this.number())], code: code(), ...this.maybe('url', () => this.text()) }; },
      () => ({ type: 'history', id: this.label(), channel, cid, epoch: this.label(), offset: this.number(), messages: Array.from({ length: this.below(4) }, () => this.data(cid)) }),
      () => ({ type: 'presence', id: this.label(), channel, members: Array.from({ length: this.below(4) }, () => ({ session: this.text(), user: this.text(), ...info() })) }),
      () => ({ type: ['join', 'leave'][this.below(2)], cid, session: this.text(), user: this.text(), ...info() }),
      () => ({ type: 'reply', id: this.label(), ...(this.below(2) === 0 ? this.payloadMeaning() : { code: code(), reason: this.text() }) }),
      () => ({ type: 'error', code: code(), reason: this.text(), re: ['ping', 'data', 'later'][this.below(3)], ...this.maybe('id', () => this.label()), ...this.maybe('channel', () => channel), ...this.maybe('expected', () => this.number()) }),
    ];
    return make[this.below(make.length)]?.() ?? {};
  }
}

/** A message of ours in the vectors' words. */
function meaningOf(message: ClientMessage): Meaning {
  const { channel, payload, acks, ...rest } = message as unknown as Meaning;
  const meaning: Meaning = { ...rest };
  if (typeof channel === 'string') {
    const cid = cidOf(channel);
    meaning[cid === undefined ? 'channel' : 'cid'] = cid ?? channel;
  }
  if (typeof payload === 'string') meaning['payloadText'] = payload;
  if (payload instanceof Uint8Array) meaning['payloadBase64'] = Buffer.from(payload).toString('base64');
  if (acks !== undefined) meaning['acks'] = (acks as [string, number][]).map(([name, offset]) => ({ cid: cidOf(name), offset }));
  return meaning;
}

describe.skipIf(peerPath === undefined)('beside the C codec', () => {
  let peer: Peer;
  const rounds = Number(process.env['FUZZ_ROUNDS'] ?? 3000);
  const seed = Number(process.env['FUZZ_SEED'] ?? 1); // The same in every run; another one is for a campaign by hand.

  beforeAll(() => {
    peer = new Peer(peerPath ?? '');
  });
  afterAll(() => peer.end());

  it(`C understands what TypeScript writes (FUZZ_SEED=${seed})`, async () => {
    const maker = new Maker(seeded(seed));
    for (let i = 0; i < rounds; i++) {
      const message = maker.client();
      const hex = hexOf(encodeRecord(message, cidOf));
      expect(JSON.parse(await peer.ask(`decode client ${hex}`))).toEqual([{ message: meaningOf(message) }]);
    }
  });

  it(`TypeScript understands what C writes (FUZZ_SEED=${seed})`, async () => {
    const maker = new Maker(seeded(seed + 1));
    for (let i = 0; i < rounds; i++) {
      const meaning = maker.server();
      const hex = await peer.ask(`encode server ${JSON.stringify(meaning)}`);
      expect(hex, JSON.stringify(meaning)).toMatch(/^[0-9a-f]+$/);
      expect(decodedMeaning(bytesOf(hex)), `${hex} ${JSON.stringify(meaning)}`).toEqual(expected([{ message: meaning }]));
    }
  });

  it(`both say the same of bytes that are damaged (FUZZ_SEED=${seed})`, async () => {
    const maker = new Maker(seeded(seed + 2));
    for (let i = 0; i < rounds; i++) {
      let bytes = bytesOf(await peer.ask(`encode server ${JSON.stringify(maker.server())}`));
      for (let k = 1 + maker.below(3); k > 0 && bytes.length > 0; k--) {
        const at = maker.below(bytes.length);
        if (maker.below(4) === 0) bytes = bytes.slice(0, at);
        else bytes[at] = maker.below(3) === 0 ? maker.below(256) : (bytes[at] as number) ^ (1 << maker.below(8));
      }
      const theirs = JSON.parse(await peer.ask(`decode server ${hexOf(bytes)}`)) as Vector['records'];
      expect(decodedMeaning(bytes).map(faulty), hexOf(bytes)).toEqual(expected(theirs).map(faulty));
    }
  });
});

describe('bytes in JSON', () => {
  it('are published as base64', async () => {
    const { jsonCodec } = await import('../src/core/codec_json.js');
    const codec = jsonCodec.create();
    expect(codec.encode({ type: 'data', channel: 'c', seq: 1, payload: Uint8Array.of(0, 255) })).toBe(
      '{"type":"data","channel":"c","payloadBase64":"AP8=","seq":1}',
    );
    const [message] = [...codec.decode('{"type":"data","channel":"c","offset":1,"id":"x","timestamp":1,"payloadBase64":"AP8="}')];
    expect((message as DataMessage).payload).toEqual(Uint8Array.of(0, 255));
  });
});

describe('Channels by number', () => {
  it('are by name behind an unsubscribe, whatever the server has still said before it read that', () => {
    const codec = binaryCodec.create();
    const publish = () => hexOf(codec.encode({ type: 'data', channel: 'c', seq: 1, payload: '1' }) as Uint8Array);
    const hear = (hex: string) => [...codec.decode(bytesOf(hex))];
    const byName = publish();
    const subscribed = '03080101631202653100'; // channel "c", cid 18, epoch "e1", offset 0
    codec.encode({ type: 'subscribe', channel: 'c' });
    expect(hear(subscribed)).toMatchObject([{ type: 'subscribed', channel: 'c' }]);
    expect(publish()).not.toBe(byName);
    codec.encode({ type: 'unsubscribe', channel: 'c' });
    expect(publish()).toBe(byName);
    hear(subscribed);
    expect(publish()).toBe(byName);
    codec.encode({ type: 'subscribe', channel: 'c' });
    hear(subscribed);
    expect(publish()).not.toBe(byName);
  });
  it('are by number again where the backend subscribes to a channel that was left, as acks in a pong must be', () => {
    const codec = binaryCodec.create();
    const hear = (hex: string) => [...codec.decode(bytesOf(hex))];
    const pong = () => hexOf(codec.encode({ type: 'pong', acks: [['demo', 1]] }) as Uint8Array);
    const none = pong();
    const subscribed = '030b010464656d6f1202653100';
    hear(subscribed);
    const acked = pong();
    expect(acked).not.toBe(none);
    codec.encode({ type: 'unsubscribe', channel: 'demo' });
    hear(subscribed);
    expect(pong()).toBe(none);
    hear('0506000464656d6f');
    hear(subscribed);
    expect(pong()).toBe(acked);
  });
});
