/** admin_parts.test.mjs - what the admin page makes of the server's answers, without a browser: rates, marks, quantiles, addresses, names, polls. */
import { bundle } from './bundle.mjs';
import { check, checkEqual, run, test } from './tap.mjs';

const load = (name) => import(bundle(`../../src/admin/page/${name}.ts`, { forNode: true }));
const { risen, stepBetween, bucketsBetween, quantileMs } = await load('rates');
const { Recorder } = await load('recorder');
const { problemsBetween } = await load('health');
const { parseRoute, formatRoute } = await load('router');
const format = await load('format');
const { Messages } = await load('messages');
const { Poll } = await load('poll');
const { verdict, stoodMs } = await load('why');
const { payloadOf } = await load('publish_box');

/** An answer of /api/stats, so many seconds after the start. */
function stats(second, total, { serverId = 's', started = 1000, workers = [] } = {}) {
  const each = workers.map((worker, slot) => ({ slot, pid: 1, running: true, restarts: 0, silent_ms: 0, ...worker }));
  return { serverId, version: '1', time: started + second * 1000, started, workers: each, total };
}

/** A recorder that has taken these. */
function recorded(...answers) {
  const recorder = new Recorder();
  for (const answer of answers) recorder.take(answer);
  return recorder;
}

test('a counter that falls has no rate', async () => {
  checkEqual([risen(3, 5), risen(5, 5), risen(5, 3), risen(null, 3), risen(3, null)], [2, 0, null, null, null], 'how much more');
});

test('two answers are compared only within one life of the server', async () => {
  const first = stats(10, {});
  checkEqual(stepBetween(first, stats(11, {})), 'next', 'a second later');
  checkEqual(stepBetween(first, stats(10, {})), 'same', 'at the same moment');
  checkEqual(stepBetween(first, stats(9, {})), 'same', 'its clock was set back');
  checkEqual(stepBetween(first, stats(60, {})), 'apart', 'a minute later');
  checkEqual(stepBetween(first, stats(11, {}, { serverId: 't' })), 'restarted', 'another server');
  checkEqual(stepBetween(first, stats(1, {}, { started: 20_000 })), 'restarted', 'another life of it');
});

test('rates are a second, whatever the time between two answers', async () => {
  const recorder = recorded(stats(1, { publishes_total: 100, connections: 3 }), stats(3, { publishes_total: 150, connections: 4 }));
  checkEqual(recorder.frame(null, 600).values('publishes_total'), [null, 25], 'publishes a second: the first answer says nothing');
  checkEqual(recorder.frame(null, 600).values('connections'), [3, 4], 'connections now');
});

test('a server that begins anew leaves a hole and a mark, and no rate below zero', async () => {
  const recorder = recorded(
    stats(1, { publishes_total: 1000 }),
    stats(2, { publishes_total: 1010 }),
    stats(1, { publishes_total: 5 }, { started: 9000 }),
    stats(2, { publishes_total: 8 }, { started: 9000 }),
  );
  const frame = recorder.frame(null, 600);
  checkEqual(frame.values('publishes_total'), [null, 10, null, null, 3], 'a row of the break, and the first answer behind it');
  checkEqual(frame.marks.map(({ text }) => text), ['server restarted'], 'marks');
  checkEqual(frame.times, [2, 3, 3.001, 10, 11], 'seconds, ascending');
});

test('a replaced worker is marked', async () => {
  const recorder = recorded(...[0, 1, 2, 3].map((second) => stats(second, {}, { workers: [{ restarts: second > 1 ? 1 : 0, connections: second }] })));
  checkEqual(recorder.frame(0, 600).marks.map(({ text }) => text), ['worker 0 replaced'], 'marks');
  checkEqual(recorder.frame(7, 600).values('connections'), [null, null, null, null], 'a worker that there is not');
});

test('a chart shows as much as it is asked for, and what there is fills it', async () => {
  const recorder = recorded(...Array.from({ length: 101 }, (_, second) => stats(second, { connections: second })));
  const framed = (seconds) => {
    const { from, to, times } = recorder.frame(null, seconds);
    return [to - from, times.length];
  };
  checkEqual([framed(60), framed(180), framed(600)], [[60, 61], [100, 101], [100, 101]], 'seconds and rows');
  const young = recorded(stats(1, {}), stats(2, {})).frame(null, 180);
  checkEqual([young.to - young.from, young.times.length], [30, 2], 'half a minute at least');
});

test('a clock that is set back begins the charts anew', async () => {
  const recorder = recorded(stats(100, { connections: 1 }), stats(101, { connections: 2 }), stats(50, { connections: 3 }), stats(51, { connections: 4 }), stats(52, { connections: 5 }));
  const { times, values } = recorder.frame(null, 600);
  checkEqual([times, values('connections')], [[52, 53], [4, 5]], 'what came since');
});

