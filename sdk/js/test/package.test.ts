/** The package as others get it: what is in it, that its types resolve and its modules load everywhere, how large it is for a page, and that the shortened names still fit together. */
import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { runInNewContext } from 'node:vm';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import WebSocket from 'ws';
import type { Holdfast as HoldfastClass } from '../src/index.js';
import { holdfast, Proxy, RealServer, until } from './real_server.js';

/** Of the files for pages, gzipped: none may grow unseen. The small one is to have less than 15,000. */
const bytesMax: Readonly<Record<string, number>> = { 'holdfast.core.min.js': 15_000, 'holdfast.min.js': 28.5 * 1024 };

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const project = mkdtempSync(join(tmpdir(), 'holdfast-package-'));

const execute = promisify(execFile);

/** What it prints; it rejects with all that was printed where it fails. */
async function run(file: string, args: string[], cwd = project): Promise<string> {
  try {
    return (await execute(process.execPath, [file, ...args], { cwd })).stdout;
  } catch (error) {
    const { stdout, stderr } = error as { stdout: string; stderr: string };
    throw new Error(stdout + stderr);
  }
}

const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc');

beforeAll(async () => {
  await run(join(root, 'build.mjs'), [], root);
  mkdirSync(join(project, 'node_modules'));
  symlinkSync(root, join(project, 'node_modules', 'holdfast-client'), 'dir');
  symlinkSync(join(root, 'node_modules', 'ws'), join(project, 'node_modules', 'ws'), 'dir');
});

afterAll(() => rmSync(project, { recursive: true, force: true }));

describe('the sources', () => {
  it('have no fault that the strict compiler sees', async () => {
    await run(tsc, ['-p', root]);
    await run(tsc, ['-p', join(root, 'tsconfig.test.json')]);
  });

  it('have no `any`, nothing that silences the compiler, and no dependency', () => {
    const files = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts'));
    expect(files.length).toBeGreaterThan(20);
    for (const file of files) {
      const code = readFileSync(join(root, 'src', file), 'utf8').replace(/\/\*[^]*?\*\/|\/\/.*/g, '');
      expect(code, file).not.toMatch(/\bany\b(?=[\s\]>;,)|&]|$)/);
      expect(readFileSync(join(root, 'src', file), 'utf8'), file).not.toMatch(/@ts-|eslint-disable/);
    }
    const { dependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { dependencies?: unknown };
    expect(dependencies).toBeUndefined();
  });
});

