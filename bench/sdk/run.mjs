/**
 * run.mjs - what the TypeScript SDK weighs and how fast it takes messages, beside npm `centrifuge` and `socket.io-client`. Run by hand, on a machine that does nothing else:
 *
 *     npm ci --prefix sdk/js && npm ci --prefix bench/sdk && node bench/sdk/run.mjs --write
 *
 *   --rounds N   default 7: in each round every contestant is measured once, one after the other, so that whatever else the machine does meets all of them
 *   --quick      two rounds with a tenth of the messages: whether it works
 *   --write      writes docs/sdk-performance.md from sdk-performance.md.in; without it the tables go to standard output only
 *   --only TEXT  measurements whose name has this in it, such as `node`, `parse`, `tick`
 *
 * Each measurement has a process, or a page, of its own. Ratios are taken within a round; what is told is the median of all rounds with the lowest and highest in brackets. CHROMIUM names another browser than /usr/bin/chromium.
 */
import { execFile, execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { cpus, loadavg } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import { chromium } from 'playwright-core';
import { protocols } from './protocols.mjs';

const here = fileURLToPath(new URL('.', import.meta.url));
const root = join(here, '..', '..');
const sdk = join(root, 'sdk', 'js');
const { build } = createRequire(join(sdk, 'package.json'))('esbuild');

const { values: options } = parseArgs({
  options: { rounds: { type: 'string', default: '7' }, quick: { type: 'boolean' }, write: { type: 'boolean' }, only: { type: 'string', default: '' } },
});
const rounds = options.quick ? 2 : Number(options.rounds);
if (!Number.isInteger(rounds) || rounds < 1) throw new Error('--rounds: give a whole number, 1 or more');
/** For one measurement, whatever happens. */
const runMs = 60_000;
const contestants = Object.keys(protocols);
/** Whose messages a second are divided by whose: like with like, then each of ours by Socket.IO, which has one encoding. */
const pairs = [
  ['holdfast-json', 'centrifuge-json'],
  ['holdfast-binary', 'centrifuge-protobuf'],
  ['holdfast-json', 'socket.io'],
  ['holdfast-binary', 'socket.io'],
];
const names = {
  'holdfast-json': 'Holdfast, JSON', 'holdfast-binary': 'Holdfast, binary', 'centrifuge-json': 'centrifuge, JSON', 'centrifuge-protobuf': 'centrifuge, protobuf', 'socket.io': 'socket.io-client',
};

/* --- measurements --- */

function measurements() {
  const all = [];
  for (const where of ['Node', 'Chromium']) {
    for (const way of ['parse', 'loopback']) {
      for (const [payload, count] of [['tick', 60_000], ['chat', 40_000], ['state', 10_000]]) all.push({ where, way, payload, per: 1, count });
      all.push({ where, way, payload: 'tick', per: 16, count: 60_000 });
    }
  }
  return all
    .map((each) => ({ ...each, name: `${each.where} ${each.way} ${each.payload}${each.per > 1 ? ` ×${each.per}` : ''}`.toLowerCase() }))
    .filter(({ name }) => name.includes(options.only.toLowerCase()));
}

/** Here, so that what is built finds `ws`. */
const folder = mkdtempSync(join(here, 'node_modules', '.bench-'));
const execute = promisify(execFile);

/** The contestants and the measuring code in one file, for Node and for a page. */
async function bundles() {
  const common = {
    bundle: true, format: 'esm', target: 'es2022', logLevel: 'error', absWorkingDir: here,
    alias: { 'holdfast-client': join(sdk, 'src', 'index.ts') },
  };
  const files = { node: join(folder, 'in_node.mjs'), page: join(folder, 'page.js') };
  // Both take what is meant for pages, so that no client brings a WebSocket of its own.
  await build({ ...common, entryPoints: ['in_node.mjs'], outfile: files.node, platform: 'browser', external: ['ws'] });
  await build({ ...common, entryPoints: ['in_page.mjs'], outfile: files.page, platform: 'browser' });
  return files;
}

async function startServer(contestant, page) {
  const child = spawn(process.execPath, [join(here, 'server.mjs'), contestant, page], { stdio: ['ignore', 'pipe', 'inherit'] });
  const port = await new Promise((resolve, reject) => {
    child.stdout.once('data', (data) => resolve(Number(data)));
    child.once('exit', () => reject(new Error(`the server of ${contestant} ended`)));
  });
  return { port, stop: () => child.kill() };
}

async function inNode(file, what) {
  const { stdout, stderr } = await execute(process.execPath, [file, JSON.stringify(what)], { timeout: runMs, killSignal: 'SIGKILL' });
  if (stderr !== '') throw new Error(stderr);
  return JSON.parse(stdout);
}

async function inPage(browser, what) {
  const page = await browser.newPage();
  const faults = [];
  page.on('pageerror', (error) => faults.push(error));
  page.on('console', (message) => message.type() === 'error' && faults.push(new Error(message.text())));
  try {
    await page.goto(`http://127.0.0.1:${what.port}/`);
    await page.waitForFunction('globalThis.measure !== undefined');
    const late = new Promise((_, reject) => setTimeout(reject, runMs, new Error('no result in time')).unref());
    const result = await Promise.race([page.evaluate((asked) => globalThis.measure(asked), what), late]);
    if (faults.length > 0) throw faults[0];
    return result;
  } finally {
    await page.close();
  }
}

async function measureAll() {
  const files = await bundles();
  const servers = new Map();
  // Chromium's sandbox needs a user namespace, which root in a container often has not.
  const args = process.getuid() === 0 ? ['--no-sandbox'] : [];
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args });
  const version = browser.version();
  const results = measurements().map((each) => ({ ...each, rounds: [] }));
  try {
    for (const contestant of contestants) servers.set(contestant, await startServer(contestant, files.page));
    for (let round = 0; round < rounds; round++) {
      for (const each of results) {
        const messages = options.quick ? each.count / 10 : each.count;
        const got = {};
        // Every other round backwards: who comes first has no advantage.
        const order = contestants.filter((name) => each.per === 1 || protocols[name].many);
        if (round % 2 === 1) order.reverse();
        for (const contestant of order) {
          const { way, payload, per } = each;
          const what = { contestant, way, payload, per, warmup: messages / 4, messages, port: servers.get(contestant).port };
          const { ms, processorMs } = await (each.where === 'Node' ? inNode(files.node, what) : inPage(browser, what)).catch((error) => {
            throw new Error(`${each.name}, ${contestant}: ${error.message}`);
          });
          got[contestant] = { rate: (messages / ms) * 1000, processorUs: (processorMs / messages) * 1000 };
        }
        each.rounds.push(got);
        console.error(`round ${round + 1} of ${rounds}: ${each.name}: ${order.map((name) => `${name} ${Math.round(got[name].rate)}/s`).join(', ')}`);
      }
    }
  } finally {
    await browser.close();
    for (const { stop } of servers.values()) stop();
  }
  return { results, version };
}

