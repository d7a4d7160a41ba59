/** The client against the small server of world.ts, in virtual time. */
import { describe, expect, it } from 'vitest';
import { wholeParts } from '../src/client/whole.js';
import { HoldfastClient } from '../src/holdfast.js';
import { HoldfastError, PublishRefused, PublishUncertain } from '../src/errors.js';
import type { Delivery, Gap, HoldfastOptions, Message, OutboxStore, StateChange, StoredPublish, StoredState, Transport } from '../src/types.js';
import { FakeServer, flush, World } from './world.js';

interface Setup {
  world: World;
  server: FakeServer;
  client: HoldfastClient;
  states: StateChange[];
  steps: () => string[];
}

function setup(options: HoldfastOptions = {}, change: (server: FakeServer, world: World) => void = () => undefined): Setup {
  const world = new World();
  const server = new FakeServer(world);
  change(server, world);
  const client = new HoldfastClient('ws://fake/ws', { transport: server.transport(), ...options }, world.platform(), wholeParts);
  const states: StateChange[] = [];
  client.onState((state) => states.push(state));
  return { world, server, client, states, steps: () => states.map(({ to, cause }) => `${to} ${cause}`) };
}

/** What a subscription got, as "offset:payload", and "from-to code" for gaps. */
function record(subscription: { on(event: 'message', handler: (message: Message) => void): unknown; on(event: 'gap', handler: (gap: Gap) => void): unknown }): string[] {
  const got: string[] = [];
  subscription.on('message', (message) => got.push(`${message.offset}:${String(message.payload)}`));
  subscription.on('gap', (gap) => got.push(`${gap.from}-${gap.to} ${gap.code}`));
  return got;
}

async function caught(promise: Promise<unknown>): Promise<HoldfastError> {
  try {
    await promise;
  } catch (error) {
    return error as HoldfastError;
  }
  throw new Error('it did not reject');
}

describe('connecting', () => {
  it('connects, subscribes, publishes, and gets its own message', async () => {
    const { world, client, steps } = setup();
    const subscription = client.subscribe('room');
    const got = record(subscription);
    const published = client.publish('room', 'hello', { id: 'mine' });
    await world.run(500);
    expect(await published).toEqual({ channel: 'room', offset: 1, publishId: 1 });
    expect(got).toEqual(['1:hello']);
    expect(subscription.state).toBe('active');
    expect(subscription.position).toEqual({ epoch: 'e2', offset: 1 });
    expect(steps()).toEqual(['connecting started', 'live welcomed']);
    expect(client.unanswered).toBe(0);
  });

  it('sends what is asked for in a message, also where another comes within it', async () => {
    let give: (text: string) => void = () => undefined;
    const made: { server?: FakeServer } = {};
    const transport: Transport = {
      open: (request, events) => {
        give = (text) => events.message(text);
        return made.server!.transport().open(request, events);
      },
    };
    const { world, server, client } = setup({ transport }, (the) => (made.server = the));
    const subscription = client.subscribe('room');
    await world.run(500);
    const epoch = subscription.position!.epoch;
    const data = (offset: number): string => JSON.stringify({ type: 'data', channel: 'room', epoch, offset, id: `m${offset}`, payload: offset, timestamp: 1 });
    give(data(1)); // Its acknowledgement is planned, so that the next ones leave nothing to be done.
    await world.run(10);
    subscription.on('message', ({ offset }) => {
      if (offset !== 2) return;
      void client.publish('room', 'at once');
      give(data(3));
    });
    give(data(2));
    await world.run(100);
    expect(subscription.position!.offset).toBeGreaterThanOrEqual(3);
    expect(server.connection.received.filter(({ type }) => type === 'data')).toHaveLength(1);
  });

  it('waits where autoConnect is false, and keeps what is asked for', async () => {
    const { world, server, client, steps } = setup({ autoConnect: false });
    const got = record(client.subscribe('room'));
    const published = client.publish('room', 1);
    await world.run(60_000);
    expect(server.attempts).toBe(0);
    client.connect();
    await world.run(500);
    expect((await published).offset).toBe(1);
    expect(got).toEqual(['1:1']);
    expect(steps()).toEqual(['connecting started', 'live welcomed']);
  });

  it('tries again with growing pauses while nobody answers, and tells each', async () => {
    const { world, server, client, states } = setup({}, (fake) => (fake.down = true));
    const retries: number[] = [];
    client.on('retrying', (event) => retries.push(event.nextAttempt));
    await world.run(300_000);
    expect(states[1]).toMatchObject({ from: 'connecting', to: 'waiting', cause: 'unreachable' });
    expect(retries.length).toBeGreaterThan(10);
    expect(Math.max(...retries)).toBeGreaterThan(5000);
    expect(Math.max(...retries)).toBeLessThanOrEqual(30_000);
    expect(Math.min(...retries)).toBeGreaterThanOrEqual(100);
    server.down = false;
    await world.until(() => client.state === 'live', 31_000);
  });

  it('gives an attempt up that nobody answers', async () => {
    const { world, states } = setup({}, (fake) => (fake.blackHole = true));
    await world.run(3999);
    expect(states.map(({ to }) => to)).toEqual(['connecting']);
    await world.run(1);
    expect(states[1]).toMatchObject({ to: 'waiting', cause: 'timed_out' });
  });

  it('moves on to the next URL where an attempt fails, and stays where a connection broke', async () => {
    const world = new World();
    const server = new FakeServer(world);
    const asked: string[] = [];
    const transport = server.transport();
    const client = new HoldfastClient(
      ['ws://one/ws', 'ws://two/ws'],
      {
        transport: {
          open: (request, events) => {
            asked.push(request.url);
            server.down = request.url.includes('one');
            return transport.open(request, events);
          },
        },
      },
      world.platform(),
      wholeParts,
    );
    await world.until(() => client.state === 'live');
    server.connection.close(1011);
    await world.until(() => asked.length === 3);
    expect(asked).toEqual(['ws://one/ws', 'ws://two/ws', 'ws://two/ws']);
  });

  it('obeys Retry-After', async () => {
    const { world, server, client, states } = setup({}, (fake) => fake.refusals.push({ status: 503, retryAfter: 7 }));
    await world.run(100);
    expect(states[1]).toMatchObject({ to: 'waiting', cause: 'retry_after', httpStatus: 503 });
    await world.run(6800);
    expect(server.attempts).toBe(1);
    await world.until(() => client.state === 'live', 1500);
  });

  it('ends where no repetition helps', async () => {
    for (const status of [400, 401, 403, 404, 426]) {
      const { world, client, states } = setup({}, (fake) => fake.refusals.push({ status, retryAfter: 0 }));
      const publish = caught(client.publish('room', 1));
      await world.run(100);
      expect(states[1]).toMatchObject({ to: 'ended', cause: 'refused', httpStatus: status });
      expect((await publish).code).toBe('closed');
      expect((await caught(client.publish('room', 1))).code).toBe('closed');
      expect(() => client.subscribe('x')).toThrow(HoldfastError);
    }
  });

  it('takes a 404 after a success for a proxy', async () => {
    const { world, server, client } = setup();
    await world.until(() => client.state === 'live');
    server.refusals.push({ status: 404, retryAfter: 0 });
    server.connection.close(1006);
    await world.run(50);
    await world.until(() => client.state === 'live');
    expect(server.attempts).toBe(3);
  });

  it('fails an attempt whose first message is no welcome', async () => {
    const { world, client, states } = setup({}, (fake) => fake.insteadOfWelcome.push({ messages: [{ type: 'ping' }], code: 0 }));
    await world.run(100);
    expect(states[1]).toMatchObject({ to: 'waiting', cause: 'protocol_error', evidence: "the server's first message was no welcome" });
    await world.until(() => client.state === 'live');
  });

  it('comes back when the server told a browser to: 101, reconnect, 1013', async () => {
    const { world, server, client, states } = setup({}, (fake) =>
      fake.insteadOfWelcome.push({ messages: [{ type: 'reconnect', after: [5000, 6000], code: 'overloaded' }], code: 1013 }),
    );
    await world.run(4900);
    expect(states[1]).toMatchObject({ to: 'waiting', cause: 'server_drain', closeCode: 1013 });
    expect(states[1]?.nextAttempt).toBeGreaterThanOrEqual(5000);
    expect(states[1]?.nextAttempt).toBeLessThanOrEqual(6000);
    expect(server.attempts).toBe(1);
    await world.until(() => client.state === 'live', 1500);
  });
});

