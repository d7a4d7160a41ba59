/** admin_page.mjs - the admin page as who runs the server sees it, and clients with users for it to look at. */
import { createHmac } from 'node:crypto';
import { join } from 'node:path';
import { WebSocket } from 'ws';
import { watch } from './browser.mjs';
import { bundle } from './bundle.mjs';
import { check, checkEqual, until } from './tap.mjs';

const { Actor, webSocketTransport } = await import(bundle('actor.ts', { forNode: true }));

export const desk = { viewport: { width: 1360, height: 900 } };
export const phone = { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true };

/** What the server is told to trust. */
export const secret = 'only-for-these-tests-and-long-enough-for-it';

/** A JWT (RFC 7519) of HS256 for that user. */
export function tokenOf(user) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const text = `${part({ alg: 'HS256', typ: 'JWT' })}.${part({ sub: user, exp: Math.floor(Date.now() / 1000) + 3600 })}`;
  return `${text}.${createHmac('sha256', secret).update(text).digest('base64url')}`;
}

/** A client of the library that is this user. */
export async function client(t, url, user) {
  const actor = t.own(new Actor(user));
  actor.open(url, { transport: webSocketTransport(WebSocket), getToken: () => tokenOf(user) });
  await until(`${user} is connected`, () => actor.report().state === 'live');
  return actor;
}

/** A WebSocket of its own making, with all that came. */
export async function raw(t, url, protocol, user) {
  const ws = new WebSocket(url, [protocol, `hf.token.${tokenOf(user)}`]);
  const came = [];
  let closed = null;
  ws.on('message', (data) => came.push(String(data)));
  ws.on('close', (code) => {
    closed = code;
  });
  ws.on('error', () => undefined);
  t.own({ close: () => ws.terminate() });
  await until(`${user}'s socket is open`, () => ws.readyState === WebSocket.OPEN);
  return { ws, came, closed: () => closed };
}

export class AdminPage {
  static async open(t, browser, server, { options = desk, hash = '', query = '' } = {}) {
    const context = t.own(await browser.newContext(options));
    const admin = new AdminPage();
    admin.context = context;
    admin.page = await context.newPage();
    admin.errors = [];
    admin.hosts = new Set();
    watch(admin.page, 'admin');
    admin.page.on('pageerror', (error) => admin.errors.push(error.message));
    admin.page.on('console', (message) => {
      if (/Content Security Policy|Content-Security-Policy/.test(message.text())) admin.errors.push(message.text());
    });
    admin.page.on('request', (request) => admin.hosts.add(new URL(request.url()).host));
    admin.host = new URL(server.page).host;
    admin.url = `${server.page}admin/${query}`;
    await admin.page.goto(admin.url + hash);
    return admin;
  }

  async untilState(word) {
    await until(`the page says ${word}`, async () => (await this.page.textContent('#state-text')) === word);
  }

  /** Another view, by its address. */
  async go(hash) {
    await this.page.evaluate((to) => {
      location.hash = to;
    }, hash);
  }

  button(name) {
    return this.page.getByRole('button', { name, exact: true });
  }

  link(name) {
    return this.page.getByRole('link', { name, exact: true });
  }

  text(selector = 'main') {
    return this.page.locator(selector).innerText();
  }

  async untilText(what, selector = 'main') {
    await until(`${selector} says ${what}`, async () => (await this.text(selector)).includes(what));
  }

  /** What a chart tells those who do not see it. */
  chart(id) {
    return this.page.locator(`section[aria-labelledby="chart-${id}"] [role="img"]`);
  }

  async chartText(id) {
    return (await this.chart(id).getAttribute('aria-label')) ?? '';
  }

  /** How many answers its charts stand on. */
  answers() {
    return this.page.evaluate(() => performance.getEntriesByType('resource').filter(({ name }) => name.includes('/api/stats')).length);
  }

  /** How many points of a chart's canvas have this colour of the style sheet, more or less. */
  coloured(id, token) {
    return this.chart(id)
      .locator('canvas')
      .evaluate((canvas, name) => {
        const wanted = getComputedStyle(document.documentElement).getPropertyValue(name).trim().slice(1).match(/../g);
        const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
        let count = 0;
        for (let i = 0; i < data.length; i += 4) if (data[i + 3] > 200 && wanted.every((hex, c) => Math.abs(parseInt(hex, 16) - data[i + c]) < 24)) count++;
        return count;
      }, token);
  }

  async fill(label, text) {
    await this.page.getByLabel(label, { exact: true }).fill(text);
  }

  /** All of it, the charts that are out of sight too: they are drawn when they are seen. */
  async screenshot(output, name) {
    const size = this.page.viewportSize();
    const height = await this.page.evaluate(() => document.documentElement.scrollHeight);
    await this.page.setViewportSize({ width: size.width, height });
    if ((await this.page.locator('.chart').count()) > 0)
      await until('all charts are drawn', () => this.page.evaluate(() => [...document.querySelectorAll('.chart .plot')].every((plot) => plot.querySelector('canvas'))));
    await this.page.screenshot({ path: join(output, `admin-${name}.png`), fullPage: true });
    await this.page.setViewportSize(size);
  }

  async checkLayout(what) {
    const wide = await this.page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    check(wide <= 0, `${what}: ${wide} pixels stick out`);
    const nameless = await this.page.evaluate(() =>
      [...document.querySelectorAll('button, input, select, textarea, a, [role="img"], [tabindex="0"]')]
        .filter((e) => !e.closest('[hidden]') && !(e.getAttribute('aria-label') || e.labels?.[0]?.textContent.trim() || e.textContent.trim()))
        .map((e) => e.outerHTML),
    );
    checkEqual(nameless, [], `${what}: elements without a name`);
  }

  checkQuiet() {
    checkEqual(this.errors, [], 'errors in the page');
    checkEqual([...this.hosts], [this.host], 'hosts that it asked');
  }
}
