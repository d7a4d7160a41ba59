/**
 * build.mjs - makes src/admin/page.js and style.css of src/admin/page and uPlot, so that building the server needs no Node.js.
 *   node src/admin/build.mjs            checks the types and writes both
 *   node src/admin/build.mjs --check    writes nothing; status 1 where one is not what would be written
 * It uses the tools that sdk/js/package-lock.json names, and the charts of src/admin/package-lock.json: npm ci --prefix sdk/js; npm ci --prefix src/admin
 */
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const sdk = createRequire(here('../../sdk/js/package.json'));
const own = createRequire(here('package.json'));

function need(from, name, prefix) {
  try {
    return from.resolve(name);
  } catch {
    console.error(`src/admin/build.mjs: ${name} is missing: npm ci --prefix ${prefix}`);
    process.exit(2);
  }
}

need(own, 'uplot', 'src/admin');
execFileSync(process.execPath, [need(sdk, 'typescript/bin/tsc', 'sdk/js'), '--noEmit', '-p', here('tsconfig.json')], { stdio: 'inherit' });
const { buildSync } = sdk(need(sdk, 'esbuild', 'sdk/js'));

// Its licence asks that it goes with every copy.
const { version } = own('uplot/package.json');
const licence = readFileSync(new URL('node_modules/uplot/LICENSE', import.meta.url), 'utf8').trim();
const banner = `/* Made by src/admin/build.mjs of src/admin/page and uPlot ${version}, which is:\n\n${licence}\n*/`;

function bundle(entry, kind) {
  const result = buildSync({
    entryPoints: [here(entry)],
    bundle: true,
    minify: true,
    format: 'esm',
    target: 'es2022',
    charset: 'utf8',
    legalComments: 'none',
    banner: { [kind]: banner },
    write: false,
  });
  return result.outputFiles[0].text;
}

const check = process.argv.includes('--check');
for (const [name, entry, kind] of [
  ['page.js', 'page/main.ts', 'js'],
  ['style.css', 'page/style/style.css', 'css'],
]) {
  const made = bundle(entry, kind);
  if (!check) {
    writeFileSync(here(name), made);
    console.log(`src/admin/${name}: ${made.length} bytes`);
  } else if (readFileSync(here(name), 'utf8') !== made) {
    console.error(`src/admin/${name} is not what its sources make: node src/admin/build.mjs`);
    process.exitCode = 1;
  }
}
