/** browser.test.mjs - the client library in Chromium, against the real server. */
import { PageActor, PageServer, Window, launch } from './browser.mjs';
import * as leaving from './leaving.mjs';
import * as scenes from './scenarios.mjs';
import { Proxy, Server } from './server.mjs';
import { check, checkEqual, run, test, until } from './tap.mjs';

const server = await new Server({ workers: 2 }).start();
const proxy = await new Proxy(server.port).start();
const pages = await new PageServer().start();
const browser = await launch();

const stage = {
  server,
  proxy,
  /** Each has a browser of his own, as far as storage and network go. */
  async actor(t, who, url) {
    const context = t.own(await browser.newContext());
    return PageActor.open(context, pages, who, url);
  },
  async setOffline(actor, offline) {
    proxy.refuse(offline);
    await actor.page.context().setOffline(offline);
    if (offline) proxy.reset();
  },
  freshServer: () => new Server({ workers: 1, options: ['--set', 'drain.timeout=500ms'] }).start(),
  /** Where pages follow each other. */
  newContext: async (t) => t.own(await browser.newContext()),
  open: (context, who, url, options) => PageActor.open(context, pages, who, url, options),
};

/** Two tabs of one browser. */
const tabs = {
  ...stage,
  context: null,
  async actor(t, who, url) {
    this.context ??= t.own(await browser.newContext());
    return PageActor.open(this.context, pages, who, url);
  },
};

test('two tabs chat', (t) => scenes.twoChat(t, tabs));
test('offline and online', (t) => scenes.offlineAndOnline(t, stage));
test('connections are reset in the middle of everything', (t) => scenes.resets(t, stage));
test('each worker is killed', (t) => scenes.workersKilled(t, stage));
test('the path swallows everything', (t) => scenes.frozenPath(t, stage));
test('the server is restarted', (t) => scenes.serverRestarted(t, stage));

const lines = async (actor) => (await actor.call('progress')).lines;

/** Numbers of the backend, by HTTP. */
async function publish(channel, from, to) {
  for (let n = from; n <= to; n++) await server.publish(channel, { who: 'backend', n });
}

function checkNumbers(report, to) {
  checkEqual(report.lines.map(({ n }) => n), Array.from({ length: to }, (_, i) => i + 1), 'numbers of the backend');
  checkEqual(report.gaps, [], 'gaps');
}

test('a hidden tab, whose timers are throttled', async (t) => {
  const window = t.own(await new Window().start());
  const tab = await window.tab(pages.url);
  const actor = await tab.beActor('ann', proxy.url);
  await actor.call('follow', 'hidden');
  await tab.run('() => { window.ticks = 0; setInterval(() => window.ticks++, 20); }');
  await window.tab(`${pages.url}elsewhere`);
  await until('the tab is hidden', () => tab.run('() => document.visibilityState === "hidden"'));
  const [ticks, began] = [await tab.run('() => window.ticks'), performance.now()];
  await publish('hidden', 1, 20);
  await until('its first twenty', async () => (await lines(actor)) >= 20);
  proxy.reset();
  await publish('hidden', 21, 40);
  await until('it resumes and has forty', async () => (await lines(actor)) >= 40);
  // Long enough to tell a throttled timer (one tick a second) from the other kind (fifty).
  await until('three seconds have passed', () => performance.now() - began > 3000);
  const rate = ((await tab.run('() => window.ticks')) - ticks) / ((performance.now() - began) / 1000);
  check(rate < 10, `its timers are throttled: ${rate.toFixed(1)} ticks a second`);
  checkEqual(await tab.run('() => document.visibilityState'), 'hidden', 'all the time');
  await tab.show();
  await until('it is seen again', () => tab.run('() => document.visibilityState === "visible"'));
  await publish('hidden', 41, 50);
  await until('it has fifty', async () => (await lines(actor)) >= 50);
  const report = await actor.call('report');
  checkNumbers(report, 50);
  checkEqual(report.connected.map(({ resumed }) => resumed), [false, true], 'connections, and whether they resumed');
});

/** Chromium ends the WebSocket of a tab that it freezes, and says so when the tab is awake again: the path is dead besides, so that the server knows nothing of it. */
test('a tab that was frozen', async (t) => {
  const window = t.own(await new Window().start());
  const tab = await window.tab(pages.url);
  const actor = await tab.beActor('ann', proxy.url);
  await actor.call('follow', 'frozen');
  await publish('frozen', 1, 5);
  await until('its first five', async () => (await lines(actor)) >= 5);
  await window.tab(`${pages.url}elsewhere`);
  await until('the tab is hidden', () => tab.run('() => document.visibilityState === "hidden"'));
  await tab.lifecycle('frozen');
  proxy.freeze();
  await publish('frozen', 6, 15);
  await tab.show();
  await until('it has all fifteen', async () => (await lines(actor)) >= 15);
  const report = await actor.call('report');
  checkNumbers(report, 15);
  check(report.connected.at(-1).resumed && report.connected.length >= 2, `it resumes: ${JSON.stringify(report.connected)}`);
});

test('back from the back-forward cache', async (t) => {
  const context = t.own(await browser.newContext());
  const actor = await PageActor.open(context, pages, 'ann', server.url);
  await actor.call('follow', 'cached');
  await publish('cached', 1, 5);
  await until('its first five', async () => (await lines(actor)) >= 5);
  await actor.page.evaluate(() => {
    window.shown = [];
    window.addEventListener('pageshow', (event) => window.shown.push(event.persisted));
  });
  await actor.call('burst', 'cached-own', 5);
  await actor.page.goto(`${pages.url}elsewhere`);
  await publish('cached', 6, 15);
  // Not goBack(): Playwright waits for a load, and this is none.
  await actor.page.evaluate(() => history.back());
  await until('the page is there again', () => actor.page.evaluate(() => window.shown?.length > 0).catch(() => false));
  checkEqual(await actor.page.evaluate(() => window.shown), [true], 'it came out of the cache');
  await until('it has all fifteen', async () => (await lines(actor)) >= 15);
  await until('its publishes are answered', async () => (await actor.call('progress')).settled >= 5);
  const report = await actor.call('report');
  checkNumbers(report, 15);
  checkEqual(Object.values(report.published), [1, 2, 3, 4, 5], 'offsets of what it published on its way out');
  checkEqual(report.connected.map(({ resumed }) => resumed), [false, true], 'connections, and whether they resumed');
});

/* --- pages that are left in the middle of publishing --- */

test('published offline, reloaded, sent by the next page', (t) => leaving.publishedOffline(t, stage));
test('reloaded and crashed in the middle of publishing', (t) => leaving.inMidPublish(t, stage, [leaving.reload, crash, leaving.reload, crash]));

/** The page dies, and another comes in its place. */
async function crash(actor, next) {
  const { page } = actor;
  const crashed = page.waitForEvent('crash');
  const session = await page.context().newCDPSession(page);
  session.send('Page.crash').catch(() => undefined); // Its answer would come from the page.
  await crashed;
  await page.close();
  return next();
}

await run(async () => {
  await browser.close();
  await pages.close();
  await proxy.close();
  await server.stop();
});
