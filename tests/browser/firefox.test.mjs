/**
 * firefox.test.mjs - the client library in Firefox, against the real server: the main scenes of browser.test.mjs and shared.test.mjs. Not here: what needs Chromium's own protocol (a tab that is
 * throttled, frozen, crashed), and the back-forward cache, for which a page with a WebSocket is not taken.
 */
import { PageActor, PageServer } from './browser.mjs';
import { launchFirefox, newContext } from './firefox.mjs';
import * as leaving from './leaving.mjs';
import * as scenes from './scenarios.mjs';
import { Proxy, Server } from './server.mjs';
import { check, checkEqual, run, test, until } from './tap.mjs';

const server = await new Server({ workers: 2 }).start();
const proxy = await new Proxy(server.port).start();
const pages = await new PageServer().start();
const firefox = await launchFirefox();

const stage = {
  server,
  proxy,
  newContext: async (t) => t.own(await newContext(firefox)),
  open: (context, who, url, options) => PageActor.open(context, pages, who, url, options),
  /** Each has a browser of his own, as far as storage goes. */
  async actor(t, who, url) {
    return this.open(await this.newContext(t), who, url);
  },
  async setOffline(actor, offline) {
    proxy.refuse(offline);
    await actor.page.setOfflineMode(offline);
    if (offline) proxy.reset();
  },
};

/** Two tabs of one browser. */
const tabs = {
  ...stage,
  context: null,
  async actor(t, who, url) {
    this.context ??= await stage.newContext(t);
    return stage.open(this.context, who, url);
  },
};

/** Of those that came late to a machine that does other things besides. */
const slow = { deadlineS: 90 };

test('two tabs chat', (t) => scenes.twoChat(t, tabs), slow);
test('offline and online', (t) => scenes.offlineAndOnline(t, stage), slow);
test('connections are reset in the middle of everything', (t) => scenes.resets(t, stage), slow);
test('each worker is killed', (t) => scenes.workersKilled(t, stage), slow);
test('published offline, reloaded, sent by the next page', (t) => leaving.publishedOffline(t, stage), slow);
test('reloaded in the middle of publishing', (t) => leaving.inMidPublish(t, stage, [leaving.reload, leaving.reload]), slow);

test('tabs share one connection, and the one that leads is closed', async (t) => {
  const bob = await stage.actor(t, 'bob', server.url);
  await bob.call('follow', 'shared');
  const context = await stage.newContext(t);
  const ann = await stage.open(context, 'ann', proxy.url, { shared: 'shared' });
  await ann.call('follow', 'shared');
  const eve = await stage.open(context, 'eve', proxy.url, { shared: 'shared' });
  await eve.call('follow', 'shared');
  checkEqual(proxy.connections, 1, 'connections of the two');
  await ann.call('burst', 'shared', 40);
  await eve.call('stream', 'shared', 120, 5);
  await until('the forty of ann and some of eve', async () => (await bob.call('progress')).lines >= 60);
  await ann.close();
  await until('all of both', async () => (await bob.call('progress')).lines >= 160);
  await until('eve has her answers', async () => (await eve.call('progress')).settled >= 120);
  const [all, own] = [await bob.call('report'), await eve.call('report')];
  for (const [who, count] of [['ann', 40], ['eve', 120]])
    checkEqual(all.lines.filter((line) => line.who === who).map(({ n }) => n), Array.from({ length: count }, (_, i) => i + 1), `numbers of ${who}`);
  await until('eve has them, too', async () => (await eve.call('progress')).lines >= 160);
  checkEqual((await eve.call('report')).lines, all.lines, 'eve sees what bob sees');
  checkEqual([all.gaps, own.gaps, own.problems], [[], [], []], 'gaps, problems');
  check(own.connected.length >= 2, 'eve was passed on to another leader');
}, slow);

await run(async () => {
  await firefox.close();
  await pages.close();
  await proxy.close();
  await server.stop();
});
