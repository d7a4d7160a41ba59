/**
 * build.mjs - makes dist/: ES modules and CommonJS for the web and for Node, two files for a <script>, of which one is small, and the types of both kinds of module.
 *   node build.mjs            makes it
 *   node build.mjs --sizes    and tells what a page has to load
 */
import { build } from 'esbuild';
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { minify } from 'terser';
import { mangledProps } from './mangle.mjs';
import { shortNamesOf } from './shorten.mjs';
import { isOurs, small, whole } from './small.mjs';

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
  await build({ ...common, entryPoints: points, outdir: 'dist/esm', format: 'esm', splitting: true, chunkNames: 'shared-[hash]', plugins: [whole] });
  const errors = { in: 'src/errors.ts', out: 'errors' };
  await build({ ...common, entryPoints: [...points, errors], outdir: 'dist/cjs', format: 'cjs', plugins: [whole, shareErrors] });
}

/** The client of fewer parts, and the parts: as modules, made together, so that they fit. */
async function buildCore() {
  const { plugin } = small(root, /^()$/, ['takesParts']);
  const points = ['core', 'adaptive', 'binary'].map((out) => ({ in: `src/${out === 'core' ? 'index.core' : out}.ts`, out }));
  const cut = { ...common, plugins: [plugin], logOverride: { 'ignored-bare-import': 'silent' } };
  await build({ ...cut, entryPoints: points, outdir: 'dist/core', format: 'esm', splitting: true, chunkNames: 'shared-[hash]' });
  writeFileSync(join(dist, 'core', 'package.json'), '{ "type": "module", "sideEffects": false }\n');
}

/** A file for a <script>, which sets the global `holdfast`. What a module gives costs more there than it is worth. */
async function buildScript(name, source, names, options) {
  const list = names.join(', ');
  const made = await build({
    ...common,
    ...options,
    stdin: { contents: `import { ${list} } from './src/${source}.js'; globalThis.holdfast = { ${list} };`, resolveDir: root, loader: 'js', sourcefile: `${name}.js` },
    outfile: `dist/${name}.js`,
    format: 'iife',
    minify: true,
    write: false,
  });
  const [map, code] = ['.map', '.js'].map((end) => made.outputFiles.find(({ path }) => path.endsWith(end)).text);
  // Getters of ours only look. A second minifier finds what the first has no rules for: 3 % gzipped.
  const least = await minify(code, {
    ecma: 2022,
    module: true,
    compress: { ecma: 2022, passes: 3, pure_getters: true, hoist_funs: true, inline: 1, unsafe_arrows: true },
    sourceMap: { content: map, filename: `${name}.js`, url: `${name}.js.map` },
  });
  mkdirSync(dist, { recursive: true });
  writeFileSync(join(dist, `${name}.js`), least.code);
  writeFileSync(join(dist, `${name}.js.map`), least.map);
}

const errors = ['HoldfastError', 'PublishRefused', 'PublishUncertain'];
const tables = ['causeNumbers', 'causeTexts', 'closeCodes', 'errorNumbers', 'gapNumbers', 'stateNumbers'];

async function buildScripts() {
  const names = mangledProps(root);
  const { plugin, mangled } = small(root, names);
  await buildScript('holdfast.min', 'index', ['Holdfast', ...errors, ...tables, 'systemPlatform', 'webSocketTransport'], { mangleProps: names, mangleCache: shortNamesOf(root, names), plugins: [whole] });
  const shorter = shortNamesOf(root, names, (declaration) => isOurs(declaration, join(root, 'src') + '/'));
  const cut = { plugins: [plugin], mangleProps: mangled, mangleCache: shorter, logOverride: { 'ignored-bare-import': 'silent' } };
  await buildScript('holdfast.core.min', 'index.core', ['Holdfast', ...errors], cut);
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
  for (const name of ['holdfast.core.min.js', 'holdfast.min.js']) {
    const bytes = readFileSync(join(dist, name));
    console.log(`${name}: ${bytes.length} bytes, ${gzipSync(bytes, { level: 9 }).length} gzipped`);
  }
}

rmSync(dist, { recursive: true, force: true });
await buildModules();
await buildCore();
await buildScripts();
buildTypes();
if (process.argv.includes('--sizes')) tellSizes();