describe('tokens', () => {
  it('asks for a token first, and for another one when it is refused', async () => {
    const reasons: string[] = [];
    const { world, client } = setup(
      { getToken: (reason) => (reasons.push(reason), Promise.resolve(reason === 'first' ? 'old' : 'new')) },
      (fake) => (fake.goodToken = 'new'),
    );
    await world.until(() => client.state === 'live');
    expect(reasons).toEqual(['first', 'expired']);
  });

  it('ends on a refused token that nobody can renew', async () => {
    const { world, client } = setup({ token: 'old' }, (fake) => (fake.goodToken = 'new'));
    await world.run(1000);
    expect(client.state).toBe('ended');
  });

  it('asks again where getToken() fails, and tells it', async () => {
    let calls = 0;
    const { world, client } = setup({ getToken: () => (++calls < 3 ? Promise.reject(new Error('no network')) : 'good') });
    const problems: string[] = [];
    client.on('problem', ({ error }) => problems.push(error.message));
    await world.until(() => client.state === 'live');
    expect(problems).toEqual(['getToken() failed: no network', 'getToken() failed: no network']);
  });

  it('asks anew where getToken() says nothing for half a minute, and tells it; what comes late is taken', async () => {
    const given: ((token: string) => void)[] = [];
    const { world, client } = setup({ getToken: () => new Promise((resolve) => void given.push(resolve)) });
    const problems: string[] = [];
    client.on('problem', ({ error }) => problems.push(error.message));
    await world.run(29_000);
    expect(given.length).toBe(1);
    await world.until(() => given.length === 2);
    expect(problems).toEqual(['getToken() failed: it has given none for 30 s']);
    given[0]?.('good');
    await world.until(() => client.state === 'live');
    client.close().catch(() => undefined);
    await world.run(60_000);
    expect(problems.length).toBe(1);
  });

  it('asks for a token after 4002', async () => {
    const reasons: string[] = [];
    const { world, server, client, steps } = setup({ getToken: (reason) => (reasons.push(reason), 'good') });
    await world.until(() => client.state === 'live');
    server.connection.close(4002);
    await world.run(50);
    await world.until(() => client.state === 'live');
    expect(reasons).toEqual(['first', 'expired']);
    expect(steps()).toContain('waiting token_expired');
  });

  /** One that ends so many seconds after the world's clock began. */
  const jwt = (seconds: number): string => `h.${btoa(JSON.stringify({ exp: 1_700_000_000 + seconds })).replaceAll('=', '')}.s`;

  it('shows a token that was just given once, though by the clock here it has ended', async () => {
    const reasons: string[] = [];
    const { world, server, client } = setup({ heartbeat: 'fixed', getToken: (reason) => (reasons.push(reason), jwt(-3600)) });
    await world.run(200);
    expect(client.state).toBe('live');
    await world.run(600_000);
    expect([client.state, reasons]).toEqual(['live', ['first']]);
    // It has been shown, and is not shown again.
    server.connection.close(1006);
    await world.run(60);
    await world.until(() => client.state === 'live');
    expect(reasons).toEqual(['first', 'expired']);
    expect(server.attempts).toBe(2);
  });

  it('asks once for each attempt where every token that it is given is refused', async () => {
    let asked = 0;
    const { world, server } = setup({ getToken: () => (asked++, jwt(-3600)) }, (fake) => (fake.goodToken = 'another'));
    await world.run(60_000);
    expect(asked).toBeGreaterThan(2);
    expect(asked).toBeLessThan(60);
    expect(Math.abs(asked - server.attempts)).toBeLessThanOrEqual(1);
  });

  it('renews a token that lives 20 s at half of its life', async () => {
    let asked = 0;
    const { world, client } = setup({ heartbeat: 'fixed', getToken: () => (asked++, jwt(Math.ceil(world.now / 1000) + 20)) });
    await world.until(() => client.state === 'live');
    await world.run(200_000);
    expect(asked).toBeGreaterThanOrEqual(18);
    expect(asked).toBeLessThanOrEqual(22);
  });

  it('does not press a source that gives the same token for as long as it is good', async () => {
    const at: number[] = [];
    const { world, server, client } = setup({ heartbeat: 'fixed', getToken: () => (at.push(world.now), jwt(300)) });
    await world.until(() => client.state === 'live');
    await world.run(600_000);
    expect(at.length).toBeGreaterThan(2);
    expect(at.length).toBeLessThan(8);
    for (let i = 1; i < at.length; i++) expect((at[i] ?? 0) - (at[i - 1] ?? 0)).toBeGreaterThanOrEqual(5000);
    expect(server.attempts).toBe(1);
  });

  it('renews a token before its end, on the connection that stands', async () => {
    const reasons: string[] = [];
    const { world, server, client } = setup({ heartbeat: 'fixed', getToken: (reason) => (reasons.push(reason), jwt(reasons.length * 300)) });
    await world.until(() => client.state === 'live');
    await world.run(260_000);
    expect(reasons).toEqual(['first']);
    await world.run(20_000);
    expect(reasons).toEqual(['first', 'renewal']);
    expect(server.connection.received.filter(({ type }) => type === 'refresh')).toEqual([{ type: 'refresh', token: jwt(600) }]);
    expect(server.attempts).toBe(1);
  });
});

