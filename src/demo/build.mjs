/**
 * build.mjs - makes src/demo/page.js of src/demo/page and the client library, so that building the server needs no Node.js.
 *   node src/demo/build.mjs            checks the types and writes page.js
 *   node src/demo/build.mjs --check    writes nothing; status 1 where page.js is not what would be written
 * It uses the tools that sdk/js/package-lock.json names: npm ci --prefix sdk/js
 */
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const sdk = createRequire(here('../../sdk/js/package.json'));

function need(name) {
  try {
    return sdk.resolve(name);
  } catch {
    console.error(`src/demo/build.mjs: ${name} is missing: npm ci --prefix sdk/js`);
    process.exit(2);
  }
}

execFileSync(process.execPath, [need('typescript/bin/tsc'), '--noEmit', '-p', here('tsconfig.json')], { stdio: 'inherit' });
const { buildSync } = sdk(need('esbuild'));
const result = buildSync({
  entryPoints: [here('page/main.ts')],
  bundle: true,
  minify: true,
  format: 'esm',
  target: 'es2022',
  charset: 'utf8',
  legalComments: 'none',
  banner: { js: '/* Made by src/demo/build.mjs of src/demo/page and sdk/js/src. */' },
  write: false,
});
const script = result.outputFiles[0].text;
const place = here('page.js');
if (!process.argv.includes('--check')) {
  writeFileSync(place, script);
  console.log(`src/demo/page.js: ${script.length} bytes`);
} else if (readFileSync(place, 'utf8') !== script) {
  console.error('src/demo/page.js is not what its sources make: node src/demo/build.mjs');
  process.exit(1);
}