test('what is kept is bounded', async () => {
  const recorder = recorded(...Array.from({ length: 2000 }, (_, second) => stats(second, { publishes_total: second * 2 })));
  const { times, values } = recorder.frame(null, 100_000);
  check(times.length <= 700, `rows: ${times.length}`);
  checkEqual([times.at(-1), values('publishes_total').at(-1)], [2000, 2], 'the newest are kept');
});

test('quantiles are of what was counted between two answers', async () => {
  const [before, now] = [[[0.001, 10], [0.002, 10]], [[0.001, 10], [0.002, 13], [0.004, 1]]];
  const between = bucketsBetween(before, now);
  checkEqual(between, [[0.002, 3], [0.004, 1]], 'buckets');
  checkEqual([0.5, 0.75, 0.99].map((share) => quantileMs(between, share)), [2, 2, 4], 'p50, p75, p99 in ms');
  checkEqual(bucketsBetween(now, before), null, 'buckets that have fallen');
  checkEqual(quantileMs([], 0.5), null, 'nothing was counted');
  checkEqual(quantileMs([[0.5, 1], [null, 9]], 0.99), 500, 'above all bounds: the largest that is known');
});

test('health is by what was counted lately, the worst first', async () => {
  const [before, now] = [
    { gap_messages_total_evicted: 5, handshakes_refused_total_rate: 100, handshakes_refused_total_token: 0 },
    { gap_messages_total_evicted: 7, handshakes_refused_total_rate: 101, handshakes_refused_total_token: 2 },
  ];
  const told = (a, b, workers = []) => problemsBetween(stats(1, a, { workers }), stats(2, b, { workers })).map(({ mood, text }) => `${mood}: ${text}`);
  checkEqual(told(before, before), [], 'old sins');
  checkEqual(told(before, now), ['bad: 2 messages were lost to subscribers (gaps)', 'warn: 3 handshakes were refused'], 'new ones');
  checkEqual(told({}, {}, [{ silent_ms: 9000 }, { running: false }]), ['bad: Worker 0 hangs for 9 s', 'bad: Worker 1 does not run'], 'workers');
});

test('every address leads back to itself', async () => {
  const names = ['room', 'a/b?c#d', 'späße %25', '<img src=x>', '../..', ' ', '‮evil', '😀'];
  const routes = [
    { page: 'overview', worker: null },
    { page: 'overview', worker: 255 },
    ...names.flatMap((name) => [{ page: 'channel', channel: name }, { page: 'session', session: name }, { page: 'channels', search: name }, { page: 'sessions', search: name }]),
  ];
  for (const route of routes) checkEqual(parseRoute(formatRoute(route)), route, formatRoute(route));
  checkEqual(parseRoute(''), { page: 'overview', worker: null }, 'no address');
  for (const hash of ['#/nonsense', '#/channels/%', '#/channels/a/b', '#/overview/x']) checkEqual(parseRoute(hash).page, 'unknown', hash);
});

test('numbers, spans and names as texts', async () => {
  const { short, bytes, milliseconds, percent, span, visible } = format;
  checkEqual([0, 0.254, 3, 9.55, 120, 999.6, 12_340, 1_200_000, null].map(short), ['0', '0.25', '3', '9.6', '120', '1k', '12.3k', '1.2M', '–'], 'numbers');
  checkEqual([0, 999, 1500, 2_000_000].map(bytes), ['0 B', '999 B', '1.5 kB', '2 MB'], 'bytes');
  checkEqual([0.024, 1.536, 12, 1500, 90_000, 600_000, null].map(milliseconds), ['0.024 ms', '1.5 ms', '12 ms', '1.5 s', '90 s', '10 min', '–'], 'what was measured');
  checkEqual([0, 0.3, 12.4, 100].map(percent), ['0 %', '0.3 %', '12 %', '100 %'], 'shares');
  checkEqual([0, 59_999, 60_000, 252_000, 7_500_000, 273_600_000].map(span), ['0 s', '59 s', '1 min', '4 min 12 s', '2 h 5 min', '3 d 4 h'], 'spans');
  checkEqual(visible('a\u202eb\u0007 ä😀👩‍💻'), 'a\\u{202e}b\\u{7} ä😀👩‍💻', 'what would not be seen, or turns the text round');
});

const history = (epoch, ...offsets) => ({ epoch, offset: 0, messages: offsets.map((offset) => ({ offset, id: '', timestamp: 0 })) });
const offsetsOf = ({ list }) => list.map(({ offset }) => offset);