describe('breaks', () => {
  it('resumes: what was missed comes once and in order, what was published is applied once', async () => {
    const { world, server, client, steps } = setup();
    const got = record(client.subscribe('room'));
    await world.until(() => client.state === 'live');
    await world.run(200);
    for (let i = 1; i <= 5; i++) server.publish('room', `a${i}`);
    await world.run(500); // delivered, not yet acknowledged
    server.connection.close(1006);
    const publishes = [1, 2, 3].map((i) => client.publish('room', `c${i}`));
    server.publish('room', 'b');
    await world.run(5000);
    expect(got.slice(0, 6)).toEqual(['1:a1', '2:a2', '3:a3', '4:a4', '5:a5', '6:b']);
    expect(got.slice(6)).toEqual(['7:c1', '8:c2', '9:c3']);
    expect((await Promise.all(publishes)).map(({ offset }) => offset)).toEqual([7, 8, 9]);
    expect(steps()).toEqual(['connecting started', 'live welcomed', 'waiting connection_lost', 'connecting due', 'live welcomed']);
    expect(server.sessions.size).toBe(1);
  });

  it('keeps every promise through a hundred breaks at any moment', async () => {
    const world = new World();
    const server = new FakeServer(world);
    const client = new HoldfastClient('ws://fake/ws', { transport: server.transport() }, world.platform(7), wholeParts);
    const got: number[] = [];
    client.subscribe('room', { last: 1000 }, (message) => got.push(message.payload as number));
    const results: Promise<unknown>[] = [];
    for (let i = 0; i < 100; i++) {
      for (let k = 0; k < 3; k++) results.push(client.publish('room', i * 3 + k));
      await world.run((i * 37) % 230);
      const last = server.connections.at(-1);
      if (last?.open === true) {
        last.open = false;
        // Half of them without a word to the client either.
        if (i % 2 === 0) last.open = true;
        last.close(i % 3 === 0 ? 1011 : 1006);
      }
    }
    await world.run(60_000);
    expect(got).toEqual([...Array(300).keys()]);
    await Promise.all(results);
    expect(client.unanswered).toBe(0);
  });

  it('finds a dead connection by its heartbeat, and comes back', async () => {
    const { world, server, client, steps } = setup({ heartbeat: 'fixed' });
    const got = record(client.subscribe('room'));
    await world.until(() => client.state === 'live');
    await world.run(1000);
    server.connection.dead = true;
    server.publish('room', 'lost on the way');
    await world.run(35_000);
    expect(steps()).toEqual([
      'connecting started',
      'live welcomed',
      'doubtful heartbeat_late',
      'connecting heartbeat_missed',
      'live welcomed',
    ]);
    expect(got).toEqual(['1:lost on the way']);
  });

  it('verifies at once on a signal, and stays where the server answers', async () => {
    const { world, server, client, steps } = setup();
    await world.until(() => client.state === 'live');
    await world.run(1000);
    const before = server.connection.received.length;
    world.signals?.wokeUp();
    await world.run(100);
    expect(server.connection.received.slice(before).map(({ type }) => type)).toEqual(['ping']);
    expect(steps().slice(2)).toEqual(['doubtful woke_up', 'live proven']);
    expect(server.attempts).toBe(1);
  });

  it('goes over to another network before the old connection breaks', async () => {
    const { world, server, client, steps } = setup();
    const got = record(client.subscribe('room'));
    await world.until(() => client.state === 'live');
    await world.run(1000);
    server.connection.dead = true;
    server.publish('room', 'x');
    world.signals?.network(true, true);
    await world.run(200);
    expect(steps().slice(2)).toEqual(['doubtful network_changed', 'live welcomed']);
    expect(got).toEqual(['1:x']);
  });

  it('rests while the system says that it is offline, and is back when it is back', async () => {
    const { world, server, client, steps } = setup();
    await world.until(() => client.state === 'live');
    server.down = true;
    world.online = false;
    world.signals?.network(false, false);
    server.connection.close(1006);
    await world.run(29_000);
    expect(server.attempts).toBe(1);
    expect(client.state).toBe('offline');
    await world.run(3000);
    expect(server.attempts).toBe(2); // the rare probe
    server.down = false;
    world.signals?.network(true, false);
    await world.run(200);
    expect(client.state).toBe('live');
    expect(steps().slice(2, 4)).toEqual(['doubtful offline', 'offline connection_lost']);
  });

  it('follows a reconnect in its window, and nothing pauses', async () => {
    const { world, server, client, steps } = setup();
    const got = record(client.subscribe('room'));
    await world.until(() => client.state === 'live');
    await world.run(1000);
    const old = server.connection;
    old.send({ type: 'reconnect', after: [2000, 4000], code: 'draining' });
    await world.run(1900);
    expect(server.attempts).toBe(1);
    await world.run(2300);
    expect(server.attempts).toBe(2);
    expect(server.connection).not.toBe(old);
    server.publish('room', 'x');
    await world.run(100);
    expect(got).toEqual(['1:x']);
    expect(steps()).toEqual(['connecting started', 'live welcomed']);
  });

  it('stays away after 1000 and 4003, and after a 4001 that is nobody else but a stranger', async () => {
    for (const [code, cause] of [[1000, 'ended_by_server'], [4003, 'ended_by_server'], [4001, 'superseded'], [4002, 'token_expired']] as const) {
      const { world, server, client, states } = setup();
      await world.until(() => client.state === 'live');
      server.connection.close(code, 'because');
      await world.run(60_000);
      expect(states.at(-1)).toMatchObject({ to: 'ended', cause, closeCode: code, reason: 'because' });
      expect(server.attempts).toBe(1);
    }
  });

  it('does not take late timers for a dead connection: what has come is delivered first', async () => {
    const { world, server, client, steps } = setup({ heartbeat: 'fixed' });
    await world.until(() => client.state === 'live');
    await world.run(1000);
    const pings = (): number => server.connection.received.filter(({ type }) => type === 'ping').length;
    const before = pings();
    await world.until(() => pings() > before);
    // The page is frozen while the pong is on its way; both come to life together, the timer that waited for it first.
    await world.sleep(60_000);
    await world.run(1000);
    expect(client.state).toBe('live');
    expect(steps().filter((step) => step.includes('heartbeat_missed'))).toEqual([]);
    expect(server.attempts).toBe(1);
  });

  it('notices by its own clock that the machine slept', async () => {
    const { world, server, client, steps } = setup({ heartbeat: 'fixed' });
    await world.until(() => client.state === 'live');
    await world.run(1000);
    server.connection.dead = true;
    await world.sleep(3_600_000);
    await world.run(4000);
    expect(steps()).toContain('doubtful woke_up');
    await world.until(() => client.state === 'live', 10_000);
    expect(server.attempts).toBe(2);
  });

  it('closes its connection when the page is left, and resumes when it is back', async () => {
    const { world, server, client, steps } = setup();
    const got = record(client.subscribe('room'));
    await world.until(() => client.state === 'live');
    await world.run(500);
    const old = server.connection;
    world.signals?.leaving();
    await world.run(100);
    expect(old.open).toBe(false);
    server.publish('room', 'while away');
    await world.sleep(20_000);
    expect(server.attempts).toBe(1);
    world.signals?.wokeUp();
    await world.run(300);
    expect(got).toEqual(['1:while away']);
    expect(server.sessions.size).toBe(1);
    expect(steps().at(-1)).toBe('live welcomed');
  });

  it('asks the server to stretch its heartbeat while nobody looks', async () => {
    const { world, server, client } = setup();
    await world.until(() => client.state === 'live');
    await world.run(500);
    const asked = (): unknown[] => server.connection.received.filter(({ type }) => type === 'heartbeat').map(({ interval }) => interval);
    expect(asked()).toEqual([30_000]);
    world.signals?.background(true);
    await world.run(500);
    expect(asked()).toEqual([30_000, 60_000]);
    world.signals?.background(false);
    await world.run(500);
    expect(asked()).toEqual([30_000, 60_000, 30_000]);
  });
});

