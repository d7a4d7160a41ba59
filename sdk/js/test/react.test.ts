// @vitest-environment jsdom
/** The hooks of src/react.ts, in React as a page has it, against the small server of world.ts in virtual time. Every component is rendered in StrictMode, which ends and repeats each effect. */
import { act, createElement, StrictMode, type ReactElement, type ReactNode } from 'react';
import { createRoot, hydrateRoot, type Root } from 'react-dom/client';
import { renderToString } from 'react-dom/server';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { wholeParts } from '../src/client/whole.js';
import { HoldfastClient } from '../src/holdfast.js';
import { HoldfastProvider, useChannel, useConnection, usePresence, type Channel, type ChannelOptions, type ChannelPresence, type Connection } from '../src/react.js';
import type { Client, HoldfastOptions } from '../src/types.js';
import { FakeServer, World } from './world.js';

Object.assign(globalThis, { IS_REACT_ACT_ENVIRONMENT: true });

const roots: Root[] = [];

afterEach(() => {
  act(() => roots.splice(0).forEach((root) => root.unmount()));
  vi.restoreAllMocks();
});

function setup(options: HoldfastOptions = {}) {
  const world = new World();
  const server = new FakeServer(world);
  const client = new HoldfastClient('ws://fake/ws', { transport: server.transport(), ...options }, world.platform(), wholeParts);
  const element = document.createElement('div');
  const root = createRoot(element);
  roots.push(root);
  return {
    world,
    server,
    client,
    element,
    run: (ms = 500) => act(() => world.run(ms)),
    render: (children: ReactNode, of: Client = client) => act(() => root.render(page(of, children))),
    /** What clients have asked for, in order, as "subscribe room". */
    asked: (...types: string[]) =>
      server.connections.flatMap(({ received }) => received).filter(({ type }) => types.includes(type as string)).map(({ type, channel }) => `${String(type)} ${String(channel)}`),
  };
}

function page(client: Client, children: ReactNode): ReactElement {
  return createElement(StrictMode, null, createElement(HoldfastProvider, { client }, children));
}

/** A component that shows a channel, and keeps what it was given last in `seen`. */
function Room({ name, options, seen }: { name: string; options?: ChannelOptions<string>; seen?: { channel?: Channel<string> } }): ReactElement {
  const channel = useChannel<string>(name, options);
  if (seen !== undefined) seen.channel = channel;
  return createElement('p', null, `${name}: ${channel.messages.map(({ payload }) => payload).join(' ')}`);
}

const room = (name: string, options: ChannelOptions<string> = {}, seen: { channel?: Channel<string> } = {}, key = 'one'): ReactElement =>
  createElement(Room, { name, options, seen, key });

