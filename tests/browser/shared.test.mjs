/** shared.test.mjs - one connection for all tabs of an origin, in Chromium: tabs come and go, the one that leads too. */
import { PageActor, PageServer, Window, launch } from './browser.mjs';
import { Proxy, Server } from './server.mjs';
import { check, checkEqual, run, test, until } from './tap.mjs';

const server = await new Server({ workers: 2 }).start();
const proxy = await new Proxy(server.port).start();
const pages = await new PageServer().start();
const browser = await launch();

const upTo = (count) => Array.from({ length: count }, (_, i) => i + 1);
const progress = (tab) => tab.call('progress');

/** The tabs of one browser, which share a connection, and somebody who looks on from elsewhere. */
class Group {
  static async open(t, channel) {
    const group = new Group();
    group.t = t;
    group.channel = channel;
    group.context = t.own(await browser.newContext());
    const other = t.own(await browser.newContext());
    group.observer = await PageActor.open(other, pages, 'observer', server.url);
    await group.observer.call('follow', channel);
    return group;
  }

  async tab(who) {
    const tab = await PageActor.open(this.context, pages, who, proxy.url, { shared: this.channel });
    await tab.call('follow', this.channel);
    return tab;
  }

  /** What each author has said, by what the observer has; nothing twice, nothing out of order. */
  async authors() {
    const { lines, gaps } = await this.observer.call('report');
    checkEqual(gaps, [], 'gaps of the observer');
    const authors = {};
    for (const { who, n } of lines) (authors[who] ??= []).push(n);
    for (const [who, numbers] of Object.entries(authors)) checkEqual(numbers, upTo(numbers.length), `numbers of ${who}`);
    return Object.fromEntries(Object.entries(authors).map(([who, numbers]) => [who, numbers.length]));
  }

  /** A tab has all lines that the channel got since it came, in the same order. */
  async checkWhole(tab) {
    const [all, own] = [(await this.observer.call('report')).lines, await tab.call('report')];
    checkEqual([own.gaps, own.problems], [[], []], `${tab.who}: gaps, problems`);
    checkEqual(own.lines, all.slice(all.length - own.lines.length), `${tab.who}: lines`);
    const first = own.lines.findIndex(({ who }) => who === tab.who);
    checkEqual(own.lines[first]?.n, 1, `${tab.who}: it was there when it began to speak`);
  }
}

test('three tabs share one connection', async (t) => {
  const group = await Group.open(t, 'shared');
  const tabs = [];
  for (const who of ['one', 'two', 'three']) tabs.push(await group.tab(who));
  checkEqual(proxy.connections, 1, 'connections of the three');
  for (const tab of tabs) await tab.call('stream', group.channel, 60, 5);
  for (const tab of [...tabs, group.observer]) await until(`${tab.who} has all`, async () => (await progress(tab)).lines >= 180);
  for (const tab of tabs) await until(`${tab.who} has its answers`, async () => (await progress(tab)).settled === 60);
  checkEqual(await group.authors(), { one: 60, two: 60, three: 60 }, 'lines of each');
  for (const tab of tabs) await group.checkWhole(tab);
  checkEqual(proxy.connections, 1, 'connections at the end');
});

test('their connection is reset, and resumes for all', async (t) => {
  const group = await Group.open(t, 'shared-reset');
  const tabs = [await group.tab('one'), await group.tab('two')];
  for (const tab of tabs) await tab.call('stream', group.channel, 150, 5);
  for (const lines of [60, 160]) {
    await until('the middle of it', async () => (await progress(group.observer)).lines >= lines);
    proxy.reset();
  }
  for (const tab of [...tabs, group.observer]) await until(`${tab.who} has all`, async () => (await progress(tab)).lines >= 300);
  for (const tab of tabs) await until(`${tab.who} has its answers`, async () => (await progress(tab)).settled === 150);
  checkEqual(await group.authors(), { one: 150, two: 150 }, 'lines of each');
  for (const tab of tabs) await group.checkWhole(tab);
});

const leave = {
  closed: async (tab) => tab.page.close(),
  crashed: async (tab) => {
    const crashed = tab.page.waitForEvent('crash');
    const session = await tab.page.context().newCDPSession(tab.page);
    session.send('Page.crash').catch(() => undefined); // Its answer would come from the page.
    await crashed;
    await tab.page.close();
  },
  'sent elsewhere': async (tab) => tab.page.goto(`${pages.url}elsewhere`),
};

/* The first tab leads. What was answered is there; of what was not, each line comes once or not at all, and none behind one that does not. */
for (const [how, go] of Object.entries(leave)) {
  test(`the leader is ${how}`, async (t) => {
    const group = await Group.open(t, `leader-${how.replace(' ', '-')}`);
    const leader = await group.tab('one');
    const tabs = [await group.tab('two'), await group.tab('three')];
    for (const tab of [leader, ...tabs]) await tab.call('stream', group.channel, 200, 5);
    await until('the middle of it', async () => (await progress(group.observer)).lines >= 150);
    const answered = (await progress(leader)).settled;
    await go(leader);
    tabs.push(await group.tab('four'));
    await tabs[2].call('stream', group.channel, 50, 5);
    const wanted = [200, 200, 50];
    for (const [i, tab] of tabs.entries()) await until(`${tab.who} has its answers`, async () => (await progress(tab)).settled === wanted[i]);
    const head = async (tab) => (await tab.call('report')).lines.at(-1)?.offset ?? 0;
    const newest = await head(group.observer);
    for (const tab of tabs) await until(`${tab.who} has the newest`, async () => (await head(tab)) >= newest);
    const { one, ...rest } = await group.authors();
    checkEqual(rest, { two: 200, three: 200, four: 50 }, 'lines of those who are there');
    check(one >= answered && one <= 200, `of the leader ${one} lines have come, and ${answered} were answered`);
    for (const tab of tabs) await group.checkWhole(tab);
    await until('they have one connection', () => proxy.connections === 1);
  });
}

/* It holds its lock, and answers nobody: the others must relieve it of the lead. When it is awake again it is one of them. */
test('the leader is frozen by its browser', async (t) => {
  const channel = 'leader-frozen';
  const window = t.own(await new Window().start());
  const leader = await window.tab(pages.url);
  const one = await leader.beActor('one', proxy.url, { shared: channel });
  await one.call('follow', channel);
  const front = await window.tab(pages.url);
  const two = await front.beActor('two', proxy.url, { shared: channel });
  await two.call('follow', channel);
  await two.call('burst', channel, 10);
  for (const tab of [one, two]) await until(`${tab.who} has ten`, async () => (await progress(tab)).lines >= 10);
  await leader.lifecycle('frozen');
  await two.call('burst', channel, 10);
  await until('two has its own twenty', async () => (await progress(two)).lines >= 20, { withinMs: 25_000 });
  await until('two has its answers', async () => (await progress(two)).settled === 20);
  await leader.show();
  await one.call('burst', channel, 10);
  for (const tab of [one, two]) await until(`${tab.who} has all thirty`, async () => (await progress(tab)).lines >= 30);
  const reports = [await one.call('report'), await two.call('report')];
  for (const { lines, gaps } of reports) {
    checkEqual(lines.map(({ who, n }) => `${who} ${n}`), [...upTo(20).map((n) => `two ${n}`), ...upTo(10).map((n) => `one ${n}`)], 'lines');
    checkEqual(gaps, [], 'gaps');
  }
  await until('they have one connection', () => proxy.connections === 1);
});

await run(async () => {
  await browser.close();
  await pages.close();
  await proxy.close();
  await server.stop();
});
