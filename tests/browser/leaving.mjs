/**
 * leaving.mjs - pages that are left in the middle of publishing, and their outbox in IndexedDB, in whichever browser. Beside what scenarios.mjs asks of a stage: `newContext(t)`, where pages follow each
 * other, and `open(context, who, url, options)`, which makes an actor in a page of it.
 */
import { check, checkEqual, until } from './tap.mjs';

const upTo = (count) => Array.from({ length: count }, (_, i) => i + 1);
const lines = async (actor) => (await actor.call('progress')).lines;

/** How many publishes lie in an outbox, by what the database itself says. */
const keptIn = (page, name) =>
  page.evaluate(
    (database) =>
      new Promise((resolve, reject) => {
        const opened = indexedDB.open(`holdfast-outbox:${database}`);
        opened.onerror = () => reject(opened.error);
        opened.onsuccess = () => {
          const counted = opened.result.transaction('publishes').objectStore('publishes').count();
          counted.onsuccess = () => {
            opened.result.close();
            resolve(counted.result);
          };
        };
      }),
    name,
  );

/** The numbers of each author, who must follow each other: one page's publishes all lie before the next one's. */
function authorsOf(report) {
  const authors = [];
  for (const { who, n } of report.lines) {
    if (authors.at(-1)?.who !== who) authors.push({ who, numbers: [] });
    authors.at(-1).numbers.push(n);
  }
  return authors;
}

async function observer(t, stage, channel) {
  const bob = await stage.actor(t, 'bob', stage.server.url);
  await bob.call('follow', channel);
  return bob;
}

export async function publishedOffline(t, stage) {
  const { proxy } = stage;
  const bob = await observer(t, stage, 'reloaded');
  const ann = await stage.open(await stage.newContext(t), 'page 1', proxy.url, { outbox: 'reloaded' });
  await ann.call('burst', 'reloaded', 5);
  await until('five are answered', async () => (await ann.call('progress')).settled === 5);
  t.own({ close: () => proxy.refuse(false) });
  proxy.refuse(true);
  proxy.reset();
  await until('the page has lost its connection', async () => (await ann.call('progress')).state !== 'live');
  await ann.call('burst', 'reloaded', 30);
  await until('thirty lie in the database', async () => (await keptIn(ann.page, 'reloaded')) === 30);
  await ann.page.reload();
  ann.who = 'page 2';
  await ann.begin(proxy.url, { outbox: 'reloaded' });
  await ann.call('burst', 'reloaded', 3);
  proxy.refuse(false);
  await until('the next page has sent them all', async () => (await lines(bob)) >= 38);
  await until('the outbox is empty', async () => (await keptIn(ann.page, 'reloaded')) === 0);
  const report = await bob.call('report');
  checkEqual(authorsOf(report), [{ who: 'page 1', numbers: upTo(35) }, { who: 'page 2', numbers: upTo(3) }], 'lines by their pages');
  checkEqual(report.gaps, [], 'gaps');
}

/** One way to leave a page: the actor of its page, and what makes the next one's where it is not the same. Gives the next one. */
export async function reload(actor, _next, { who, url, options }) {
  await actor.page.reload();
  actor.who = who;
  await actor.begin(url, options);
  return actor;
}

/** ways: how each page is left. */
export async function inMidPublish(t, stage, ways) {
  const { server } = stage;
  const bob = await observer(t, stage, 'left');
  const context = await stage.newContext(t);
  const options = { outbox: 'left' };
  let ann = await stage.open(context, 'page 1', server.url, options);
  const answered = [];
  for (const [i, leave] of ways.entries()) {
    const who = `page ${i + 2}`;
    const before = await lines(bob);
    await ann.call('stream', 'left', 100_000, 1);
    await until('sixty of this page have come', async () => (await lines(bob)) >= before + 60);
    answered.push((await ann.call('progress')).settled);
    ann = await leave(ann, () => stage.open(context, who, server.url, options), { who, url: server.url, options });
  }
  await ann.call('burst', 'left', 10);
  await until('the last page has its answers', async () => (await ann.call('progress')).settled === 10);
  const offset = Object.values((await ann.call('report')).published).at(-1);
  await until('bob has them too', async () => (await bob.call('report')).lines.at(-1).offset >= offset);
  const report = await bob.call('report');
  const authors = authorsOf(report);
  checkEqual(authors.map(({ who }) => who), upTo(ways.length + 1).map((n) => `page ${n}`), 'pages in their order');
  for (const [index, { who, numbers }] of authors.entries()) {
    checkEqual(numbers, upTo(numbers.length), `numbers of ${who}: none doubled, none left out`);
    check(numbers.length >= (answered[index] ?? 10), `${who}: ${answered[index]} were answered, ${numbers.length} have come`);
  }
  checkEqual(report.gaps, [], 'gaps');
}
