/**
 * tap.mjs - the runner of these tests: TAP points, deadlines, cleaning up, as holdfast_test.py does it for the integration tests.
 *     test('two tabs chat', async (t) => { … t.own(closeable) … }, { deadlineS: 20 });
 *     await run();
 * No test sleeps until something "must have happened": until() polls with a deadline. HF_TEST_PATIENCE multiplies all of them.
 */
import { isDeepStrictEqual } from 'node:util';

export const patience = Number(process.env.HF_TEST_PATIENCE ?? '1');
const answerMs = 15_000 * patience;
const tests = [];
const only = process.argv[2];

/** What is printed behind a failed test, newest first: functions that return lines. */
export const tails = [];

export class CheckFailed extends Error {}

export function check(condition, what) {
  if (!condition) throw new CheckFailed(what);
}

function shorten(value) {
  const text = JSON.stringify(value) ?? String(value);
  return text.length <= 600 ? text : `${text.slice(0, 300)} … ${text.slice(-300)}`;
}

export function checkEqual(got, want, what) {
  if (!isDeepStrictEqual(got, want)) throw new CheckFailed(`${what}: got ${shorten(got)}, want ${shorten(want)}`);
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Poll until condition() is true, and return its value. */
export async function until(what, condition, { withinMs = answerMs, everyMs = 20 } = {}) {
  const end = performance.now() + withinMs;
  for (;;) {
    const last = await condition();
    if (last) return last;
    if (performance.now() > end) throw new CheckFailed(`not within ${withinMs} ms: ${what}`);
    await pause(everyMs);
  }
}

/** Watch something that must not happen in that time: until() turned round. */
export async function never(what, condition, { withinMs, everyMs = 20 }) {
  const end = performance.now() + withinMs;
  while (performance.now() < end) {
    if (await condition()) throw new CheckFailed(what);
    await pause(everyMs);
  }
}

export function test(name, body, { deadlineS = 40 } = {}) {
  if (!only || name.includes(only)) tests.push({ name, body, deadlineMs: deadlineS * 1000 * patience });
}

class Context {
  #owned = [];

  /** It is closed when the test ends, newest first. */
  own(thing) {
    this.#owned.push(thing);
    return thing;
  }

  async close() {
    for (const thing of this.#owned.reverse()) {
      try {
        await thing.close();
      } catch (error) {
        comment(`cleaning up: ${error}`);
      }
    }
  }
}

export function comment(text) {
  for (const line of String(text).trimEnd().split('\n')) console.log(`# ${line}`);
}

async function runOne(number, { name, body, deadlineMs }) {
  const context = new Context();
  const began = performance.now();
  let timer;
  let failure = null;
  try {
    const deadline = new Promise((_, reject) => {
      timer = setTimeout(() => reject(new CheckFailed(`the deadline of the whole test is over (${deadlineMs} ms)`)), deadlineMs);
    });
    await Promise.race([body(context), deadline]);
  } catch (error) {
    failure = error;
  }
  clearTimeout(timer);
  console.log(`${failure ? 'not ok' : 'ok'} ${number} - ${name}`);
  comment(`${((performance.now() - began) / 1000).toFixed(2)} s`);
  if (failure) {
    comment(failure instanceof CheckFailed ? `FAILED: ${failure.message}` : failure.stack);
    const at = /\((?:file:\/\/)?([^()]*\.test\.mjs:\d+|[^()]*scenarios\.mjs:\d+)/.exec(failure.stack ?? '');
    if (at) comment(`  at ${at[1].split('/').at(-1)}`);
    for (const tail of [...tails].reverse()) comment(tail().join('\n'));
  }
  await context.close();
  return !failure;
}

/** Run what test() has registered. `atEnd` is called behind the last one, however they ended. */
export async function run(atEnd = async () => undefined) {
  console.log(`1..${tests.length}`);
  let good = true;
  for (const [index, one] of tests.entries()) good = (await runOne(index + 1, one)) && good;
  await atEnd();
  process.exit(good && tests.length > 0 ? 0 : 1);
}
