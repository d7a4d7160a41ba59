/**
 * vectors_small.test.ts - the vectors of tests/vectors/session against the session as the small file for pages has it (small.mjs): what is left out of it by feature must leave the rest as it is. The
 * vectors that are about such a feature are left out, by what they ask for or by their names, and each of these must be there.
 */
import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build, type Plugin } from 'esbuild';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { SessionPlayer as Player } from './session_player.js';
import { loadVectors, sortLanes, type Entry, type Vector } from './vector_file.js';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const folder = mkdtempSync(join(tmpdir(), 'holdfast-small-'));
const outputs = (timeline: readonly Entry[]): readonly Entry[] => timeline.filter((entry) => 'out' in entry);

const asking: readonly unknown[] = ['history', 'presence', 'call', 'ping'];

/** Whether it is about a feature (features.ts) that the small file has not: asks, seesStatus, keepsOutbox. */
function isLeftOut({ config, timeline }: Vector): boolean {
  return config['store'] === true || timeline.some((entry) => asking.includes(entry['in']) || entry['in'] === 'refuse' || entry['presence'] === true);
}

/** Those of which one cannot see it by that, by the feature that they show. */
const leftOut: Readonly<Record<string, readonly string[]>> = {
  asks: ['error_told'],
  prepares: ['answer_late', 'heartbeat_missed', 'heartbeat_round_trip', 'heartbeat_spare_kept', 'heartbeat_spares_bounded', 'network_address_gone', 'woke_up_dead'],
  takesParts: ['heartbeat_adaptive', 'heartbeat_probe_alive', 'heartbeat_probe_dead', 'heartbeat_probe_unknown'],
};
const names = Object.values(leftOut).flat();

const vectors = loadVectors('session', 120);
let SessionPlayer: new (vector: Vector) => Player;

beforeAll(async () => {
  const { small } = (await import(new URL('../small.mjs', import.meta.url).href)) as { small: (root: string, mangled: RegExp) => { plugin: Plugin } };
  // Where nothing is to be renamed, every name is free.
  const { plugin } = small(root, /^(?:.*)$/);
  // As deep as it lies here: from there it would look for the vectors.
  const outfile = join(folder, 'sdk', 'js', 'test', 'player.mjs');
  mkdirSync(dirname(outfile), { recursive: true });
  symlinkSync(join(root, '..', '..', 'tests'), join(folder, 'tests'), 'dir');
  await build({
    entryPoints: [join(root, 'test', 'session_player.ts')],
    bundle: true, format: 'esm', platform: 'node', target: 'es2022', outfile, plugins: [plugin], logOverride: { 'ignored-bare-import': 'silent' },
  });
  ({ SessionPlayer } = (await import(outfile)) as { SessionPlayer: typeof SessionPlayer });
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('vectors of events: session, as the small file has it', () => {
  it('knows the vectors that it leaves out, and cannot play them', () => {
    for (const name of names) {
      const vector = vectors.find((each) => each.name === `${name}.json`);
      expect(vector, name).toBeDefined();
      const play = (): readonly Entry[] => sortLanes(outputs(new SessionPlayer(vector as Vector).play()));
      let seen: readonly Entry[] | null = null;
      try {
        seen = play();
      } catch {
        // What it asks for is not there.
      }
      expect(seen, name).not.toEqual(sortLanes(outputs((vector as Vector).timeline)));
    }
  });

  const played = vectors.filter((vector) => !isLeftOut(vector) && !names.includes(vector.name.replace('.json', '')));

  it('plays most of them', () => {
    expect(played.length).toBeGreaterThan(100);
  });

  for (const vector of played)
    it(`${vector.name}: ${vector.about}`, () => {
      const seen = new SessionPlayer(vector).play();
      expect(sortLanes(outputs(seen))).toEqual(sortLanes(outputs(vector.timeline)));
    });
});