describe('useChannel', () => {
  it('subscribes once in StrictMode, and each message comes once and in order', async () => {
    const { server, element, render, run, asked } = setup();
    const heard: string[] = [];
    await run(); // With a connection: without one, what is taken back is never sent.
    render(room('room', { onMessage: ({ payload }) => heard.push(payload) }));
    await run();
    for (const text of ['a', 'b', 'c']) server.publish('room', text);
    await run();
    expect(asked('subscribe', 'unsubscribe')).toEqual(['subscribe room']);
    expect(element.textContent).toBe('room: a b c');
    expect(heard).toEqual(['a', 'b', 'c']);
  });

  it('tells the state, the newest message, and publishes by a function that stays the same', async () => {
    const { render, run } = setup();
    const seen: { channel?: Channel<string> } = {};
    render(room('room', {}, seen));
    expect(seen.channel).toMatchObject({ state: 'pending', error: null, last: null, items: [], gaps: [] });
    const publish = seen.channel!.publish;
    const published = publish('hello', { id: 'own' });
    await run();
    expect(await published).toMatchObject({ channel: 'room', offset: 1 });
    expect(seen.channel).toMatchObject({ state: 'active', last: { payload: 'hello', id: 'own' } });
    expect(seen.channel!.publish).toBe(publish);
  });

  it('gives the newest messages only, to each component as many as it wants, and all to onMessage', async () => {
    const { server, element, render, run } = setup();
    const heard: string[] = [];
    render([room('room', { limit: 2, onMessage: ({ payload }) => heard.push(payload) }), room('room', { limit: 3 }, {}, 'two')]);
    await run();
    for (const text of ['a', 'b', 'c', 'd']) server.publish('room', text);
    await run();
    expect(element.textContent).toBe('room: c droom: b c d');
    expect(heard).toEqual(['a', 'b', 'c', 'd']);
  });

  it('shares one subscription, which the last component ends', async () => {
    const { server, client, element, render, run, asked } = setup();
    render([room('room'), room('room', {}, {}, 'two')]);
    await run();
    render(room('room', {}, {}, 'two'));
    await run();
    server.publish('room', 'a');
    await run();
    expect(element.textContent).toBe('room: a');
    // The next one begins with what the other has.
    render([room('room', {}, {}, 'two'), room('room', {}, {}, 'three')]);
    expect(element.textContent).toBe('room: aroom: a');
    expect(asked('subscribe', 'unsubscribe')).toEqual(['subscribe room']);
    render(null);
    await run();
    expect(asked('subscribe', 'unsubscribe')).toEqual(['subscribe room', 'unsubscribe room']);
    expect(client.subscription('room')).toBeUndefined();
  });

  it('loses nothing where one component follows another in the same rendering', async () => {
    const { server, element, render, run, asked } = setup();
    render(room('room'));
    await run();
    server.publish('room', 'a');
    await run();
    render(room('room', {}, {}, 'other'));
    server.publish('room', 'b');
    await run();
    expect(element.textContent).toBe('room: a b');
    expect(asked('subscribe', 'unsubscribe')).toEqual(['subscribe room']);
  });

  it('moves on to another channel, to another client, and back', async () => {
    const first = setup();
    const { server, element, render, run, asked } = first;
    render(room('one'));
    await run();
    server.publish('one', 'a');
    await run();
    render(room('two'));
    expect(element.textContent).toBe('two: ');
    await run();
    server.publish('one', 'b');
    server.publish('two', 'c');
    await run();
    expect(element.textContent).toBe('two: c');
    expect(asked('subscribe', 'unsubscribe').sort()).toEqual(['subscribe one', 'subscribe two', 'unsubscribe one']);
    const second = setup();
    render(room('two'), second.client);
    await second.run();
    second.server.publish('two', 'd');
    await second.run();
    expect(element.textContent).toBe('two: d');
    await run();
    expect(first.client.subscription('two')).toBeUndefined();
    render(room('one', { last: 2 }));
    await run();
    expect(element.textContent).toBe('one: a b');
  });

  it('shows a gap where messages are missing', async () => {
    const { world, server, client, render, run } = setup();
    const seen: { channel?: Channel<string> } = {};
    const heard: unknown[] = [];
    render(room('room', { onGap: ({ from, to }) => heard.push([from, to]) }, seen));
    await run();
    server.publish('room', 'a');
    await run();
    server.keep = 1;
    server.connection.close(1011);
    server.down = true;
    await run(50);
    for (const text of ['b', 'c', 'd']) server.publish('room', text);
    server.down = false;
    await act(() => world.until(() => client.state === 'live'));
    await run();
    expect(seen.channel!.items.map((item) => (item.type === 'gap' ? `${item.from}-${item.to} ${item.code}` : item.payload))).toEqual(['a', '2-3 evicted', 'd']);
    expect(seen.channel!.gaps).toHaveLength(1);
    expect(heard).toEqual([[2, 3]]);
  });

  it('ends with the error of what is refused', async () => {
    const { render, run } = setup();
    const seen: { channel?: Channel<string> } = {};
    render(room('', {}, seen));
    await run();
    expect(seen.channel).toMatchObject({ state: 'ended', error: { code: 'invalid' } });
  });

  it('uses the subscription that the application has, and leaves it to it', async () => {
    const { server, client, element, render, run } = setup();
    const own = client.subscribe('room');
    await run();
    render(room('room'));
    server.publish('room', 'a');
    await run();
    expect(element.textContent).toBe('room: a');
    render(null);
    await run();
    expect(own.state).toBe('active');
    expect(client.subscription('room')).toBe(own);
  });

  it('subscribes anew for another mode, behind what has come, and says where two want different ones', async () => {
    const { server, element, render, run, asked } = setup();
    render(room('room', { mode: 'latest' }));
    await run();
    server.publish('room', 'a');
    await run();
    render(room('room', { mode: 'all' }));
    server.publish('room', 'b');
    server.publish('room', 'c');
    await run();
    expect(element.textContent).toBe('room: b c');
    expect(asked('subscribe', 'unsubscribe')).toEqual(['subscribe room', 'unsubscribe room', 'subscribe room']);
    const seen: { channel?: Channel<string> } = {};
    render([room('room', { mode: 'all' }), room('room', { mode: 'latest' }, seen, 'two')]);
    await run();
    expect(seen.channel).toMatchObject({ state: 'ended', error: { code: 'exists' } });
    expect(element.textContent).toBe('room: b croom: ');
  });

  it('refuses a limit that is none, and to be used without a client', () => {
    const { render, element } = setup();
    vi.spyOn(console, 'error').mockImplementation(() => undefined);
    expect(() => render(room('room', { limit: 0 }))).toThrow('"limit" is no whole number from 1 to 10000');
    expect(() => renderToString(createElement(Room, { name: 'room' }))).toThrow('HoldfastProvider');
    expect(element.textContent).toBe('');
  });
});

