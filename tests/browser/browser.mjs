/**
 * browser.mjs - Debian's Chromium, by Playwright; and without it where a tab must really be hidden: Playwright tells every page that it has the focus, so that none ever is.
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import http from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';
import { WebSocket } from 'ws';
import { bundle } from './bundle.mjs';
import { freePort } from './server.mjs';
import { comment, until } from './tap.mjs';

const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium';
// Chromium's sandbox needs a user namespace, which root in a container often has not.
const sandbox = process.getuid() === 0 ? ['--no-sandbox'] : [];
/** What Playwright switches off and these tests are about. */
const wanted = ['--disable-back-forward-cache'];

export function launch() {
  return chromium.launch({ executablePath, args: sandbox, ignoreDefaultArgs: wanted });
}

/** Pages with an actor's code, of an origin of their own. */
export class PageServer {
  constructor() {
    this.port = freePort();
  }

  get url() {
    return `http://127.0.0.1:${this.port}/`;
  }

  async start() {
    const script = bundle('actor.ts');
    const page = '<!doctype html><title>actor</title><link rel="icon" href="data:,"><script type="module">import { Actor } from "/actor.js"; window.Actor = Actor;</script>';
    const files = { '/': ['text/html', page], '/actor.js': ['text/javascript', script], '/elsewhere': ['text/html', '<!doctype html><title>elsewhere</title>'] };
    this.server = http.createServer((request, response) => {
      const [type, text] = files[request.url] ?? ['text/plain', ''];
      response.writeHead(text ? 200 : 404, { 'Content-Type': `${type}; charset=utf-8` }).end(text);
    });
    await new Promise((resolve) => this.server.listen(this.port, '127.0.0.1', resolve));
    return this;
  }

  async close() {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }
}

/** Firefox tells it of each connection that breaks, which is what these tests do. */
const ofNetwork = /was interrupted while the page was loading|can.t establish a connection/;

/** What a page says that it should not. */
export function watch(page, name) {
  page.on('pageerror', (error) => {
    if (!ofNetwork.test(error.message)) comment(`${name}: uncaught: ${error.message}`);
  });
  page.on('console', (message) => {
    if (message.type() === 'error') comment(`${name}: console: ${message.text()}`);
  });
}

/** An actor in a page. */
export class PageActor {
  constructor(page, who) {
    this.page = page;
    this.who = who;
  }

  static async open(context, pages, who, url, options = {}) {
    const page = await context.newPage();
    watch(page, who);
    const actor = new PageActor(page, who);
    await page.goto(pages.url);
    await actor.begin(url, options);
    return actor;
  }

  /** In a page that has just been loaded. */
  async begin(url, options = {}) {
    // Not waitForFunction(): in a hidden tab no frame is drawn, by which it looks.
    await until('the page has loaded its script', () => this.page.evaluate(() => 'Actor' in window).catch(() => false));
    await this.page.evaluate(
      ([who, to, opts]) => {
        window.actor = new window.Actor(who);
        window.actor.open(to, opts);
      },
      [this.who, url, options],
    );
  }

  call(method, ...args) {
    return this.page.evaluate(([name, values]) => window.actor[name](...values), [method, args]);
  }

  async close() {
    await this.page.close();
  }
}

/** A Chromium of our own, over its debugging protocol: tabs of one window, of which one is in front and the others are hidden. */
export class Window {
  #ws;
  #waiting = new Map();
  #count = 0;

  async start() {
    this.profile = mkdtempSync(join(tmpdir(), 'holdfast-browser-'));
    const args = ['--headless', ...sandbox, '--remote-debugging-port=0', `--user-data-dir=${this.profile}`, '--no-first-run', 'about:blank'];
    this.process = spawn(executablePath, args, { stdio: 'ignore' });
    this.ended = new Promise((resolve) => this.process.on('exit', resolve));
    const [port, path] = await until('Chromium tells its debugging port', () => {
      try {
        const lines = readFileSync(join(this.profile, 'DevToolsActivePort'), 'utf8').split('\n');
        return lines.length >= 2 ? lines : null;
      } catch {
        return null; // Not written yet.
      }
    });
    this.#ws = new WebSocket(`ws://127.0.0.1:${port}${path}`);
    await new Promise((resolve, reject) => this.#ws.on('open', resolve).on('error', reject));
    this.#ws.on('message', (data) => {
      const message = JSON.parse(data);
      this.#waiting.get(message.id)?.(message);
      this.#waiting.delete(message.id);
    });
    return this;
  }

  async send(method, params = {}, sessionId = undefined) {
    const id = ++this.#count;
    const answer = await new Promise((resolve) => {
      this.#waiting.set(id, resolve);
      this.#ws.send(JSON.stringify({ id, method, params, sessionId }));
    });
    if (answer.error) throw new Error(`${method}: ${answer.error.message}`);
    return answer.result;
  }

  /** A new tab, which is in front. */
  async tab(url) {
    const { targetId } = await this.send('Target.createTarget', { url });
    const { sessionId } = await this.send('Target.attachToTarget', { targetId, flatten: true });
    return new Tab(this, targetId, sessionId);
  }

  async close() {
    this.#ws?.close();
    this.process.kill('SIGKILL');
    await this.ended;
    // Its helpers write on for a moment.
    rmSync(this.profile, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
  }
}

class Tab {
  constructor(window, targetId, sessionId) {
    Object.assign(this, { window, targetId, sessionId });
  }

  /** A function of JSON arguments, called in the page. */
  async run(body, ...args) {
    const expression = `(${body})(...${JSON.stringify(args)})`;
    const { result, exceptionDetails } = await this.window.send('Runtime.evaluate', { expression, awaitPromise: true, returnByValue: true }, this.sessionId);
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    return result.value;
  }

  /** Bring it to the front: the others are hidden. */
  async show() {
    await this.window.send('Target.activateTarget', { targetId: this.targetId });
  }

  /** 'frozen' or 'active': what a browser does with a tab that was hidden for long. */
  async lifecycle(state) {
    await this.window.send('Page.setWebLifecycleState', { state }, this.sessionId);
  }

  async beActor(who, url, options = {}) {
    await until('the page has loaded its script', () => this.run('() => "Actor" in window'));
    await this.run('(who, url, options) => { window.actor = new window.Actor(who); window.actor.open(url, options); }', who, url, options);
    return { who, call: (method, ...args) => this.run('(name, values) => window.actor[name](...values)', method, args) };
  }
}
