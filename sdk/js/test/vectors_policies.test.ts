/** vectors_policies.test.ts - the vectors of tests/vectors/heartbeat and tests/vectors/backoff, which the C client plays as well. */
import { describe, expect, it } from 'vitest';
import type { State } from '../src/codes.js';
import { Backoff, signalDelay, type BackoffCause } from '../src/core/backoff.js';
import { Heartbeat, type HeartbeatPolicy, type ProbeOutcome } from '../src/core/heartbeat.js';
import { AdaptiveHeartbeat } from '../src/core/heartbeat_adaptive.js';
import { ClassicHeartbeat } from '../src/core/heartbeat_classic.js';
import { HeartbeatMemory } from '../src/core/heartbeat_memory.js';
import { stateMayFollow } from '../src/core/state.js';
import { loadVectors, numberOf, SplitMix, textOf, type Entry, type Json, type Vector } from './vector_file.js';

/** The clock at a vector's 0. */
const beginMs = 1_000_000;

type Members = Record<string, Json>;
/** What stands beside an input. */
type Play = (entry: Entry, now: number) => Members;

function noSuchInput(entry: Entry): never {
  throw new Error(`there is no input "${textOf(entry, 'in')}"`);
}

function playHeartbeat(): Play {
  const heartbeat = new Heartbeat(null);
  const tell: Readonly<Record<string, (entry: Entry, now: number) => Members | void>> = {
    opened: (_, now) => heartbeat.opened(now),
    interval: (entry) => heartbeat.setInterval(numberOf(entry, 'ms')),
    measured: (entry) => heartbeat.measured(numberOf(entry, 'ms')),
    received: (_, now) => heartbeat.dataReceived(now),
    sent: (_, now) => heartbeat.dataSent(now),
    moved: (_, now) => heartbeat.outputMoved(now),
    doubted: () => heartbeat.doubted(),
    answer_late: (entry) => heartbeat.answerLate(beginMs + numberOf(entry, 'since')),
    pong: (entry, now) => heartbeat.pongReceived(numberOf(entry, 'id'), now),
    tick: (_, now) => {
      const due = heartbeat.tick(now);
      return { due: due === 'ok' ? 'nothing' : due };
    },
  };
  return (entry, now) => {
    const said = (tell[textOf(entry, 'in')] ?? noSuchInput)(entry, now) ?? {};
    const next = heartbeat.deadline();
    return { ...said, soft: heartbeat.softMs(), hard: heartbeat.hardMs(), next: next === 0 ? 0 : next - beginMs };
  };
}

/** Hexadecimal digits, of which 0 is none. */
function keyOf(entry: Entry): string {
  const key = textOf(entry, 'key').padStart(16, '0');
  return /^0+$/.test(key) ? '' : key;
}

function playPolicy({ config }: Vector): Play {
  const memory = config['memory'] === true ? new HeartbeatMemory() : null;
  const adaptive = new AdaptiveHeartbeat(numberOf(config, 'tolerance'), memory, new SplitMix(textOf(config, 'seed', '0')));
  const policy: HeartbeatPolicy = config['policy'] === 'classic' ? new ClassicHeartbeat() : adaptive;
  const beat = (entry: Entry) => ({ gapMs: numberOf(entry, 'gap'), scheduled: entry['scheduled'] === true });
  const tell: Readonly<Record<string, (entry: Entry, now: number) => void>> = {
    connected: (_, now) => policy.connected?.(now),
    answered: (entry, now) => policy.recordSuccess(beat(entry), now),
    missed: (entry, now) => policy.recordFailure(beat(entry), now),
    disturbed: () => policy.disturbed?.(),
    bound: (entry) => policy.setBound?.(numberOf(entry, 'ms')),
    tolerance: (entry) => adaptive.setTolerance(numberOf(entry, 'ms')),
    network: (entry, now) => policy.setNetwork?.(keyOf(entry), now),
    probed: (entry, now) => policy.probeEnded?.(numberOf(entry, 'gap'), textOf(entry, 'outcome') as ProbeOutcome, now),
    reset: () => policy.reset(),
    look: () => undefined,
  };
  return (entry, now) => {
    (tell[textOf(entry, 'in')] ?? noSuchInput)(entry, now);
    return { interval: policy.intervalMs(), longest: policy.longestMs(), probe: policy.probeGapMs?.(now) ?? 0 };
  };
}

function playMemory(): Play {
  const memory = new HeartbeatMemory();
  return (entry, now) => {
    switch (entry['in']) {
      case 'read':
        return { ok: memory.decode(textOf(entry, 'text'), now, numberOf(entry, 'unix')) };
      case 'put': {
        const [probedAt, seenAt] = [beginMs + numberOf(entry, 'probed'), beginMs + numberOf(entry, 'seen')];
        memory.put({ key: keyOf(entry), lo: numberOf(entry, 'lo'), hi: numberOf(entry, 'hi'), probedAt, seenAt });
        return {};
      }
      case 'drop':
        memory.drop(keyOf(entry));
        return {};
      case 'find': {
        const found = memory.find(keyOf(entry), now);
        return { found: found === undefined ? null : { lo: found.lo, hi: found.hi } };
      }
      case 'write':
        return { text: memory.encode(now, numberOf(entry, 'unix')) };
      default:
        return noSuchInput(entry);
    }
  };
}

function playBackoff({ config }: Vector): Play {
  const backoff = new Backoff();
  const random = new SplitMix(textOf(config, 'seed', '0'));
  return (entry, now) => {
    switch (entry['in']) {
      case 'connected':
        backoff.connected(now);
        return {};
      case 'progressed':
        backoff.progressed();
        return {};
      case 'background':
        backoff.background(entry['background'] === true);
        return {};
      case 'ended': {
        const end = {
          cause: textOf(entry, 'cause') as BackoffCause,
          attemptFailed: entry['failed'] === true,
          lossSpreadMs: numberOf(entry, 'spread'),
          minMs: numberOf(entry, 'min'),
          maxMs: numberOf(entry, 'max'),
        };
        return { delay: backoff.ended(end, random, now) };
      }
      case 'signal':
        return { delay: signalDelay(random) };
      default:
        return noSuchInput(entry);
    }
  };
}

function playRandom({ config }: Vector): Play {
  const random = new SplitMix(textOf(config, 'seed', '0'));
  return (entry) => {
    if (entry['in'] === 'next') return { value: random.next().toString(16).padStart(16, '0') };
    return { value: random.below(numberOf(entry, 'n')) };
  };
}

const kinds: Readonly<Record<string, (vector: Vector) => Play>> = {
  heartbeat: playHeartbeat,
  policy: playPolicy,
  memory: playMemory,
  backoff: playBackoff,
  random: playRandom,
  states: () => (entry) => ({ allowed: stateMayFollow(textOf(entry, 'from') as State, textOf(entry, 'to') as State) }),
};

describe('vectors of events: policies', () => {
  for (const vector of [...loadVectors('heartbeat', 20), ...loadVectors('backoff', 9)])
    it(`${vector.name}: ${vector.about}`, () => {
      const play = (kinds[vector.kind] as (vector: Vector) => Play)(vector);
      for (const entry of vector.timeline) expect({ ...entry, ...play(entry, beginMs + entry.at) }).toEqual(entry);
    });
});