describe('publishing', () => {
  it('tells a refusal by a typed error', async () => {
    const { world, server, client } = setup();
    server.intercept = (connection, message) => {
      if (message['type'] !== 'data') return false;
      if (connection.session !== null) connection.session.lastSeq = message['seq'] as number;
      connection.send({ type: 'nack', seq: message['seq'], code: 'forbidden', reason: 'not for you' });
      return true;
    };
    const error = caught(client.publish('room', 1));
    await world.run(500);
    expect(await error).toBeInstanceOf(PublishRefused);
    expect(await error).toMatchObject({ code: 'forbidden', number: 4, channel: 'room', message: 'not for you' });
  });

  it('tells what is uncertain when the server has lost the session', async () => {
    const { world, server, client } = setup();
    await world.until(() => client.state === 'live');
    server.intercept = (_connection, message) => message['type'] === 'data';
    const error = caught(client.publish('room', { n: 1 }, { id: 'mine' }));
    await world.run(100);
    const behind = client.publish('room', 2);
    server.forgetSessions(false);
    server.connection.close(1006);
    server.intercept = null;
    await world.run(10_000);
    expect(await error).toBeInstanceOf(PublishUncertain);
    expect(await error).toMatchObject({ code: 'uncertain', id: 'mine', payload: { n: 1 } });
    void behind.catch(() => undefined);
  });

  it('sends again what a tombstone does not cover', async () => {
    const { world, server, client } = setup();
    const got = record(client.subscribe('room'));
    await world.until(() => client.state === 'live');
    await world.run(200);
    const first = client.publish('room', 'applied');
    await world.run(30); // on its way back
    server.forgetSessions(true);
    server.connection.open = false;
    const second = client.publish('room', 'not yet');
    await world.run(60_000);
    expect((await first).offset).toBeNull();
    expect((await second).offset).toBe(2);
    expect(got.filter((each) => each.includes('applied'))).toHaveLength(1);
  });

  it('is told by the next session what the last one had refused', async () => {
    const { world, server, client } = setup();
    await world.until(() => client.state === 'live');
    server.intercept = (connection, message) => {
      if (message['type'] !== 'data' || message['payload'] !== 'bad') return false;
      const { session } = connection;
      if (session !== null) session.lastSeq = message['seq'] as number;
      session?.refused.set(session.lastSeq, 'limit');
      return true; // The nack is lost with the session.
    };
    const bad = caught(client.publish('room', 'bad'));
    const good = client.publish('room', 'good');
    await world.run(30);
    server.forgetSessions(true);
    server.connection.open = false;
    await world.run(60_000);
    expect(await bad).toMatchObject({ code: 'limit', name: 'PublishRefused' });
    expect((await good).offset).toBeNull();
  });

  it('refuses what cannot be sent, before it is sent', async () => {
    const { world, client } = setup({ outboxMessages: 2, outboxBytes: 10_000 });
    expect(await caught(client.publish('', 1))).toMatchObject({ code: 'invalid' });
    expect(await caught(client.publish('a\nb', 1))).toMatchObject({ code: 'invalid' });
    expect(await caught(client.publish('room', undefined))).toMatchObject({ code: 'invalid' });
    expect(await caught(client.publish('room', 1n))).toMatchObject({ code: 'invalid' });
    expect(await caught(client.publish('room', 'x'.repeat(20_000)))).toMatchObject({ code: 'too_large' });
    const kept = [client.publish('room', 1), client.publish('room', 2)];
    expect(await caught(client.publish('room', 3))).toMatchObject({ code: 'outbox_full' });
    await world.run(500);
    await Promise.all(kept);
  });

  it('refuses above the limit that the server has told', async () => {
    const { world, client } = setup({}, (fake) => (fake.maxMessage = 10));
    await world.until(() => client.state === 'live');
    expect(await caught(client.publish('room', 'more than ten'))).toMatchObject({ code: 'too_large' });
    const small = client.publish('room', 'ten');
    await world.run(100);
    expect((await small).offset).toBe(1);
  });

  it('takes the oldest for refused after 1009', async () => {
    const { world, server, client } = setup();
    await world.until(() => client.state === 'live');
    server.intercept = (connection, message) => {
      if (message['type'] === 'data' && message['payload'] === 'huge') {
        connection.close(1009);
        return true;
      }
      return false;
    };
    const huge = caught(client.publish('room', 'huge'));
    const next = client.publish('room', 'next');
    await world.run(10_000);
    expect(await huge).toMatchObject({ code: 'too_large' });
    expect((await next).offset).toBe(1);
  });

  it('tells of each publish that is uncertain what that one was, whatever was refused beside it', async () => {
    const { world, server, client } = setup();
    await world.until(() => client.state === 'live');
    server.intercept = (_connection, message) => message['type'] === 'data';
    const publishes = ['one', 'two', 'three'].map((text) => caught(client.publish('room', text, { id: `id-${text}` })));
    await world.run(100);
    server.connection.send({ type: 'nack', seq: 2, code: 'forbidden', reason: 'no' });
    await world.run(100);
    server.connection.close(1000);
    await world.run(100);
    const [one, two, three] = await Promise.all(publishes);
    expect(one).toMatchObject({ name: 'PublishUncertain', id: 'id-one', payload: 'one' });
    expect(two).toMatchObject({ name: 'PublishRefused', code: 'forbidden' });
    expect(three).toMatchObject({ name: 'PublishUncertain', id: 'id-three', payload: 'three' });
    expect(client.unanswered).toBe(0);
  });

  it('keeps the bytes of a Buffer as they were, though its slice() copies nothing', async () => {
    const { world, server, client } = setup();
    const payload = Buffer.from('hello');
    const published = client.publish('room', payload);
    payload.fill(0);
    await world.run(500);
    await published;
    expect(server.connection.received.filter(({ type }) => type === 'data')).toMatchObject([{ payloadBase64: btoa('hello') }]);
  });

  it('keeps payloads as they were when they were published', async () => {
    const { world, client } = setup();
    const got: unknown[] = [];
    client.subscribe('room', (message) => got.push(message.payload));
    const payload = { n: 1 };
    const published = client.publish('room', payload);
    payload.n = 2;
    await world.run(500);
    await published;
    expect(got).toEqual([{ n: 1 }]);
  });
});

