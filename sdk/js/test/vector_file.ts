/**
 * vector_file.ts - the vectors of events that all clients play (tests/vectors/README.md): found, read, and compared with what was seen. A vector's timeline has entries with `in`, which
 * happen, and entries with `out`, which must follow.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Random } from '../src/core/random.js';

export type Json = null | boolean | number | string | readonly Json[] | { readonly [name: string]: Json };
export type Entry = { readonly at: number } & { readonly [name: string]: Json };

export interface Vector {
  readonly name: string;
  readonly about: string;
  readonly kind: string;
  readonly needs: readonly string[];
  readonly config: Readonly<Record<string, Json>>;
  readonly timeline: readonly Entry[];
}

const root = fileURLToPath(new URL('../../../tests/vectors/', import.meta.url));

/** All of a folder, and that there are some. */
export function loadVectors(folder: string, least: number): Vector[] {
  const names = readdirSync(root + folder).filter((name) => name.endsWith('.json'));
  if (names.length < least) throw new Error(`tests/vectors/${folder} has ${names.length} vectors where at least ${least} are`);
  return names.sort().map((name) => {
    const file = JSON.parse(readFileSync(`${root}${folder}/${name}`, 'utf8')) as Partial<Vector>;
    if (file.about === undefined || file.timeline === undefined) throw new Error(`${name} is no vector`);
    return { kind: 'session', needs: [], config: {}, ...file, about: file.about, timeline: file.timeline, name };
  });
}

const mask = (1n << 64n) - 1n;

/** SplitMix64, as src/base/rng.h has it. */
export class SplitMix implements Random {
  private state: bigint;

  /** Hexadecimal digits. */
  constructor(seed: string) {
    this.state = BigInt(`0x${seed}`) & mask;
  }

  next(): bigint {
    this.state = (this.state + 0x9e3779b97f4a7c15n) & mask;
    let z = this.state;
    z = ((z ^ (z >> 30n)) * 0xbf58476d1ce4e5b9n) & mask;
    z = ((z ^ (z >> 27n)) * 0x94d049bb133111ebn) & mask;
    return z ^ (z >> 31n);
  }

  below(below: number): number {
    return Number((this.next() * BigInt(below)) >> 64n);
  }
}

/* --- members of an entry --- */

export function numberOf(entry: Readonly<Record<string, Json>>, name: string, otherwise = 0): number {
  const value = entry[name];
  return typeof value === 'number' ? value : otherwise;
}

export function textOf(entry: Readonly<Record<string, Json>>, name: string, otherwise = ''): string {
  const value = entry[name];
  return typeof value === 'string' ? value : otherwise;
}

/* --- comparing --- */

const toServer = ['connect', 'upgrade', 'send', 'close', 'drop'];

/** "Their order counts within what the application is told, and within what is written on one connection." */
function lane({ out, on }: Entry): string {
  return toServer.includes(String(out)) ? `connection ${String(on)}` : 'application';
}

/** By lanes, in the order of the lanes' names. */
export function sortLanes(outputs: readonly Entry[]): Entry[] {
  return outputs
    .map((entry, i) => ({ entry, i, lane: lane(entry) }))
    .sort((a, b) => a.entry.at - b.entry.at || (a.lane < b.lane ? -1 : a.lane > b.lane ? 1 : a.i - b.i))
    .map(({ entry }) => entry);
}
