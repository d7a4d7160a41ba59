/**
 * scenarios.mjs - what must hold in a browser and in Node alike. Each takes a stage: `server`, `proxy` (in front of it), and `actor(t, who, url)`, which makes an actor (actor.ts) whose methods
 * are called by call(). Whatever breaks: all lines, once, in the channel's order, and no gap.
 */
import { check, checkEqual, until } from './tap.mjs';

let channels = 0;
const freshChannel = () => `scene-${++channels}`;

const progress = (actor) => actor.call('progress');

async function untilLines(actor, count, what = '') {
  await until(`${actor.who} has ${count} lines ${what}`, async () => (await progress(actor)).lines >= count);
}

async function untilSettled(actor, count) {
  await until(`${count} publishes of ${actor.who} are answered`, async () => (await progress(actor)).settled >= count);
}

const numbersOf = (report, who) => report.lines.filter((line) => line.who === who).map((line) => line.n);
const upTo = (count) => Array.from({ length: count }, (_, i) => i + 1);

/** All of these lines, each once, each author's in his order, the channel's offsets rising, nothing else. */
function checkWhole(report, counts, what) {
  for (const [who, count] of Object.entries(counts)) checkEqual(numbersOf(report, who), upTo(count), `${what}: numbers of ${who}`);
  checkEqual(report.lines.length, Object.values(counts).reduce((a, b) => a + b, 0), `${what}: lines in all`);
  const offsets = report.lines.map((line) => line.offset);
  check(offsets.every((offset, i) => i === 0 || offset === offsets[i - 1] + 1), `${what}: offsets without a hole`);
  checkEqual(report.gaps, [], `${what}: gaps`);
  checkEqual(report.problems, [], `${what}: problems`);
}

/** Each publish was answered with the offset at which its line came, or null where the answer was lost and a resume said no more than that it was applied. */
function checkPublished(report, count, what) {
  checkEqual(Object.keys(report.published).length, count, `${what}: publishes answered`);
  for (const line of report.lines.filter(({ n, who }) => who === report.who && n <= count)) {
    const offset = report.published[line.n];
    check(offset === line.offset || (offset === null && report.connected.length > 1), `${what}: publish ${line.n} has the offset ${offset}, its line ${line.offset}`);
  }
}

async function reportOf(actor) {
  return { who: actor.who, ...(await actor.call('report')) };
}

async function two(t, stage, urls) {
  const channel = freshChannel();
  const actors = [await stage.actor(t, 'ann', urls[0]), await stage.actor(t, 'bob', urls[1])];
  for (const actor of actors) await actor.call('follow', channel);
  return { channel, ann: actors[0], bob: actors[1] };
}

export async function twoChat(t, stage) {
  const { channel, ann, bob } = await two(t, stage, [stage.server.url, stage.server.url]);
  await ann.call('stream', channel, 60, 5);
  await bob.call('stream', channel, 60, 7);
  for (const actor of [ann, bob]) await untilLines(actor, 120);
  for (const actor of [ann, bob]) await untilSettled(actor, 60);
  const [a, b] = [await reportOf(ann), await reportOf(bob)];
  checkWhole(a, { ann: 60, bob: 60 }, 'ann');
  checkEqual(b.lines, a.lines, 'both see the same');
  for (const report of [a, b]) checkPublished(report, 60, report.who);
  checkEqual([a.connected.length, a.connected[0].resumed], [1, false], 'one connection');
}

/** stage.setOffline(actor, offline): the device has no network. */
export async function offlineAndOnline(t, stage) {
  const { channel, ann, bob } = await two(t, stage, [stage.proxy.url, stage.server.url]);
  await ann.call('stream', channel, 120, 10);
  await untilLines(ann, 20, 'before');
  t.own({ close: () => stage.proxy.refuse(false) });
  await stage.setOffline(ann, true);
  await until('ann knows that she is offline', async () => ['offline', 'waiting', 'connecting'].includes((await progress(ann)).state));
  await bob.call('burst', channel, 50);
  await untilSettled(bob, 50);
  const there = (await progress(ann)).lines;
  await stage.setOffline(ann, false);
  for (const actor of [ann, bob]) await untilLines(actor, 170);
  await untilSettled(ann, 120);
  check(there < 120, `ann got ${there} lines before she was back`);
  const report = await reportOf(ann);
  checkWhole(report, { ann: 120, bob: 50 }, 'ann');
  checkPublished(report, 120, 'ann');
  checkWhole(await reportOf(bob), { ann: 120, bob: 50 }, 'bob');
  check(report.connected.length >= 2 && report.connected.slice(1).every(({ resumed }) => resumed), `she resumes: ${JSON.stringify(report.connected)}`);
}