describe('subscriptions', () => {
  it('goes on behind a position, and tells by a gap what cannot be had', async () => {
    const { world, server, client } = setup({}, (fake) => (fake.keep = 3));
    for (let i = 1; i <= 6; i++) server.publish('room', i);
    const epoch = server.channel('room').epoch;
    const subscription = client.subscribe('room', { since: { epoch, offset: 1 } });
    const got = record(subscription);
    await world.run(500);
    expect(got).toEqual(['2-3 evicted', '4:4', '5:5', '6:6']);
    expect(await subscription.ready()).toMatchObject({ recovered: false, offset: 3 });
    expect(world.warnings).toEqual([]);
  });

  it('begins with the newest n', async () => {
    const { world, server, client } = setup();
    for (let i = 1; i <= 6; i++) server.publish('room', i);
    const got = record(client.subscribe('room', { last: 2 }));
    await world.run(500);
    expect(got).toEqual(['5:5', '6:6']);
  });

  it('latest: skips without a gap', async () => {
    const { world, server, client } = setup();
    for (let i = 1; i <= 6; i++) server.publish('price', i);
    const got = record(client.subscribe('price', { mode: 'latest' }));
    await world.run(500);
    server.connection.close(1006);
    server.publish('price', 7);
    server.publish('price', 8);
    await world.run(5000);
    expect(got).toEqual(['6:6', '8:8']);
  });

  it('tells of a channel that was begun anew', async () => {
    const { world, server, client } = setup();
    const got = record(client.subscribe('room'));
    await world.run(500);
    server.publish('room', 'old');
    await world.run(2000);
    server.forgetSessions(false);
    server.restartChannel('room');
    server.publish('room', 'new');
    server.connection.close(1006);
    await world.run(5000);
    expect(got).toEqual(['1:old', 'null-null epoch', '1:new']);
  });

  it('fills a hole that nobody told of', async () => {
    const { world, server, client } = setup();
    const got = record(client.subscribe('room'));
    await world.run(500);
    server.publish('room', 1);
    await world.run(100);
    const cursor = [...server.sessions.values()][0]?.cursors.get('room');
    if (cursor !== undefined) cursor.next = 4;
    server.channel('room').head = 1;
    server.publish('room', 2);
    server.publish('room', 3);
    server.publish('room', 4);
    await world.run(500);
    expect(got).toEqual(['1:1', '2:2', '3:3', '4:4']);
    expect(server.connection.received.some(({ type }) => type === 'sync_request')).toBe(true);
  });

  it('warns of a gap that nobody listens to', async () => {
    const { world, server, client } = setup({}, (fake) => (fake.keep = 1));
    server.publish('room', 1);
    server.publish('room', 2);
    client.subscribe('room', { since: { epoch: server.channel('room').epoch, offset: 0 } }, () => undefined);
    await world.run(500);
    expect(world.warnings).toHaveLength(1);
    expect(world.warnings[0]).toContain('messages 1 to 1 of "room"');
  });

  it('ends where the server refuses it, with the server\'s reason', async () => {
    const { world, server, client } = setup();
    server.intercept = (connection, message) => {
      if (message['type'] !== 'subscribe') return false;
      connection.send({ type: 'error', code: 'forbidden', reason: 'not yours', re: 'subscribe', channel: message['channel'] });
      return true;
    };
    const subscription = client.subscribe('secret');
    const ready = caught(subscription.ready());
    const loop = caught((async () => {
      for await (const item of subscription) void item;
    })());
    await world.run(500);
    expect(await ready).toMatchObject({ code: 'forbidden', message: 'not yours' });
    expect(await loop).toMatchObject({ code: 'forbidden' });
    expect(subscription.state).toBe('ended');
    expect(client.subscription('secret')).toBeUndefined();
  });

  it('repeats a subscribe that was refused for now', async () => {
    const { world, server, client } = setup();
    let refusals = 2;
    server.intercept = (connection, message) => {
      if (message['type'] !== 'subscribe' || refusals-- <= 0) return false;
      connection.send({ type: 'error', code: 'overloaded', reason: 'later', re: 'subscribe', channel: message['channel'] });
      return true;
    };
    const subscription = client.subscribe('room');
    await world.run(3000);
    expect(subscription.state).toBe('active');
  });

  it('follows a channel once, and again behind its end', async () => {
    const { world, server, client } = setup();
    const first = client.subscribe('room');
    expect(() => client.subscribe('room')).toThrow(/followed already/);
    expect(client.subscription('room')).toBe(first);
    await world.run(500);
    const left = first.unsubscribe();
    const second = client.subscribe('room');
    const got = record(second);
    expect(client.subscription('room')).toBe(second);
    await world.run(500);
    await left;
    server.publish('room', 'x');
    await world.run(500);
    expect(got).toEqual(['1:x']);
    expect(first.state).toBe('ended');
    expect(second.state).toBe('active');
  });

  it('delivers nothing after unsubscribe(), and nothing of a handler\'s error stops it', async () => {
    const { world, server, client } = setup();
    const got: unknown[] = [];
    const subscription = client.subscribe('room', (message) => {
      got.push(message.payload);
      if (message.payload === 2) void subscription.unsubscribe();
    });
    await world.run(500);
    for (let i = 1; i <= 4; i++) server.publish('room', i);
    await world.run(500);
    expect(got).toEqual([1, 2]);
  });

  it('has what the backend subscribes to', async () => {
    const { world, server, client } = setup();
    const got: string[] = [];
    client.on('subscription', (subscription) => subscription.on('message', (message) => got.push(`${subscription.channel} ${String(message.payload)}`)));
    await world.until(() => client.state === 'live');
    const session = [...server.sessions.values()][0];
    session?.cursors.set('pushed', { acked: 0, next: 1, latest: false });
    server.connection.send({ type: 'subscribed', channel: 'pushed', epoch: server.channel('pushed').epoch, offset: 0, recovered: true });
    server.publish('pushed', 'x');
    await world.run(500);
    expect(got).toEqual(['pushed x']);
  });

  it('acknowledges what it has, so that a resume does not bring it again', async () => {
    const { world, server, client } = setup();
    client.subscribe('room');
    await world.run(500);
    for (let i = 1; i <= 300; i++) server.publish('room', i);
    await world.run(100);
    const acks = (): unknown[] => server.connection.received.filter(({ type }) => type === 'ack').map(({ offset }) => offset);
    expect(acks()).toEqual([256]);
    await world.run(1500);
    expect(acks()).toEqual([256, 300]);
    server.publish('room', 301);
    await world.run(100);
    server.connection.send({ type: 'ping' });
    await world.run(100);
    expect(server.connection.received.at(-1)).toEqual({ type: 'pong', acks: { room: 301 } });
  });
});