/* --- sizes --- */

/** A page that uses one client, bundled and minified as an application's bundler would. */
async function bundled(source) {
  const { outputFiles } = await build({
    stdin: { contents: source, resolveDir: here }, bundle: true, minify: true, format: 'esm', target: 'es2022', write: false, logLevel: 'error',
    alias: { 'holdfast-client': join(sdk, 'dist', 'esm', 'index.js') },
  });
  return outputFiles[0].contents;
}

async function sizes() {
  execFileSync(process.execPath, [join(sdk, 'build.mjs')], { stdio: ['ignore', 'ignore', 'inherit'] });
  const modules = join(here, 'node_modules');
  const rows = [
    ['holdfast-client (JSON and binary)', "import { Holdfast } from 'holdfast-client'; globalThis.made = new Holdfast('wss://h');", join(sdk, 'dist', 'holdfast.min.js')],
    ['centrifuge (JSON)', "import { Centrifuge } from 'centrifuge'; globalThis.made = new Centrifuge('wss://h');", join(modules, 'centrifuge', 'dist', 'centrifuge.js')],
    ['centrifuge (protobuf)', "import { Centrifuge } from 'centrifuge/build/protobuf'; globalThis.made = new Centrifuge('wss://h');", join(modules, 'centrifuge', 'dist', 'centrifuge.protobuf.js')],
    ['socket.io-client', "import { io } from 'socket.io-client'; globalThis.made = io('wss://h');", join(modules, 'socket.io-client', 'dist', 'socket.io.min.js')],
  ];
  const gzipped = (bytes) => gzipSync(bytes, { level: 9 }).length;
  const made = [];
  for (const [name, source, file] of rows) made.push({ name, bundle: gzipped(await bundled(source)), file: gzipped(readFileSync(file)) });
  return made;
}

/* --- what is told --- */

