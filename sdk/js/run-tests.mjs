/** run-tests.mjs - the SDK's tests as the project's runner reads them: TAP on standard output. Further arguments go to vitest. */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(fileURLToPath(import.meta.url));
const vitest = join(root, 'node_modules', 'vitest', 'vitest.mjs');

if (!existsSync(vitest)) {
  console.log('Bail out! sdk/js/node_modules is missing: run `tools/deps.sh test`, or `npm ci` in sdk/js');
  process.exit(1);
}
const { status } = spawnSync(process.execPath, [vitest, 'run', '--reporter=tap-flat', ...process.argv.slice(2)], {
  cwd: root,
  stdio: 'inherit',
  // Colours are no TAP, and a cache in the tree belongs to nobody.
  env: { ...process.env, NO_COLOR: '1' },
});
process.exit(status ?? 1);
