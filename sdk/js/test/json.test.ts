/** The JSON codec, by itself: what of a `data` message is checked, on the short way that most take and on the long one. */
import { describe, expect, it } from 'vitest';
import { BadMessage } from '../src/core/codec.js';
import { jsonCodec } from '../src/core/codec_json.js';

const good = { type: 'data', channel: 'x', offset: 7, id: 'e-7', timestamp: 5, payload: { a: [1, null] } };

function decoded(message: unknown): unknown {
  const [first] = jsonCodec.create().decode(typeof message === 'string' ? message : JSON.stringify(message));
  return first instanceof BadMessage ? first.reason : first;
}

describe('a data message in JSON', () => {
  it('is taken with whatever payload, and says how large that was', () => {
    for (const payload of [null, false, 0, '', [], {}, { payload: 1 }, 'ä😀"payload'])
      expect(decoded({ ...good, payload })).toEqual({ ...good, payload, bytes: JSON.stringify(payload).length });
    expect(decoded({ from: 'ann', ...good, more: 1 })).toMatchObject({ from: 'ann', payload: good.payload });
  });

  it('may have null where a member may be left out', () => {
    expect(decoded({ from: null, ...good })).toEqual({ ...good, bytes: expect.any(Number) as number });
    expect(decoded({ payloadBase64: null, ...good })).toEqual({ ...good, bytes: expect.any(Number) as number });
  });

  it('may have bytes, which take the place of a payload', () => {
    const { payload: _, ...bare } = good;
    expect(decoded({ ...bare, payloadBase64: 'AAEC' })).toMatchObject({ payload: Uint8Array.of(0, 1, 2) });
    expect(decoded({ ...good, payloadBase64: 'AAEC' })).toMatchObject({ payload: Uint8Array.of(0, 1, 2) });
    expect(decoded({ ...bare, payloadBase64: '*' })).toBe('"payloadBase64" is no base64');
    expect(decoded({ ...good, payloadBase64: 1 })).toBe('"payloadBase64" is of a wrong type');
  });

  it.each([
    ['channel', 1],
    ['offset', '7'],
    ['offset', -1],
    ['offset', 1.5],
    ['offset', 2 ** 53],
    ['id', 7],
    ['timestamp', '5'],
    ['from', 1],
  ])('is refused with "%s": %j', (name, value) => {
    expect(decoded({ ...good, [name]: value })).toBe(`"${name}" is of a wrong type`);
  });

  it.each(['channel', 'offset', 'id', 'timestamp', 'payload'])('is refused without "%s"', (name) => {
    expect(decoded({ ...good, [name]: undefined })).toBe(`"${name}" is missing`);
    if (name !== 'payload') expect(decoded({ ...good, [name]: null })).toBe(`"${name}" is missing`);
  });

  it('is none without a type, or as another thing than an object', () => {
    expect(decoded({ ...good, type: 'daten' })).toBe('its "type" is missing or unknown');
    expect(decoded([good])).toBe('it is no JSON object');
    expect(decoded('{"type":"data"')).toBe('it is no JSON');
  });
});