function median(numbers) {
  const sorted = numbers.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

function spread(numbers, format) {
  return `${format(median(numbers))} (${format(Math.min(...numbers))}–${format(Math.max(...numbers))})`;
}

const whole = (number) => Math.round(number).toLocaleString('en');
const short = (number) => number.toFixed(2);

function table(head, rows) {
  return [head, head.map(() => '---'), ...rows].map((row) => `| ${row.join(' | ')} |`).join('\n');
}

function what({ payload, per }) {
  return per === 1 ? payload : `${payload}, ${per} in a WebSocket message`;
}

function ratioTable(results) {
  const rows = results.map((each) => [
    what(each),
    ...pairs.map(([ours, theirs]) =>
      each.rounds[0][ours] === undefined || each.rounds[0][theirs] === undefined ? '–' : spread(each.rounds.map((got) => got[ours].rate / got[theirs].rate), short),
    ),
  ]);
  return table(['payload', ...pairs.map(([ours, theirs]) => `${names[ours]} ÷ ${names[theirs]}`)], rows);
}

function rateTable(results, member, format) {
  const rows = results.map((each) => [
    what(each),
    ...contestants.map((name) => (each.rounds[0][name] === undefined ? '–' : spread(each.rounds.map((got) => got[name][member]), format))),
  ]);
  return table(['payload', ...contestants.map((name) => names[name])], rows);
}

function sizeTable(rows) {
  const [ours] = rows;
  return table(
    ['', 'in an application, bytes gzipped', 'ours ÷ it', 'the ready-made file, bytes gzipped', 'ours ÷ it'],
    rows.map((row) => [row.name, whole(row.bundle), short(ours.bundle / row.bundle), whole(row.file), short(ours.file / row.file)]),
  );
}

function versions() {
  const version = (path) => JSON.parse(readFileSync(join(here, 'node_modules', path, 'package.json'), 'utf8')).version;
  return ['centrifuge', 'socket.io-client', 'ws'].map((name) => `${name} ${version(name)}`).join(', ');
}

function tables({ results, version }, sizeRows, load) {
  const of = (where, way) => results.filter((each) => each.where === where && each.way === way);
  const made = {
    MACHINE: `${cpus()[0].model.trim()}, ${cpus().length} processors`,
    VERSIONS: `Node ${process.versions.node}, Chromium ${version}, ${versions()}`,
    DATE: new Date().toISOString().slice(0, 10),
    COMMIT: execFileSync('git', ['rev-parse', '--short', 'HEAD'], { cwd: root, encoding: 'utf8' }).trim(),
    ROUNDS: String(rounds),
    QUICK: options.quick ? '**This was a short run** (`--quick`: a tenth of the messages, so that much of it is compilation): it shows that the benchmark works, and little more. ' : '',
    LOAD: load > 0.5 * cpus().length
      ? `**The machine was loaded by other work when these figures were taken** (load average ${load.toFixed(1)} on ${cpus().length} processors before the first round): take the ratios as a first impression.`
      : `The load average before the first round was ${load.toFixed(1)}.`,
    SIZES: sizeTable(sizeRows),
  };
  for (const where of ['Node', 'Chromium']) {
    for (const way of ['parse', 'loopback']) {
      const key = `${where}_${way}`.toUpperCase();
      made[`${key}_RATIOS`] = ratioTable(of(where, way));
      made[`${key}_RATES`] = rateTable(of(where, way), 'rate', whole);
    }
  }
  made.NODE_PARSE_PROCESSOR = rateTable(of('Node', 'parse'), 'processorUs', short);
  made.NODE_LOOPBACK_PROCESSOR = rateTable(of('Node', 'loopback'), 'processorUs', short);
  return made;
}

function page(made) {
  const template = readFileSync(join(here, 'sdk-performance.md.in'), 'utf8');
  return template.replace(/@([A-Z_]+)@/g, (_, name) => {
    if (made[name] === undefined) throw new Error(`sdk-performance.md.in: there is no @${name}@`);
    return made[name];
  });
}

try {
  const load = loadavg()[0];
  const sizeRows = await sizes();
  const made = tables(await measureAll(), sizeRows, load);
  for (const [name, text] of Object.entries(made)) console.log(`${name}\n${text}\n`);
  if (options.write) {
    if (options.only !== '') throw new Error('--write: not with --only, which leaves tables empty');
    writeFileSync(join(root, 'docs', 'sdk-performance.md'), page(made));
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