describe('the package', () => {
  it('holds what is built, and nothing else', async () => {
    const { stdout } = await execute('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], { cwd: root });
    const [{ files }] = JSON.parse(stdout) as [{ files: { path: string }[] }];
    const paths = files.map(({ path }) => path);
    for (const path of ['README.md', 'package.json', 'dist/esm/index.js', 'dist/esm/index.node.js', 'dist/cjs/index.js', 'dist/holdfast.min.js', 'dist/esm/react.js', 'dist/cjs/react.js', 'dist/esm/types/react.d.ts', 'dist/esm/types/index.d.ts', 'dist/cjs/types/index.node.d.ts', 'dist/esm/pool.js', 'dist/cjs/pool.js', 'dist/esm/types/pool/pool.d.ts', 'dist/cjs/types/pool/pool_types.d.ts'])
      expect(paths).toContain(path);
    for (const path of paths) expect(path).toMatch(/^(dist\/|README\.md$|package\.json$|LICENSE$)/);
  });

  const use = `
    import { Holdfast, HoldfastError, PublishRefused, type Gap, type Message, type StateChange } from 'holdfast-client';
    type Channels = { ticker: { price: number }; [room: \`room:\${string}\`]: { text: string } };
    const client = new Holdfast<Channels>('ws://127.0.0.1:1/ws', { autoConnect: false });
    const chat = client.subscribe('room:lobby', (message) => { const text: string = message.payload.text; void text; });
    client.subscribe('ticker', { mode: 'latest' }, (message: Message<{ price: number }>) => void message.payload.price.toFixed(2));
    chat.on('gap', (gap: Gap) => void gap.from);
    client.onState((change: StateChange) => { if (change.to === 'live') void change.cause; });
    async function loop(): Promise<void> {
      for await (const item of chat) if (item.type === 'message') void item.payload.text; else void item.code;
    }
    void loop;
    void client.publish('room:x', { text: 'hello' }).catch((error: unknown) => { if (error instanceof PublishRefused) void error.code; void (error instanceof HoldfastError); });
    // @ts-expect-error - it has no text.
    void client.publish('room:x', { nothing: 1 }).catch(() => undefined);
    // @ts-expect-error - there is no such channel.
    client.subscribe('other');
  `;

  const usePool = `
    import { HoldfastPool, PublishUncertain, type PoolEvents, type PoolOptions, type PoolStatistics, type Position, type Subscription } from 'holdfast-client/pool';
    type Channels = { ticker: { price: number }; [room: \`room:\${string}\`]: { text: string } };
    const options: PoolOptions = { connections: 4, autoConnect: false, queueMax: 10, encoding: 'json' };
    const pool = new HoldfastPool<Channels>(['ws://127.0.0.1:1/ws', 'ws://127.0.0.1:2/ws'], options);
    const chat: Subscription<{ text: string }> = pool.subscribe('room:lobby', (message) => { const text: string = message.payload.text; void text; });
    const position: Position | null = chat.position;
    pool.on('memberEnded', ({ member, nextAttempt }: PoolEvents['memberEnded']) => void (member.toFixed() + nextAttempt.toFixed()));
    pool.on('ended', () => undefined);
    const all: PoolStatistics = pool.statistics().all;
    void [position, all.queued, pool.members[0]?.state === 'live'];
    void pool.publish('ticker', { price: 1 }, { key: 'EURUSD', id: 'x' }).catch((error: unknown) => { if (error instanceof PublishUncertain) void error.payload; });
    void pool.publish('ticker', { price: 1 }, { key: null }).catch(() => undefined);
    // @ts-expect-error - it has no price.
    void pool.publish('ticker', { nothing: 1 }).catch(() => undefined);
    // @ts-expect-error - there is no such channel.
    pool.subscribe('other');
    // @ts-expect-error - an outbox is for one session.
    new HoldfastPool('ws://127.0.0.1:1/ws', { storage: { outbox: { load() {} } } });
  `;

  it.each([
    { module: 'node16', moduleResolution: 'node16', file: 'use.mts' },
    { module: 'node16', moduleResolution: 'node16', file: 'use.cts' },
    { module: 'esnext', moduleResolution: 'bundler', file: 'use.ts' },
    { module: 'nodenext', moduleResolution: 'nodenext', file: 'use.mts' },
  ])('has types under $moduleResolution, for $file', async ({ module, moduleResolution, file }) => {
    const poolFile = file.replace('use', 'pool');
    writeFileSync(join(project, file), use);
    writeFileSync(join(project, poolFile), usePool);
    await run(tsc, ['--noEmit', '--strict', '--exactOptionalPropertyTypes', '--target', 'es2022', '--lib', 'es2022,dom', '--module', module, '--moduleResolution', moduleResolution, file, poolFile]);
  });

  it('loads by import and by require, and a program ends when it has closed its client', async () => {
    const text = `
      const client = new Holdfast('ws://127.0.0.1:1/ws');
      client.publish('x', 1).then(() => process.exit(2), (error) => { if (error.code !== 'closed') process.exit(3); });
      client.on('retrying', () => client.close());
      client.on('ended', () => console.log('over'));`;
    writeFileSync(join(project, 'use.mjs'), `import { Holdfast } from 'holdfast-client';${text}`);
    writeFileSync(join(project, 'use.cjs'), `const { Holdfast } = require('holdfast-client');${text}`);
    expect(await run('use.mjs', [])).toBe('over\n');
    expect(await run('use.cjs', [])).toBe('over\n');
  });

  it('has a pool that loads both ways, that ends with its program, and that no page has to load', async () => {
    const text = `
      const pool = new HoldfastPool('ws://127.0.0.1:1/ws', { connections: 2 });
      pool.publish('x', 1).then(() => process.exit(2), (error) => { if (!(error instanceof HoldfastError) || error.code !== 'closed') process.exit(3); });
      pool.on('retrying', () => pool.close());
      pool.on('ended', () => console.log('over'));`;
    writeFileSync(join(project, 'pool.mjs'), `import { HoldfastError } from 'holdfast-client'; import { HoldfastPool } from 'holdfast-client/pool';${text}`);
    writeFileSync(join(project, 'pool.cjs'), `const { HoldfastError } = require('holdfast-client'); const { HoldfastPool } = require('holdfast-client/pool');${text}`);
    expect(await run('pool.mjs', [])).toBe('over\n');
    expect(await run('pool.cjs', [])).toBe('over\n');
    const isInIt = (...path: string[]): boolean => readFileSync(join(root, 'dist', ...path), 'utf8').includes('connectedQueueMax');
    expect(isInIt('esm', 'pool.js')).toBe(true);
    const chunks = readdirSync(join(root, 'dist', 'esm')).filter((file) => file.endsWith('.js') && file !== 'pool.js');
    for (const path of [['holdfast.min.js'], ['cjs', 'index.js'], ['cjs', 'shared.js'], ...chunks.map((file) => ['esm', file])]) expect(isInIt(...path), path.join('/')).toBe(false);
  });

  it.each([
    { file: 'errors.mjs', load: (name: string) => `await import('${name}')` },
    { file: 'errors.cjs', load: (name: string) => `require('${name}')` },
  ])('has one class of errors, whichever entry point throws: $file', async ({ file, load }) => {
    writeFileSync(
      join(project, file),
      `(async () => {
         const { HoldfastError } = ${load('holdfast-client')};
         const thrown = [];
         for (const [entry, name, call] of [
           [${load('holdfast-client/outbox')}, 'outbox', ({ indexedDbOutbox }) => indexedDbOutbox({ name: '', indexedDB: undefined }).load()],
           [${load('holdfast-client/shared')}, 'shared', ({ SharedHoldfast }) => new SharedHoldfast('http://x')],
         ])
           try { await call(entry); } catch (error) { thrown.push(name + ' ' + error.name + ' ' + (error instanceof HoldfastError)); }
         console.log(thrown.join());
       })();`,
    );
    expect(await run(file, [])).toBe('outbox HoldfastError true,shared HoldfastError true\n');
  });

  it('does nothing when it is imported', async () => {
    writeFileSync(
      join(project, 'import.mjs'),
      `const before = Object.getOwnPropertyNames(globalThis).join();
       for (const name of ['setTimeout', 'setInterval', 'queueMicrotask', 'fetch']) globalThis[name] = () => { throw new Error(name); };
       await import('holdfast-client');
       await import('holdfast-client/react');
       await import('holdfast-client/pool');
       console.log(Object.getOwnPropertyNames(globalThis).join() === before);`,
    );
    expect(await run('import.mjs', [])).toBe('true\n');
  });

  it('has hooks for React that load both ways, and React in nothing else', async () => {
    const names = 'HoldfastProvider,useChannel,useConnection,useHoldfast,usePresence';
    writeFileSync(join(project, 'react.mjs'), `import * as hooks from 'holdfast-client/react'; console.log(Object.keys(hooks).sort().join());`);
    writeFileSync(join(project, 'react.cjs'), `console.log(Object.keys(require('holdfast-client/react')).sort().join());`);
    expect(await run('react.mjs', [])).toBe(`${names}\n`);
    expect(await run('react.cjs', [])).toBe(`${names}\n`);
    const users = ['esm', 'cjs'].flatMap((kind) =>
      readdirSync(join(root, 'dist', kind)).filter((file) => file.endsWith('.js') && /(from |require\()"react"/.test(readFileSync(join(root, 'dist', kind, file), 'utf8'))),
    );
    expect(users).toEqual(['react.js', 'react.js']);
    expect(readFileSync(join(root, 'dist', 'esm', 'react.js'), 'utf8')).not.toContain('WebSocket');
    // What is imported and not used costs a page nothing.
    const { outputFiles } = await build({
      stdin: { contents: `import 'holdfast-client/react'; import { useChannel } from 'holdfast-client/react';`, resolveDir: project },
      bundle: true, format: 'esm', external: ['react'], write: false, minify: true, logLevel: 'silent',
    });
    expect(outputFiles[0]?.text.trim()).toBe('');
  });
});

describe('the documentation', () => {
  it('tells what the sources say', async () => {
    await run(join(root, 'docs.mjs'), ['--check'], root);
  });

  it('has examples that compile', async () => {
    const folder = join(project, 'examples');
    mkdirSync(folder);
    // Those in React, too.
    mkdirSync(join(project, 'node_modules', '@types'));
    symlinkSync(join(root, 'node_modules', '@types', 'react'), join(project, 'node_modules', '@types', 'react'), 'dir');
    const names = ['sdk/js/README.md', 'docs/sdk.md'].flatMap((page) => {
      const text = readFileSync(join(root, '..', '..', page), 'utf8');
      return [...text.matchAll(/^```(tsx?)\n([^]*?)^```/gm)].map(([, kind = '', code = ''], i) => {
        const name = `${page.replaceAll(/\W/g, '_')}_${i}.${kind}`;
        writeFileSync(join(folder, name), code);
        return join('examples', name);
      });
    });
    expect(names.length).toBeGreaterThan(10);
    await run(tsc, ['--noEmit', '--strict', '--target', 'es2022', '--lib', 'es2022,dom,dom.iterable', '--jsx', 'react-jsx', '--module', 'esnext', '--moduleResolution', 'bundler', ...names]);
  });
});

/** What a page has, of which the files for pages use nothing else. */
const globals = { WebSocket, TextDecoder, TextEncoder, performance, setTimeout, clearTimeout, queueMicrotask, atob, btoa, console, AbortController, Uint8Array };

function load(name: string): { Holdfast: typeof HoldfastClass } {
  return runInNewContext(`${readFileSync(join(root, 'dist', name), 'utf8')}\nholdfast`, { ...globals }) as { Holdfast: typeof HoldfastClass };
}

describe('the files for pages', () => {
  it.each(Object.entries(bytesMax))('are as small on the wire as they were: %s', (name, max) => {
    expect(gzipSync(readFileSync(join(root, 'dist', name)), { level: 9 }).length).toBeLessThan(max);
  });

  it.skipIf(holdfast === undefined)('work with their shortened names, in both encodings: holdfast.min.js', async () => {
    const server = new RealServer();
    await server.start();
    const proxy = new Proxy(() => server.port);
    await proxy.start();
    try {
      const { Holdfast } = load('holdfast.min.js');
      for (const encoding of ['binary', 'json'] as const) {
        const client = new Holdfast(proxy.url, { encoding });
        const got: unknown[] = [];
        const events: Record<string, unknown> = {};
        client.on('connected', (event) => (events['connected'] = event));
        client.on('ended', (event) => (events['ended'] = event));
        const subscription = client.subscribe(`min:${encoding}`, (message) => got.push(message));
        const begun = await subscription.ready();
        const published = await client.publish(`min:${encoding}`, { text: 'x' }, { id: 'own' });
        const [message] = got;
        expect(message).toEqual({ type: 'message', channel: `min:${encoding}`, epoch: begun.epoch, offset: 1, id: 'own', payload: { text: 'x' }, timestamp: expect.any(Number) as number });
        expect(published).toEqual({ channel: `min:${encoding}`, offset: 1, publishId: 1 });
        expect(await client.history(`min:${encoding}`)).toEqual({ channel: `min:${encoding}`, epoch: begun.epoch, head: 1, messages: [message] });
        expect(await client.ping()).toBeGreaterThanOrEqual(0);
        await expect(client.publish('', 1)).rejects.toMatchObject({ code: 'invalid', number: 100 });
        const loop = subscription.iterate({ signal: new AbortController().signal });
        await client.publish(`min:${encoding}`, 2);
        expect(await loop.next()).toMatchObject({ done: false, value: { offset: 2, payload: 2 } });
        const stop = new AbortController();
        const over = subscription.iterate({ signal: stop.signal }).next();
        stop.abort();
        expect(await over).toEqual({ done: true, value: undefined });
        const others: string[] = [];
        const lists: number[] = [];
        subscription.on('join', ({ session }) => others.push(session));
        subscription.on('members', ({ members }) => lists.push(members.length));
        await until(() => lists.length === 1, 'the list of members');
        const other = new Holdfast(server.url, { encoding, heartbeat: 'classic' });
        await other.subscribe(`min:${encoding}`).ready();
        await until(() => others.length === 1, 'the other one is told');
        expect(others).toEqual([other.session]);
        proxy.cut();
        const results = [...Array(50).keys()].map((i) => client.publish(`min:${encoding}`, i));
        expect((await Promise.all(results)).map(({ publishId }) => publishId)).toEqual([...Array(50).keys()].map((i) => i + 3));
        await until(() => got.length === 52 && lists.length === 2, 'all messages, and the list anew');
        expect(lists).toEqual([1, 2]);
        expect((got as { payload: unknown }[]).slice(2).map(({ payload }) => payload)).toEqual([...Array(50).keys()]);
        await other.close();
        await client.close();
        expect(events['connected']).toEqual({ session: expect.any(String) as string, resumed: true, connections: 2, retries: 0, encoding });
        expect(events['ended']).toMatchObject({ cause: 'closed', asked: true, closeCode: 1000, httpStatus: 0, nextAttempt: 0, evidence: 'closed by the application', reason: '' });
      }
    } finally {
      await proxy.stop();
      await server.stop('SIGKILL');
    }
  });

  it.skipIf(holdfast === undefined)('lose nothing and double nothing where the connection is cut, and say what they have not: holdfast.core.min.js', async () => {
    const server = new RealServer();
    await server.start();
    const proxy = new Proxy(() => server.port);
    await proxy.start();
    try {
      const { Holdfast } = load('holdfast.core.min.js');
      const publisher = new Holdfast(proxy.url);
      const reader = new Holdfast(proxy.url);
      const got: unknown[] = [];
      const resumed: unknown[] = [];
      const encodings = new Set<string>();
      reader.on('connected', (event) => (resumed.push(event.resumed), encodings.add(event.encoding)));
      const subscription = reader.subscribe('core', (message) => got.push(message.payload));
      expect(await subscription.ready()).toMatchObject({ channel: 'core', offset: 0 });
      let breaks = 0;
      publisher.on('disconnected', () => breaks++);
      reader.on('disconnected', () => breaks++);
      const results: Promise<unknown>[] = [];
      for (let i = 0; i < 200; i++) {
        results.push(publisher.publish('core', i));
        if (i % 3 === 0) await new Promise((resolve) => setImmediate(resolve));
        if (i % 100 === 50) {
          const before = breaks;
          proxy.cut();
          await until(() => breaks === before + 2 && publisher.state === 'live' && reader.state === 'live', 'both are back');
        }
      }
      expect(await Promise.all(results)).toEqual(Array.from({ length: 200 }, (_, i) => expect.objectContaining({ channel: 'core', publishId: i + 1 }) as object));
      await until(() => got.length >= 200, 'all messages');
      expect(got).toEqual([...Array(200).keys()]);
      expect(resumed).toEqual([false, true, true]);
      expect([...encodings]).toEqual(['json']);
      const bytes = reader.subscribe('bytes');
      const came = new Promise((resolve) => bytes.on('message', ({ payload }) => resolve(payload)));
      await bytes.ready();
      await publisher.publish('bytes', new Uint8Array([1, 2, 255]));
      expect([...((await came) as Uint8Array)]).toEqual([1, 2, 255]);
      await bytes.unsubscribe();
      expect(bytes.state).toBe('ended');
      for (const missing of [() => reader.history('core'), () => reader.presence('core'), () => reader.ping(), () => reader.call('x')])
        await expect(missing()).rejects.toMatchObject({ code: 'unsupported', name: 'HoldfastError' });
      expect(() => subscription.iterate()).toThrow('unsupported:iterate() (docs/sdk.md)');
      expect(() => new Holdfast(proxy.url, { encoding: 'binary' })).toThrow('unsupported:"binary"');
      expect(() => new Holdfast(proxy.url, { heartbeat: 'adaptive' })).toThrow('unsupported:"adaptive"');
      expect(() => new Holdfast(proxy.url, { window: -1 })).toThrow('invalid:"window"');
      await expect(publisher.publish('', 1)).rejects.toMatchObject({ code: 'invalid', number: 100 });
      const ended = new Promise((resolve) => reader.on('ended', resolve));
      await reader.close();
      expect(await ended).toMatchObject({ cause: 'closed', asked: true, closeCode: 1000, nextAttempt: 0, reason: '' });
      await publisher.close();
      await expect(publisher.publish('core', 1)).rejects.toMatchObject({ code: 'closed' });
    } finally {
      await proxy.stop();
      await server.stop('SIGKILL');
    }
  });

  it.skipIf(holdfast === undefined)('can be had as modules, with the parts that are wanted', async () => {
    const server = new RealServer();
    await server.start();
    try {
      writeFileSync(
        join(project, 'core.mjs'),
        `import { Holdfast } from 'holdfast-client/core';
         import { adaptive } from 'holdfast-client/adaptive';
         import { binary } from 'holdfast-client/binary';
         import WebSocket from 'ws';
         globalThis.WebSocket ??= WebSocket;
         for (const use of [[], [binary], [adaptive, binary]]) {
           const client = new Holdfast(process.argv[2], { use });
           const connected = new Promise((resolve) => client.on('connected', resolve));
           const got = new Promise((resolve) => client.subscribe('parts', ({ payload }) => resolve(payload)).ready().then(() => client.publish('parts', use.length)));
           console.log((await connected).encoding, await got);
           await client.close();
         }`,
      );
      const { stdout } = await execute(process.execPath, ['core.mjs', server.url], { cwd: project });
      expect(stdout).toBe('json 0\nbinary 1\nbinary 2\n');
    } finally {
      await server.stop('SIGKILL');
    }
  });
});