describe('useConnection', () => {
  it('tells the state, why, and when the next attempt is', async () => {
    const { world, server, client, render, run } = setup();
    let seen: Connection | undefined;
    const Status = (): null => ((seen = useConnection()), null);
    render(createElement(Status));
    await run();
    expect(seen).toMatchObject({ state: 'live', cause: 'welcomed', nextAttemptAt: null });
    vi.spyOn(Date, 'now').mockReturnValue(1_000_000);
    server.down = true;
    server.connection.close(1011);
    await act(() => world.until(() => client.state === 'waiting'));
    await act(() => world.until(() => client.state === 'connecting'));
    await act(() => world.until(() => client.state === 'waiting'));
    expect(seen).toMatchObject({ state: 'waiting', cause: 'unreachable' });
    expect(seen!.nextAttempt).toBeGreaterThan(0);
    expect(seen!.nextAttemptAt).toBe(1_000_000 + seen!.nextAttempt!);
    render(null);
    server.down = false;
    await act(() => world.until(() => client.state === 'live'));
    // Nobody looked meanwhile: the state is known, and why is not.
    render(createElement(Status));
    expect(seen).toEqual({ state: 'live', cause: null, evidence: '', nextAttempt: null, nextAttemptAt: null });
  });
});

describe('usePresence', () => {
  let seen: ChannelPresence | undefined;
  const Who = ({ name }: { name: string }): null => ((seen = usePresence(name)), null);

  /** As far as the server of these tests knows of presence: whom the list has, and who was told to come or go. */
  function members(server: FakeServer, names: string[]): (type: 'join' | 'leave', name: string) => void {
    const of = (name: string) => ({ session: `s-${name}`, user: name });
    server.intercept = (connection, { type, id, channel }) => {
      if (type === 'presence') connection.send({ type, id, channel, members: names.map(of) });
      return type === 'presence';
    };
    return (type, name) => {
      if (type === 'join') names.push(name);
      else names.splice(names.indexOf(name), 1);
      server.connection.send({ type, channel: 'room', ...of(name) });
    };
  }
  const users = (): string => seen!.members.map(({ user }) => user).join();

  it('follows who comes and goes, asks again when it is told to, and ends with the component', async () => {
    const { server, client, render, run, asked } = setup();
    const tell = members(server, ['me']);
    await run(); // With a connection, so that what is taken back would have been sent.
    render(createElement(Who, { name: 'room' }));
    expect(seen).toMatchObject({ state: 'loading', members: [], error: null });
    await run();
    expect(seen).toMatchObject({ state: 'known', members: [{ user: 'me' }], error: null });
    tell('join', 'ann');
    tell('join', 'bob');
    await run();
    tell('leave', 'ann');
    await run();
    expect(users()).toBe('me,bob');
    act(() => seen!.refresh());
    expect(seen!.state).toBe('known');
    await run();
    expect(asked('presence', 'unsubscribe')).toEqual(['presence room', 'presence room']);
    render(createElement(Who, { name: 'other' }));
    expect(seen).toMatchObject({ state: 'loading', members: [] });
    await run();
    expect(seen!.state).toBe('known');
    expect(asked('presence', 'unsubscribe').slice(2).sort()).toEqual(['presence other', 'unsubscribe room']);
    render(null);
    await run();
    expect(client.subscription('other')).toBeUndefined();
  });

  it('asks again after a break, in the same session and in another, and where the server has left something out', async () => {
    const { world, server, client, render, run, asked } = setup();
    const names = ['me'];
    members(server, names);
    render(createElement(Who, { name: 'room' }));
    await run();
    for (const [i, harm] of [() => undefined, () => server.forgetSessions(false)].entries()) {
      server.connection.close(1011);
      harm();
      names.push(`missed ${i}`);
      await act(() => world.until(() => client.state !== 'live'));
      await act(() => world.until(() => client.state === 'live'));
      await run();
      expect(users()).toBe(names.join());
      expect(asked('presence')).toHaveLength(i + 2);
    }
    names.push('left out');
    server.connection.send({ type: 'error', re: 'presence', channel: 'room', code: 'overloaded', reason: 'joins and leaves were left out' });
    await run(100);
    expect(asked('presence')).toHaveLength(3); // One of many: not at once.
    await run(1500);
    expect(asked('presence')).toHaveLength(4);
    expect(users()).toBe(names.join());
  });

  it('tells again why nobody knows, where the channel has ended for those who still look at it', async () => {
    const { server, render, run } = setup();
    members(server, ['me']);
    const both = [room('room'), createElement(Who, { name: 'room', key: 'who' })];
    render(both);
    await run();
    server.connection.send({ type: 'unsubscribed', channel: 'room', code: 'forbidden', reason: 'not any more' });
    await run();
    expect(seen).toMatchObject({ state: 'failed', error: { code: 'forbidden' } });
    render(room('room'));
    await run();
    render(both);
    await run();
    expect(seen).toMatchObject({ state: 'failed', error: { code: 'forbidden' } });
  });

  it('shares the subscription of a component that follows the channel, and leaves it where it began', async () => {
    const { server, element, render, run, asked } = setup();
    members(server, ['me']);
    for (const text of ['a', 'b', 'c']) server.publish('room', text);
    await run();
    // Its effect comes first.
    render([createElement(Who, { name: 'room', key: 'who' }), room('room', { last: 2 })]);
    await run();
    expect(element.textContent).toBe('room: b c');
    expect(users()).toBe('me');
    expect(asked('subscribe', 'unsubscribe')).toEqual(['subscribe room', 'subscribe room']); // With the second it asks for presence.
    render(room('room'));
    server.publish('room', 'd');
    await run();
    expect(element.textContent).toBe('room: b c d');
    // One that comes later begins where it wants, though the channel is followed for presence.
    render(createElement(Who, { name: 'room', key: 'who' }));
    await run();
    render([createElement(Who, { name: 'room', key: 'who' }), room('room', { last: 3 })]);
    await run();
    expect(users()).toBe('me');
    server.publish('room', 'e');
    await run();
    expect(element.textContent).toContain('d e');
  });

  it('asks once without following where that is wanted, and again when it is told to or the channel is another', async () => {
    const { render, run, asked } = setup();
    const Asked = ({ name }: { name: string }): null => ((seen = usePresence(name, { follow: false })), null);
    render(createElement(Asked, { name: 'room' }));
    expect(seen).toMatchObject({ state: 'loading', members: [], error: null });
    await run();
    expect(seen).toMatchObject({ state: 'known', members: [{ user: 'me' }], error: null });
    expect(asked('presence', 'subscribe')).toEqual(['presence room']);
    act(() => seen!.refresh());
    expect(seen!.state).toBe('known');
    await run();
    render(createElement(Asked, { name: 'other' }));
    expect(seen).toMatchObject({ state: 'loading', members: [] });
    await run();
    expect(seen!.state).toBe('known');
    expect(asked('presence', 'subscribe')).toEqual(['presence room', 'presence room', 'presence other']);
  });

  it('says that the server has none', async () => {
    const { server, render, run } = setup();
    server.intercept = (connection, { type, id }) => {
      if (type === 'presence') connection.send({ type: 'error', code: 'unavailable', reason: 'no presence here', re: 'presence', id });
      return type === 'presence';
    };
    render(createElement(Who, { name: 'room' }));
    await run();
    expect(seen).toMatchObject({ state: 'failed', members: [], error: { code: 'unavailable', message: 'no presence here' } });
  });
});

describe('on a server', () => {
  it('asks for nothing, and the page goes on from there', async () => {
    const { world, server, client } = setup({ autoConnect: false });
    const App = (): ReactElement => createElement('main', null, useConnection().state, ' ', useChannel<string>('room').state, ' ', usePresence('room').state, ' ', room('room'));
    const html = renderToString(page(client, createElement(App)));
    await world.run(1000);
    expect(html).toContain('waiting');
    expect(html).toContain('pending');
    expect(client.subscription('room')).toBeUndefined();
    expect(server.attempts).toBe(0);

    const element = document.createElement('div');
    element.innerHTML = html;
    const errors = vi.spyOn(console, 'error');
    client.connect();
    await world.run(500); // Live before the page is taken over: what was rendered on the server must still match.
    server.channel('room');
    await act(async () => void roots.push(hydrateRoot(element, page(client, createElement(App)))));
    await act(() => world.run(500));
    server.publish('room', 'a');
    await act(() => world.run(500));
    expect(element.textContent).toContain('live active known');
    expect(element.textContent).toContain('room: a');
    expect(errors).not.toHaveBeenCalled();
  });
});
