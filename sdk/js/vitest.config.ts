import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // The tests of the session run in virtual time, those against a real server for seconds.
    testTimeout: 120_000,
    hookTimeout: 240_000,
    // Two processors shared with everything else that the tests of the project start.
    maxWorkers: 2,
    minWorkers: 1,
  },
});