test('messages of a channel stay without a hole', async () => {
  const messages = new Messages();
  messages.begin(history('e', 9, 8, 7));
  check(messages.takeNext(history('e', 10, 11), 50), 'what follows is taken');
  checkEqual(offsetsOf(messages), [11, 10, 9, 8, 7], 'newest first');
  check(!messages.takeNext(history('e', 13, 14), 50), 'what does not follow is not');
  check(!messages.takeNext(history('f', 12), 50), 'nor what is of another epoch');
  check(!messages.takeNext(history('e', 12, 13), 2), 'nor as many as were asked for: there may be more');
  messages.takeOlder(history('e', 6, 5));
  checkEqual([offsetsOf(messages), messages.olderThere], [[11, 10, 9, 8, 7, 6, 5], true], 'older ones behind them');
  messages.takeOlder(history('e'));
  checkEqual(messages.olderThere, false, 'there are no more');
  messages.begin(history('f', 2, 1));
  checkEqual([offsetsOf(messages), messages.olderThere], [[2, 1], false], 'a channel that began anew');
});

/** A page without a browser: its clock and its timers are turned by hand. */
class Stage {
  hidden = false;
  timers = [];
  asked = [];
  #time = 0;
  #shown = () => undefined;

  isHidden = () => this.hidden;
  now = () => this.#time;
  whenShown = (call) => {
    this.#shown = call;
    return () => undefined;
  };
  after = (ms, call) => {
    const timer = { ms, call };
    this.timers.push(timer);
    return () => {
      this.timers = this.timers.filter((one) => one !== timer);
    };
  };

  /** A task that is answered by answer(). */
  task = () => new Promise((resolve, reject) => this.asked.push({ resolve, reject }));

  async answer(ms, wanted) {
    this.#time += ms;
    this.asked.at(-1).resolve(wanted);
    await new Promise((resolve) => setImmediate(resolve));
  }

  ring() {
    for (const { call } of this.timers.splice(0)) call();
  }

  show() {
    this.hidden = false;
    this.#shown();
  }
}

test('a poll never asks twice at once, and keeps its time', async () => {
  const stage = new Stage();
  const poll = new Poll(1000, stage.task, stage);
  checkEqual([stage.asked.length, stage.timers.length], [1, 0], 'it asks at once');
  poll.kick();
  poll.kick();
  checkEqual(stage.asked.length, 1, 'while it asks it does not ask again');
  await stage.answer(300);
  checkEqual(stage.timers.map(({ ms }) => ms), [100], 'a kick meanwhile is followed soon');
  stage.ring();
  await stage.answer(300);
  checkEqual(stage.timers.map(({ ms }) => ms), [700], 'from question to question');
  stage.ring();
  await stage.answer(5000);
  checkEqual(stage.timers.map(({ ms }) => ms), [100], 'a slow answer is followed by a rest');
  stage.ring();
  await stage.answer(10, 4000);
  checkEqual(stage.timers.map(({ ms }) => ms), [4000], 'as long as the task says');
  poll.stop();
  checkEqual(stage.timers.length, 0, 'stopped');
});

test('a poll rests while the page is hidden', async () => {
  const stage = new Stage();
  new Poll(1000, stage.task, stage);
  await stage.answer(10);
  stage.hidden = true;
  stage.ring();
  checkEqual([stage.asked.length, stage.timers.length], [1, 0], 'hidden');
  stage.show();
  checkEqual(stage.asked.length, 2, 'it asks as soon as it is seen');
});

test('why a session was disconnected, in a sentence', async () => {
  const cut = { time: 70_000, event: 'cut without a word', by: 'path', silenceMs: 61_000 };
  const began = { time: 5_000, event: 'session began', address: '192.0.2.1:5' };
  checkEqual(verdict('waiting', [cut, began]), { mood: 'warn', text: 'It waits for its client to come back. Its last connection was cut without a word, after 1 min 1 s of silence.' }, 'waiting');
  checkEqual(verdict('attached', [began]).text, 'It is connected, and no disconnect is remembered.', 'connected');
  checkEqual(verdict('ended', [{ time: 71_000, event: 'session ended by the backend', code: 4003 }, cut, began]).mood, 'bad', 'ended');
  checkEqual([stoodMs([cut, began], 0), stoodMs([cut, began], 1)], [65_000, null], 'how long it stood');
  checkEqual(stoodMs([cut, { time: 6000, event: 'heartbeat missed', by: 'server' }, began], 0), null, 'where its beginning is not known');
});

test('a payload goes out as it was typed', async () => {
  checkEqual(payloadOf(' {"n": 12345678901234567890} ', false), { json: '{"n": 12345678901234567890}' }, 'a long number');
  checkEqual(payloadOf('say "hi"\n', true), { json: '"say \\"hi\\"\\n"' }, 'text');
  check('fault' in payloadOf('{"a":1},"channel":"other"', false), 'no JSON');
});

await run();