describe('loops', () => {
  async function take(iterator: AsyncIterator<Delivery>, count: number): Promise<string[]> {
    const got: string[] = [];
    for (let i = 0; i < count; i++) {
      const { value, done } = await iterator.next();
      if (done === true) break;
      got.push(value.type === 'gap' ? `${value.from}-${value.to} ${value.code}` : `${value.offset}`);
    }
    return got;
  }

  it('gives what comes, and ends with the subscription', async () => {
    const { world, server, client } = setup();
    const subscription = client.subscribe('room');
    const got: unknown[] = [];
    const loop = (async () => {
      for await (const item of subscription) if (item.type === 'message') got.push(item.payload);
    })();
    await world.run(500);
    server.publish('room', 'a');
    server.publish('room', 'b');
    await world.run(500);
    const left = subscription.unsubscribe();
    await world.run(500);
    await left;
    await loop;
    expect(got).toEqual(['a', 'b']);
  });

  it('is bounded: the oldest go, and a gap stands in their place', async () => {
    const { world, server, client } = setup();
    const loop = client.subscribe('room').iterate({ limit: 3 });
    await world.run(500);
    for (let i = 1; i <= 10; i++) server.publish('room', i);
    await world.run(500);
    expect(await take(loop, 4)).toEqual(['1-7 overflow', '8', '9', '10']);
  });

  it('or it fails, where that was asked for', async () => {
    const { world, server, client } = setup();
    const loop = client.subscribe('room').iterate({ limit: 3, overflow: 'fail' });
    await world.run(500);
    for (let i = 1; i <= 10; i++) server.publish('room', i);
    await world.run(500);
    expect(await caught(take(loop, 1))).toMatchObject({ code: 'overflow' });
    expect(await loop.next()).toEqual({ done: true, value: undefined });
  });

  it('is over before it begins where its signal was given already, and leaves nothing behind', async () => {
    const { client } = setup();
    const subscription = client.subscribe('room');
    const loop = subscription.iterate({ signal: AbortSignal.abort() });
    expect(await loop.next()).toEqual({ done: true, value: undefined });
    expect((subscription as unknown as { queues: Set<unknown> }).queues.size).toBe(0);
  });

  it('ends on its signal', async () => {
    const { world, client } = setup();
    const abort = new AbortController();
    const loop = client.subscribe('room').iterate({ signal: abort.signal });
    const next = loop.next();
    await world.run(500);
    abort.abort();
    expect(await next).toEqual({ done: true, value: undefined });
  });
});

