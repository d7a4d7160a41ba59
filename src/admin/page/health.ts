/** health.ts - what is not as it should be, by two answers of /api/stats, and what to do about it. The same rules as `holdfast top` has. Pure. */
import { counted, milliseconds, span } from './format.js';
import { risen } from './rates.js';
import { numberOf } from './types.js';
import type { Part, Stats, Worker } from './types.js';

export interface Problem {
  readonly mood: 'warn' | 'bad';
  readonly text: string;
  readonly advice: string;
}

/** An idle worker turns once a second. */
const silentMs = 3000;

interface Rule {
  /** Of the counters that are added up. */
  readonly prefix: string;
  readonly mood: Problem['mood'];
  readonly one: string;
  readonly many: string;
  readonly advice: string;
}

const rules: readonly Rule[] = [
  { prefix: 'restarts', mood: 'bad', one: 'worker was replaced', many: 'workers were replaced', advice: 'Unless it was a rolling restart, the log says what ended them (event=worker_died).' },
  { prefix: 'gap_messages_total', mood: 'bad', one: 'message was lost to a subscriber (gap)', many: 'messages were lost to subscribers (gaps)', advice: 'They came back later than history reaches: raise history.messages, history.bytes, history.age or memory.segments.' },
  { prefix: 'handshakes_refused_total', mood: 'warn', one: 'handshake was refused', many: 'handshakes were refused', advice: 'See the chart “Refused” for the cause, and docs/operations.md for the limit behind it.' },
  { prefix: 'publishes_refused_total', mood: 'warn', one: 'publish was refused', many: 'publishes were refused', advice: 'The log and the clients’ nack say why: too large, forbidden, or at a limit.' },
  { prefix: 'log_full_total', mood: 'warn', one: 'publish waited for a full log', many: 'publishes waited for a full log', advice: 'Slow readers hold every segment: raise memory.segments.' },
  { prefix: 'ring_full_total', mood: 'warn', one: 'wait for a full ring between workers', many: 'waits for a full ring between workers', advice: 'A worker cannot keep pace with the others: see “Workers busy” and “Loop lag”.' },
  { prefix: 'accept_errors_total', mood: 'bad', one: 'connection was lost at accept', many: 'connections were lost at accept', advice: 'Descriptors or memory ran out: see ulimit -n and limits.connections.' },
  { prefix: 'heartbeats_missed_total', mood: 'warn', one: 'connection was silent for too long', many: 'connections were silent for too long', advice: 'Devices that sleep or lose their network do that, and resume. If there are many, look at one session’s history.' },
  { prefix: 'disconnects_total_slow', mood: 'warn', one: 'connection was ended for being slow', many: 'connections were ended for being slow', advice: 'They took nothing for limits.write: fewer channels, or mode `latest`.' },
];

/** Since `before`, which is of the same life of the server; the worst first. */
export function problemsBetween(before: Stats, now: Stats): Problem[] {
  const problems = [...now.workers.flatMap(ofWorker), ...rules.flatMap((rule) => ofRule(rule, before.total, now.total))];
  return problems.sort((a, b) => Number(b.mood === 'bad') - Number(a.mood === 'bad'));
}

function ofWorker(worker: Worker): Problem[] {
  if (!worker.running) return [{ mood: 'bad', text: `Worker ${worker.slot} does not run`, advice: 'It is started again by itself; where it is not, the log says why.' }];
  if (worker.silent_ms <= silentMs) return [];
  return [{ mood: 'bad', text: `Worker ${worker.slot} hangs for ${span(worker.silent_ms)}`, advice: `Its loop has not turned for ${milliseconds(worker.silent_ms)}: the machine is short of CPU or swaps, or the worker is stopped.` }];
}

function ofRule(rule: Rule, before: Part, now: Part): Problem[] {
  let sum = 0;
  for (const name of Object.keys(now)) if (name.startsWith(rule.prefix)) sum += risen(numberOf(before, name), numberOf(now, name)) ?? 0;
  return sum === 0 ? [] : [{ mood: rule.mood, text: counted(sum, rule.one, rule.many), advice: rule.advice }];
}
