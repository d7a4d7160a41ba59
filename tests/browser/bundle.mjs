/** bundle.mjs - TypeScript of this folder with the client library in it, by the esbuild that sdk/js/package-lock.json names. */
import { mkdtempSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const { buildSync } = createRequire(new URL('../../sdk/js/package.json', import.meta.url))('esbuild');
const folder = mkdtempSync(join(tmpdir(), 'holdfast-browser-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));

/** Returns the text for a page, or the file's path for Node. */
export function bundle(name, { forNode = false } = {}) {
  const options = { entryPoints: [fileURLToPath(new URL(name, import.meta.url))], bundle: true, format: 'esm', target: 'es2022', logLevel: 'error' };
  if (!forNode) return buildSync({ ...options, write: false }).outputFiles[0].text;
  const outfile = join(folder, `${basename(name, '.ts')}.mjs`);
  buildSync({ ...options, outfile, platform: 'node', external: ['ws'] });
  return outfile;
}
