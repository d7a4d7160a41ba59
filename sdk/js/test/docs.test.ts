/** The documentation that is made of the types: every exported name says what it is, and no link leads nowhere. `npm run docs` writes the pages; here they are only looked at. */
import { execFile } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const execute = promisify(execFile);

it('every name that the package exports is documented', async () => {
  const typedoc = join(root, 'node_modules', 'typedoc', 'bin', 'typedoc');
  const problems = await execute(process.execPath, [typedoc, '--emit', 'none'], { cwd: root, env: { ...process.env, NO_COLOR: '1' } }).then(
    () => '',
    ({ stdout, stderr }: { stdout: string; stderr: string }) => stdout + stderr,
  );
  expect(problems).toBe('');
});