describe('requests', () => {
  it('history, presence, ping and call', async () => {
    const { world, server, client } = setup();
    server.publish('room', 'x');
    const answers = Promise.all([client.history('room'), client.presence('room'), client.ping(), client.call('sum', [1, 2])]);
    await world.run(500);
    const [history, presence, ping, called] = await answers;
    expect(history).toMatchObject({ channel: 'room', head: 1, messages: [{ type: 'message', offset: 1, payload: 'x' }] });
    expect(presence).toEqual([{ session: client.session, user: 'me' }]);
    expect(ping).toBe(80);
    expect(called).toEqual({ method: 'sum', got: [1, 2] });
  });

  it('are asked again after a break, but for calls, which are uncertain', async () => {
    const { world, server, client } = setup();
    await world.until(() => client.state === 'live');
    server.intercept = (_connection, message) => message['type'] === 'history' || message['type'] === 'call';
    const history = client.history('room');
    const call = caught(client.call('pay', 100));
    await world.run(100);
    server.intercept = null;
    server.connection.close(1006);
    await world.run(3000);
    expect((await history).head).toBe(0);
    expect(await call).toMatchObject({ code: 'uncertain' });
    expect(server.connection.received.some(({ type }) => type === 'call')).toBe(false);
  });

  it('end in time, and their late answers are nobody\'s', async () => {
    const { world, server, client } = setup({ requestTimeout: 5000 });
    server.down = true;
    const history = caught(client.history('room'));
    await world.run(6000);
    expect(await history).toMatchObject({ code: 'timeout' });
    server.down = false;
    await world.run(60_000);
    expect(client.state).toBe('live');
    expect(server.connections.some(({ received }) => received.some(({ type }) => type === 'history'))).toBe(false);
  });

  it('refuses what makes no sense', async () => {
    const { client } = setup();
    expect(await caught(client.history('room', { limit: 0 }))).toMatchObject({ code: 'invalid' });
    expect(await caught(client.history('room', { since: { epoch: 'x', offset: -1 } }))).toMatchObject({ code: 'invalid' });
    expect(await caught(client.call(''))).toMatchObject({ code: 'invalid' });
    expect(() => client.setToken('a b')).toThrow(HoldfastError);
    expect(() => client.setTolerance(0)).toThrow(HoldfastError);
  });
});

describe('members', () => {
  /** A server that has these members, a subscription that is told, and what it was told; `lose` leaves joins and leaves out. */
  async function watched(options = {}) {
    const made = setup();
    const { world, server, client } = made;
    const names = ['me'];
    let refusal: string | null = null;
    server.intercept = (connection, { type, id, channel }) => {
      if (type !== 'presence') return false;
      if (refusal === null) connection.send({ type, id, channel, members: names.map((name) => ({ session: name, user: name })) });
      else connection.send({ type: 'error', re: 'presence', id, channel, code: refusal, reason: 'no' });
      return true;
    };
    const told: unknown[] = [];
    const problems: unknown[] = [];
    client.on('problem', ({ error, channel }) => problems.push([error.code, channel]));
    const subscription = client.subscribe('room', options);
    const asked = (): number => server.connections.flatMap(({ received }) => received).filter(({ type }) => type === 'presence').length;
    const told_ = (members: { members: readonly { user: string }[]; error: HoldfastError | null }): unknown =>
      told.push(members.error?.code ?? members.members.map(({ user }) => user).join());
    const lose = (code = 'overloaded'): void => server.connection.send({ type: 'error', re: 'presence', channel: 'room', code, reason: 'left out' });
    await world.run(500);
    return { ...made, names, told, problems, subscription, asked, lose, listen: () => subscription.on('members', told_), refuse: (code: string | null) => (refusal = code) };
  }

  it('are told to who listens, from the list on, before what changes in it', async () => {
    const { world, server, told, asked, subscription, listen } = await watched();
    expect(asked()).toBe(0);
    subscription.on('join', ({ user }) => told.push(`+${user}`));
    server.connection.send({ type: 'join', channel: 'room', session: 's', user: 'early' }); // Nobody has asked for it.
    await world.run(100);
    const off = listen();
    server.intercept = ((before) => (connection, message) => {
      const was = before?.(connection, message) === true;
      // In the same flight.
      if (message['type'] === 'presence') connection.send({ type: 'join', channel: 'room', session: 's', user: 'ann' });
      return was;
    })(server.intercept);
    await world.run(500);
    expect(told).toEqual(['me', '+ann']);
    const subscribes = (): unknown[] => server.connection.received.filter(({ type }) => type === 'subscribe');
    expect(subscribes()).toEqual([{ type: 'subscribe', channel: 'room' }, { type: 'subscribe', channel: 'room', presence: true }]);
    off();
    await world.run(500);
    expect(subscribes().at(-1)).toEqual({ type: 'subscribe', channel: 'room', presence: false });
    server.connection.send({ type: 'join', channel: 'room', session: 's', user: 'late' });
    await world.run(500);
    expect(told).toEqual(['me', '+ann']);
  });

  it('are asked for again where some were left out, behind a pause that doubles, and is short again after a calm minute', async () => {
    const { world, names, told, asked, listen, lose } = await watched({ presence: true });
    listen();
    await world.run(500);
    const pauses: number[] = [];
    for (let i = 0; i < 8; i++) {
      const [before, began] = [asked(), world.now];
      names.push(`${i}`);
      lose();
      lose(); // Of which one list makes up for all.
      await world.until(() => asked() > before);
      pauses.push(world.now - began);
      await world.run(500);
      expect(asked()).toBe(before + 1);
      expect(told.at(-1)).toBe(names.join());
    }
    pauses.forEach((pause, i) => expect(pause, `pause ${i}`).toBeGreaterThanOrEqual(Math.min(30_000, 1000 * 2 ** i) / 4));
    expect(Math.max(...pauses)).toBeLessThanOrEqual(30_200);
    await world.run(61_000);
    const [before, began] = [asked(), world.now];
    lose();
    await world.until(() => asked() > before);
    expect(world.now - began).toBeLessThanOrEqual(1200);
  });

  it('are asked for again where the answer was refused for now, and not where it was for good', async () => {
    const { world, told, asked, listen, lose, refuse } = await watched({ presence: true });
    refuse('overloaded');
    listen();
    await world.run(200);
    refuse(null);
    await world.run(3000);
    expect(told).toEqual(['overloaded', 'me']);
    lose('limit');
    await world.run(60_000);
    expect([told, asked()]).toEqual([['overloaded', 'me', 'limit'], 2]);
  });

  it('are followed all the same where only the wish for joins and leaves was refused for now, while the list was on its way', async () => {
    const { world, server, told, asked, subscription, listen } = await watched();
    let refusals = 1;
    server.intercept = ((before) => (connection, message) => {
      if (message['type'] !== 'subscribe' || message['presence'] !== true || refusals-- <= 0) return before?.(connection, message) === true;
      connection.send({ type: 'error', re: 'subscribe', channel: 'room', code: 'rate_limited', reason: 'too much at once' });
      return true;
    })(server.intercept);
    subscription.on('join', ({ user }) => told.push(`+${user}`));
    listen();
    await world.run(3000);
    expect(server.connection.received.filter(({ presence }) => presence === true)).toHaveLength(2);
    expect([told, asked()]).toEqual([['me', 'me'], 2]); // Who came in between is in the second.
    await world.run(60_000);
    expect(asked()).toBe(2);
  });

  it('are a problem where nobody listens', async () => {
    const { world, problems, asked, lose } = await watched({ presence: true });
    lose();
    await world.run(60_000);
    expect([problems, asked()]).toEqual([[['overloaded', 'room']], 0]);
  });

  it('are asked for by a session that knows how many answers it waits for', async () => {
    const { world, server, client, steps, told, subscription, listen } = await watched();
    // Changed twice before the first answer, and the connection is lost with both.
    const off = listen();
    off();
    const last = listen();
    server.connection.dead = true;
    await world.until(() => client.state !== 'live', 10_000);
    await world.until(() => client.state === 'live', 60_000);
    await world.run(1000);
    expect(told.at(-1)).toBe('me');
    expect(server.connection.received.filter(({ type }) => type === 'subscribe')).toEqual([{ type: 'subscribe', channel: 'room', presence: true }]);
    last();
    const left = subscription.unsubscribe(); // Before the answer to that.
    await world.run(500);
    await left;
    const before = steps().length;
    await world.run(20_000);
    expect(steps().slice(before)).toEqual([]); // No answer is still waited for, which would be a doubt.
  });
});