/** Resets in the middle of everything, again and again. */
export async function resets(t, stage) {
  const { channel, ann, bob } = await two(t, stage, [stage.proxy.url, stage.proxy.url]);
  await ann.call('stream', channel, 300, 4);
  await bob.call('stream', channel, 300, 4);
  for (let cut = 1; cut <= 4; cut++) {
    await untilLines(ann, cut * 60);
    const before = [(await progress(ann)).connections, (await progress(bob)).connections];
    stage.proxy.reset();
    await until('both are back', async () => (await progress(ann)).connections > before[0] && (await progress(bob)).connections > before[1]);
  }
  for (const actor of [ann, bob]) await untilLines(actor, 600);
  for (const actor of [ann, bob]) await untilSettled(actor, 300);
  for (const actor of [ann, bob]) {
    const report = await reportOf(actor);
    checkWhole(report, { ann: 300, bob: 300 }, actor.who);
    checkPublished(report, 300, actor.who);
    check(report.connected.slice(1).every(({ resumed }) => resumed), `${actor.who} resumes`);
  }
}

export async function workersKilled(t, stage) {
  const { channel, ann, bob } = await two(t, stage, [stage.server.url, stage.server.url]);
  await ann.call('stream', channel, 300, 5);
  await bob.call('stream', channel, 300, 5);
  await untilLines(ann, 50);
  for (const pid of stage.server.workerPids()) await stage.server.killWorker(pid);
  for (const actor of [ann, bob]) await untilLines(actor, 600);
  for (const actor of [ann, bob]) await untilSettled(actor, 300);
  for (const actor of [ann, bob]) {
    const report = await reportOf(actor);
    checkWhole(report, { ann: 300, bob: 300 }, actor.who);
    checkPublished(report, 300, actor.who);
    check(report.connected.length >= 2, `${actor.who} had to come back`);
    check(report.connected.slice(1).every(({ resumed }) => resumed), `${actor.who} resumes`);
  }
}

/** The connection stands and swallows everything. The client must find out by itself, and make another one. */
export async function frozenPath(t, stage) {
  const { channel, ann, bob } = await two(t, stage, [stage.proxy.url, stage.server.url]);
  await ann.call('burst', channel, 10);
  await untilLines(ann, 10);
  stage.proxy.freeze();
  await ann.call('burst', channel, 10);
  await bob.call('burst', channel, 10);
  await until('ann has all, by another connection', async () => (await progress(ann)).lines >= 30, { withinMs: 25_000 });
  await untilSettled(ann, 20);
  const report = await reportOf(ann);
  checkWhole(report, { ann: 20, bob: 10 }, 'ann');
  checkPublished(report, 20, 'ann');
  checkEqual(report.connected.map(({ resumed }) => resumed), [false, true], 'connections, and whether they resumed');
  check(report.states.some((state) => state.startsWith('doubtful ')), `there was a doubt: ${report.states}`);
}

/** A server of its own, because it loses all that it knew. */
export async function serverRestarted(t, stage) {
  const server = t.own(await stage.freshServer());
  const channel = freshChannel();
  const ann = await stage.actor(t, 'ann', server.url);
  await ann.call('follow', channel);
  await ann.call('burst', channel, 20);
  await untilLines(ann, 20);
  await untilSettled(ann, 20);
  await server.stop();
  await until('ann has lost her connection', async () => (await progress(ann)).state !== 'live');
  await ann.call('burst', channel, 10);
  await server.start();
  await untilLines(ann, 30, 'in all');
  await ann.call('burst', channel, 10);
  await untilLines(ann, 40, 'in all');
  await untilSettled(ann, 40);
  const report = await reportOf(ann);
  checkEqual(numbersOf(report, 'ann'), upTo(40), 'each line once, those of the time without a server too');
  checkEqual(report.lines.slice(20).map(({ offset }) => offset), upTo(20), 'their offsets in the new epoch');
  check(report.lines[20].epoch !== report.lines[19].epoch, 'the channel has another epoch');
  checkEqual(report.gaps.map(({ code }) => code), ['epoch'], 'the gap is told, once');
  checkEqual(report.connected.map(({ resumed }) => resumed), [false, false], 'nothing could be resumed');
  checkEqual(report.problems, [], 'problems');
}
