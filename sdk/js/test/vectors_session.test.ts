/** vectors_session.test.ts - the vectors of tests/vectors/session, which the C client plays as well: so the two cannot drift apart. */
import { describe, expect, it } from 'vitest';
import { SessionPlayer } from './session_player.js';
import { loadVectors, sortLanes, type Entry } from './vector_file.js';

const outputs = (timeline: readonly Entry[]): readonly Entry[] => timeline.filter((entry) => 'out' in entry);
const inputs = (timeline: readonly Entry[]): readonly Entry[] => timeline.filter((entry) => 'in' in entry);

describe('vectors of events: session', () => {
  for (const vector of loadVectors('session', 120))
    it(`${vector.name}: ${vector.about}`, () => {
      const seen = new SessionPlayer(vector).play();
      expect(sortLanes(outputs(seen))).toEqual(sortLanes(outputs(vector.timeline)));
      expect(inputs(seen)).toEqual(inputs(vector.timeline));
    });
});