describe('closing', () => {
  it('says goodbye, and settles what waits', async () => {
    const { world, server, client, steps } = setup();
    const subscription = client.subscribe('room');
    await world.until(() => client.state === 'live');
    server.intercept = (_connection, message) => message['type'] === 'data';
    const sent = caught(client.publish('room', 1));
    await world.run(100);
    const closed = client.close();
    await world.run(200);
    await closed;
    expect(await sent).toBeInstanceOf(PublishUncertain);
    expect(server.sessions.size).toBe(0);
    expect(subscription.state).toBe('ended');
    expect(steps().slice(2)).toEqual(['closing closed', 'ended closed']);
    await client.close();
  });

  it('waits for a silent server two seconds at most', async () => {
    const { world, server, client } = setup();
    await world.until(() => client.state === 'live');
    server.connection.dead = true;
    const begun = world.now;
    let over = 0;
    void client.close().then(() => (over = world.now));
    await world.run(3000);
    expect(over - begun).toBe(2000);
  });

  it('ends at once where there is no connection, and what was never sent is told so', async () => {
    const { client } = setup({}, (fake) => (fake.down = true));
    const publish = caught(client.publish('room', 1));
    await client.close();
    await flush();
    expect(client.state).toBe('ended');
    expect(await publish).toMatchObject({ code: 'closed' });
  });
});

/** An outbox's store whose saves take so long on the world's clock. */
class SlowStore implements OutboxStore {
  state: StoredState = { firstId: 1, sentId: 0, seqBase: 0, attempts: 0, ticket: '' };
  publishes: StoredPublish[] = [];

  constructor(
    private readonly world: World,
    private readonly saveMs: number,
  ) {}

  load(): ReturnType<OutboxStore['load']> {
    return Promise.resolve({ state: this.state, publishes: [...this.publishes] });
  }

  put(publish: StoredPublish): void {
    this.publishes.push(publish);
  }

  refuse(): void {
    throw new Error('nothing is refused here');
  }

  save(state: StoredState): Promise<void> {
    return new Promise((resolve) => {
      this.world.after(this.saveMs, () => {
        this.state = state;
        this.publishes = this.publishes.filter(({ publishId }) => publishId >= state.firstId);
        resolve();
      });
    });
  }

  close(): void {
    // Another may have it at any time.
  }
}

describe('a kept outbox', () => {
  it.each([
    { when: 'while that is being saved', saveMs: 100, buffered: 0 },
    { when: 'when that has been saved', saveMs: 0, buffered: 1e6 },
  ])('notes at the end what was sent, and not what might have been sent next, $when', async ({ saveMs, buffered }) => {
    const world = new World();
    const server = new FakeServer(world);
    const { open } = server.transport();
    // A socket that says that it is full gets no publishes.
    let bufferedAmount = 0;
    const transport: Transport = {
      open: (request, events) => {
        const connection = open(request, events);
        return {
          send: (data) => connection.send(data),
          close: (code, reason) => connection.close(code, reason),
          get bufferedAmount() {
            return bufferedAmount;
          },
        };
      },
    };
    const outbox = new SlowStore(world, saveMs);
    const client = new HoldfastClient('ws://fake/ws', { transport, storage: { outbox } }, world.platform(), wholeParts);
    await world.until(() => client.state === 'live');
    await world.run(1000);
    bufferedAmount = buffered;
    server.intercept = (_connection, message) => message['type'] === 'data';
    const payload = 'x'.repeat(40_000);
    const publishes = [1, 2, 3, 4].map(() => caught(client.publish('room', payload)));
    if (buffered > 0) await world.until(() => outbox.state.sentId === publishes.length, 1000);
    server.connection.close(1000);
    await world.run(90);
    expect(client.state).toBe('ended');
    const received = server.connections.flatMap((connection) => connection.received.filter(({ type }) => type === 'data')).length;
    await Promise.all(publishes);
    await world.run(1000);
    expect(received).toBeLessThan(4);
    expect(outbox.state.sentId).toBe(received);
    expect(outbox.publishes.length).toBe(4);
  });
});

describe('options', () => {
  it('refuses what makes no sense, and says why', () => {
    const world = new World();
    const make = (url: string | string[], options: HoldfastOptions = {}): HoldfastClient =>
      new HoldfastClient(url, { transport: new FakeServer(world).transport(), ...options }, world.platform(), wholeParts);
    expect(() => make('http://x')).toThrow(/no URL of a server/);
    expect(() => make([])).toThrow(/1 to 8 URLs/);
    expect(() => make('ws://x', { token: 'a b' })).toThrow(/"token"/);
    expect(() => make('ws://x', { tolerance: 0 })).toThrow(/"tolerance"/);
    expect(() => make('ws://x', { window: Number.NaN })).toThrow(/"window"/);
    expect(() => make('ws://x', { heartbeat: 'none' as 'fixed' })).toThrow(/"heartbeat"/);
    expect(() => make('ws://x', { encoding: 'xml' as 'json' })).toThrow(/"encoding"/);
  });
});
