/** A session whose driver's callback throws: what was thrown reaches the caller, and the session goes on as between two calls. */
import { expect, it } from 'vitest';
import type { State } from '../src/codes.js';
import { jsonCodec } from '../src/core/codec_json.js';
import type { SessionEvent } from '../src/core/events.js';
import { randomFrom } from '../src/core/random.js';
import { Session } from '../src/core/session.js';

const welcome = JSON.stringify({
  type: 'welcome', session: 's', ticket: 't', resumed: false, lastSeq: null, ttl: 1000, serverId: 'x', serverTime: 0,
  heartbeat: { interval: 25_000, min: 1000, max: 60_000 }, lossSpread: 0, maxMessage: 1000, address: '', channels: [],
});

/** Throws at the first event of this type, and with this new state where one is named. */
function throwing(type: SessionEvent['type'], to?: State): { session: Session; events: string[] } {
  const events: string[] = [];
  let thrown = false;
  const session = new Session(
    {
      codecs: [jsonCodec], token: null, tokenSource: false, outboxMessages: 10, outboxBytes: 10_000, window: 10, subscriptions: 10, heartbeatIntervalMs: 0,
      policy: null, prober: null, background: false, random: randomFrom(() => 0.5), splitDial: false, store: null, stored: null,
      onEvent: (event) => {
        events.push(event.type === 'state' ? event.to : event.type);
        if (event.type !== type || thrown || (to !== undefined && event.type === 'state' && event.to !== to)) return;
        thrown = true;
        throw new Error('planted');
      },
    },
    0,
  );
  return { session, events };
}

function connect(session: Session): void {
  session.request(0, 0);
  session.opened(0, jsonCodec.protocol, 1);
  session.message(0, welcome, 2);
}

it('ends when it is asked to after its first event was thrown at', () => {
  const { session, events } = throwing('state');
  expect(() => session.tick(0)).toThrow('planted');
  connect(session);
  session.close(3);
  expect(session.state).toBe('closing');
  session.closed(0, 1000, '', 4);
  expect(events).toEqual(['connecting', 'live', 'connected', 'closing', 'ended', 'ended']);
});

it('closes its connection after what was told at the end of a call was thrown at', () => {
  const { session, events } = throwing('state', 'closing');
  session.tick(0);
  connect(session);
  expect(() => session.close(3)).toThrow('planted');
  session.closed(0, 1000, '', 4);
  expect(events.slice(-2)).toEqual(['ended', 'ended']);
  expect(session.links[0].lingerUntil).toBe(1004); // Its driver has a second to write the close frame, and not for ever.
});

it('gives up a connection that fails within a second, also where the news is thrown at', () => {
  const { session } = throwing('disconnected');
  session.tick(0);
  connect(session);
  expect(() => session.message(0, '{"type":"ack","seq":1}', 3)).toThrow('planted'); // It was sent nothing.
  expect(session.want(0)).toMatchObject({ wish: 'close', closeCode: 1008 });
  expect(session.links[0].lingerUntil).toBe(1003);
  session.tick(1003);
  expect(session.want(0).wish).not.toBe('close');
});
