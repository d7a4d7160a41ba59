/**
 * build.mjs - makes dist/: ES modules and CommonJS for the web and for Node, one file for a <script>, and the types of both kinds of module.
 *   node build.mjs            makes it
 *   node build.mjs --sizes    and tells what a page has to load
 */
import { build } from 'esbuild';
import { execFileSync } from 'node:child_process';
import { cpSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { mangledProps } from './mangle.mjs';

const root = dirname(fileURLToPath(import.meta.url));
const dist = join(root, 'dist');

/** An entry point of the package: its source, and the platforms that need a build of their own. */
const entries = [
  { name: 'index', source: 'src/index.ts' },
  { name: 'index.node', source: 'src/index.node.ts' },
  { name: 'outbox', source: 'src/outbox_indexeddb.ts' },
  { name: 'shared', source: 'src/shared/shared_holdfast.ts' },
  { name: 'react', source: 'src/react.ts' },
  { name: 'pool', source: 'src/pool/pool.ts' },
];

const common = {
  absWorkingDir: root,
  bundle: true,
  target: 'es2022',
  platform: 'neutral',
  external: ['ws', 'react'],
  sourcemap: true,
  logLevel: 'warning',
};

/**
 * CommonJS cannot share code as the chunks of ES modules do, and each entry point has its own copy of everything. But for the errors, which lie in a file of their own: what one
 * entry point throws is to be `instanceof` what another one gives.
 */
const shareErrors = {
  name: 'share-errors',
  setup({ onResolve }) {
    onResolve({ filter: /\/errors\.js$/ }, ({ kind }) => (kind === 'entry-point' ? undefined : { path: './errors.js', external: true }));
  },
};

async function buildModules() {
  const points = entries.map(({ name, source }) => ({ in: source, out: name }));
  // What the entry points share lies in files of its own, so that two of them in one program are one library.
  await build({ ...common, entryPoints: points, outdir: 'dist/esm', format: 'esm', splitting: true, chunkNames: 'shared-[hash]' });
  const errors = { in: 'src/errors.ts', out: 'errors' };
  await build({ ...common, entryPoints: [...points, errors], outdir: 'dist/cjs', format: 'cjs', plugins: [shareErrors] });
  await build({
    ...common,
    entryPoints: [{ in: 'src/index.ts', out: 'holdfast.min' }],
    outdir: 'dist',
    format: 'iife',
    globalName: 'holdfast',
    minify: true,
    mangleProps: mangledProps(root),
  });
}

/** The same declarations for `import` and for `require`: which they are is told by the package.json beside them. */
function buildTypes() {
  const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
  execFileSync(process.execPath, [tsc, '-p', join(root, 'tsconfig.types.json')], { stdio: 'inherit' });
  cpSync(join(dist, 'esm', 'types'), join(dist, 'cjs', 'types'), { recursive: true });
  // A bundler looks into the nearest package.json only, so that it must be said here again that a module which nobody uses can be left out.
  writeFileSync(join(dist, 'esm', 'package.json'), '{ "type": "module", "sideEffects": false }\n');
  writeFileSync(join(dist, 'cjs', 'package.json'), '{ "type": "commonjs", "sideEffects": false }\n');
}

function tellSizes() {
  const file = join(dist, 'holdfast.min.js');
  const bytes = readFileSync(file);
  console.log(`holdfast.min.js: ${bytes.length} bytes, ${gzipSync(bytes, { level: 9 }).length} gzipped`);
}

rmSync(dist, { recursive: true, force: true });
await buildModules();
buildTypes();
if (process.argv.includes('--sizes')) tellSizes();
