// @vitest-environment jsdom
/** The hooks of src/react.ts against a real server, by a client of their own and by one that two tabs share: where HOLDFAST names its binary. */
import { IDBFactory as FakeFactory, IDBKeyRange } from 'fake-indexeddb';
import { createElement, type ReactElement } from 'react';
import { createRoot } from 'react-dom/client';
import { afterEach, describe, expect, it } from 'vitest';
import WebSocket from 'ws';
import { Holdfast, webSocketTransport } from '../src/index.node.js';
import { HoldfastProvider, useChannel, useConnection, usePresence, type Channel, type ChannelPresence, type Connection } from '../src/react.js';
import { SharedHoldfast } from '../src/shared/shared_holdfast.js';
import type { Client } from '../src/types.js';
import { FakeBroadcasts } from './fake_broadcast.js';
import { FakeLocks } from './fake_locks.js';
import { Page } from './page.js';
import { holdfast, RealServer, TokenKey, until } from './real_server.js';

Object.assign(globalThis, { IDBKeyRange });

const ends: (() => unknown)[] = [];

afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

interface Seen {
  channel?: Channel<string>;
  presence?: ChannelPresence;
  connection?: Connection;
}

function Room({ seen }: { seen: Seen }): ReactElement {
  seen.presence = usePresence('room');
  seen.channel = useChannel<string>('room', { last: 2 });
  seen.connection = useConnection();
  return createElement('p', null, seen.channel.messages.map(({ payload }) => payload).join(' '));
}

/** What a component has seen last, and the text of its page. What comes from outside is not wrapped in act(): the time is real. */
function show(client: Client): { seen: Seen; element: HTMLElement } {
  const element = document.createElement('div');
  const root = createRoot(element);
  ends.push(() => root.unmount());
  const seen: Seen = {};
  root.render(createElement(HoldfastProvider, { client }, createElement(Room, { seen })));
  return { seen, element };
}

const users = ({ presence }: Seen): string => presence?.members.map(({ user }) => user).sort().join() ?? '';

async function serve(options: readonly string[]): Promise<RealServer> {
  const server = new RealServer(options);
  ends.push(() => server.stop('SIGKILL'));
  await server.start();
  return server;
}

function keyOf(): TokenKey {
  const key = new TokenKey();
  ends.push(() => key.remove());
  return key;
}

function clientOf(server: RealServer, token: string): Holdfast {
  const client = new Holdfast(server.url, { token, transport: webSocketTransport(WebSocket) });
  ends.push(() => client.close());
  client.on('problem', ({ error }) => void error);
  return client;
}

/** What must hold of a page that follows the room, while others come, go and publish, and all workers are killed. */
async function roomHolds(server: RealServer, key: TokenKey, client: Client): Promise<void> {
  const bob = clientOf(server, key.sign('bob', 3600));
  for (const text of ['a', 'b', 'c']) await bob.publish('room', text);
  const { seen, element } = show(client);
  await until(() => users(seen) === 'ann' && element.textContent === 'b c', 'the newest two, and oneself');
  expect(seen.connection?.state).toBe('live');
  await bob.subscribe('room').ready();
  await until(() => users(seen) === 'ann,bob', 'bob is there');
  await server.killWorkers();
  const carl = clientOf(server, key.sign('carl', 3600));
  await carl.subscribe('room').ready();
  await until(() => users(seen) === 'ann,bob,carl', 'carl is there, of whom nobody may have told');
  await bob.close();
  await until(() => users(seen) === 'ann,carl', 'bob is gone');
  await carl.publish('room', 'd');
  await until(() => element.textContent === 'b c d', 'the message behind all that');
  await seen.channel?.publish('e');
  await until(() => element.textContent === 'b c d e', 'its own message');
  expect(seen.channel).toMatchObject({ state: 'active', gaps: [], error: null });
  expect(seen.presence).toMatchObject({ state: 'known', error: null });
}

describe.skipIf(holdfast === undefined)('the hooks for React and a real server', () => {
  it('show a channel and who is there', async () => {
    const key = keyOf();
    const server = await serve(key.options());
    await roomHolds(server, key, clientOf(server, key.sign('ann', 3600)));
  });

  it('show them by a shared connection, also in a tab that does not lead, and when the leader is closed', async () => {
    const key = keyOf();
    const server = await serve(key.options());
    const [locks, broadcasts, indexedDB] = [new FakeLocks(), new FakeBroadcasts(), new FakeFactory()];
    const tab = async (name: string): Promise<{ page: Page; client: SharedHoldfast }> => {
      const page = new Page(name);
      page.whenKilled(() => locks.kill(name));
      const client = new SharedHoldfast(server.url, {
        token: key.sign('ann', 3600), indexedDB, locks: locks.of(name), openBroadcast: broadcasts.of(page), platform: page.platform(webSocketTransport(WebSocket)), heartbeat: 'fixed',
      });
      client.on('problem', ({ error }) => void error);
      await client.connected();
      return { page, client };
    };
    const leader = await tab('leader');
    const other = await tab('other');
    expect([leader.client.leads, other.client.leads]).toEqual([true, false]);
    await roomHolds(server, key, other.client);
    const { seen, element } = show(leader.client);
    await until(() => users(seen) === 'ann,carl' && element.textContent === 'd e', 'the other tab has it, too');
    const last = show(other.client);
    await leader.client.close();
    await until(() => other.client.leads, 'the other one leads');
    const dora = clientOf(server, key.sign('dora', 3600));
    await dora.subscribe('room').ready();
    await dora.publish('room', 'f');
    // The session of the leader that is gone may be a member for a while yet (docs/shared-connection.md).
    await until(() => [...new Set(users(last.seen).split(','))].join() === 'ann,carl,dora' && last.element.textContent?.endsWith('e f') === true, 'it goes on');
    expect(seen.channel).toMatchObject({ state: 'ended', error: { code: 'closed' } });
  });
});

