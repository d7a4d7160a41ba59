/** demo.test.mjs - the demo's page: each button, on a desk and on a phone, and what the counters say at the end. Screenshots are kept in HF_TEST_OUTPUT. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { launch, watch } from './browser.mjs';
import { Server, freePort } from './server.mjs';
import { check, checkEqual, run, test, until } from './tap.mjs';

const output = process.env.HF_TEST_OUTPUT ?? 'demo-screenshots';
mkdirSync(output, { recursive: true });
const server = await new Server({ workers: 2, options: ['--demo'] }).start();
const browser = await launch();

const desk = { viewport: { width: 1280, height: 900 } };
const phone = { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true };

const numberIn = (text) => Number(text.replaceAll(',', ''));

/** The page as who looks at it sees it. */
class Demo {
  static async open(t, options, url = server.page) {
    const context = t.own(await browser.newContext(options));
    const demo = new Demo();
    demo.page = await context.newPage();
    demo.errors = [];
    demo.hosts = new Set();
    watch(demo.page, 'demo');
    demo.page.on('pageerror', (error) => demo.errors.push(error.message));
    demo.page.on('request', (request) => demo.hosts.add(new URL(request.url()).host));
    await demo.page.addInitScript(() => {
      window.shift = 0;
      new PerformanceObserver((list) => {
        for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shift += entry.value;
      }).observe({ type: 'layout-shift', buffered: true });
    });
    demo.url = url;
    await demo.page.goto(url);
    await demo.untilState('connected');
    return demo;
  }

  async number(id) {
    return numberIn(await this.page.textContent(`#${id}`));
  }

  async untilState(word) {
    await until(`the page is ${word}`, async () => (await this.page.textContent('#state-text')) === word);
  }

  button(name) {
    return this.page.getByRole('button', { name });
  }

  /** One break more, mended: what is sent afterwards comes back. */
  async untilBack(breaks, withinMs = 20_000) {
    await until(`break ${breaks} is mended`, async () => (await this.number('breaks')) === breaks && (await this.number('resumed')) === breaks, { withinMs });
    await this.untilState('connected');
    const sent = await this.number('sent');
    await until('what was sent before comes back', async () => (await this.number('received')) >= sent);
  }

  async screenshot(name) {
    await this.page.screenshot({ path: join(output, `${name}.png`), fullPage: true });
  }

  async checkCounters() {
    const ids = ['lost', 'doubled', 'late'];
    checkEqual(await Promise.all(ids.map((id) => this.number(id))), [0, 0, 0], 'lost, doubled, out of order');
    const sent = await this.number('sent');
    await until('all of it has come back', async () => (await this.number('received')) >= sent);
    checkEqual(this.errors, [], 'errors in the page');
    checkEqual([...this.hosts], [new URL(this.url).host], 'hosts that it asked');
    const events = await this.page.textContent('#events');
    check(!events.includes('Gap') && !events.includes('failed') && !events.includes('Problem'), `what happened: ${events}`);
  }
}

test('nothing jumps, and all has a name', async (t) => {
  for (const options of [desk, phone, { ...phone, viewport: { width: 320, height: 640 } }]) {
    const demo = await Demo.open(t, options);
    await until('forty messages', async () => (await demo.number('received')) >= 40);
    const shift = await demo.page.evaluate(() => window.shift);
    check(shift < 0.01, `at ${options.viewport.width} px: layout shift ${shift}`);
    const wide = await demo.page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    checkEqual(wide, 0, `at ${options.viewport.width} px: pixels that stick out`);
    const nameless = await demo.page.evaluate(() =>
      [...document.querySelectorAll('button, input, canvas, a')].filter((e) => !(e.getAttribute('aria-label') || e.labels?.[0]?.textContent.trim() || e.textContent.trim())).map((e) => e.outerHTML),
    );
    checkEqual(nameless, [], 'elements without a name');
    await demo.checkCounters();
  }
});

test('dropped', async (t) => {
  const demo = await Demo.open(t, desk);
  for (let n = 1; n <= 3; n++) {
    await demo.button('Drop my connection').click();
    await demo.untilBack(n);
  }
  check(/^\d+(\.\d+)?$/.test(await demo.page.textContent('#recovery')), 'the recovery is told');
  await demo.checkCounters();
});

test('a worker killed, again and again', async (t) => {
  const demo = await Demo.open(t, desk);
  for (let n = 1; n <= 2; n++) {
    const before = server.workerPids();
    await until('the button may be pressed', () => demo.button('Kill a worker').isEnabled());
    await demo.button('Kill a worker').click();
    await until('one of them has another process', () => {
      const pids = server.workerPids();
      return pids.length === 2 && pids.filter((pid) => before.includes(pid)).length === 1;
    });
    await demo.untilBack(n);
  }
  await demo.checkCounters();
});

test('frozen', async (t) => {
  const demo = await Demo.open(t, { ...desk, colorScheme: 'dark' });
  await demo.button('Freeze it').click();
  await until('it says for how long', async () => /^Frozen for \d+ s more$/.test(await demo.page.textContent('#freeze-label')));
  await demo.untilBack(1);
  check((await demo.page.textContent('#freeze-label')).startsWith('Frozen'), 'the client was back before the freeze was over');
  await demo.screenshot('desk-dark-frozen');
  await demo.checkCounters();
});

test('offline, with a chat that goes on', async (t) => {
  const [demo, other] = [await Demo.open(t, desk), await Demo.open(t, desk)];
  await demo.button('Go offline').click();
  await demo.untilState('offline');
  await demo.page.getByRole('textbox', { name: 'Message' }).fill('said offline');
  await demo.button('Send').click();
  checkEqual(await demo.page.locator('#lines .unsent .said').allTextContents(), ['said offline'], 'lines that wait');
  await other.page.getByRole('textbox', { name: 'Message' }).fill('said meanwhile');
  await other.page.keyboard.press('Enter');
  await until('it is said', async () => (await other.page.locator('#lines .unsent').count()) === 0);
  checkEqual(await other.page.locator('#lines .said').allTextContents(), ['said meanwhile'], 'what the other tab has');
  await demo.screenshot('desk-offline');
  await demo.button('Back online').click();
  await demo.untilBack(1);
  for (const { page } of [demo, other]) {
    await until('both tabs have both lines', async () => (await page.locator('#lines li:not(.unsent)').count()) === 2);
    checkEqual(await page.locator('#lines .said').allTextContents(), ['said meanwhile', 'said offline'], 'in the same order');
  }
  await demo.checkCounters();
  await other.checkCounters();
});

test('everything, on a phone', async (t) => {
  const demo = await Demo.open(t, phone);
  await demo.screenshot('phone-light');
  await demo.button('Drop my connection').tap();
  await demo.untilBack(1);
  await demo.button('Kill a worker').tap();
  await demo.untilBack(2);
  await demo.button('Freeze it').tap();
  await demo.untilBack(3);
  await demo.button('Go offline').tap();
  await demo.untilState('offline');
  await demo.button('Back online').tap();
  await demo.untilBack(4);
  await demo.button('Switch between light and dark').tap();
  await demo.screenshot('phone-dark');
  await demo.checkCounters();
});

test('as it looks after a while', async (t) => {
  const demo = await Demo.open(t, { ...desk, colorScheme: 'light' });
  await demo.page.getByRole('textbox', { name: 'Message' }).fill('Pull the plug, I dare you.');
  await demo.page.keyboard.press('Enter');
  await demo.button('Drop my connection').click();
  await demo.untilBack(1);
  await until('the button may be pressed', () => demo.button('Kill a worker').isEnabled());
  await demo.button('Kill a worker').click();
  await demo.untilBack(2);
  await demo.page.mouse.move(0, 0);
  await demo.screenshot('desk-light');
  await demo.checkCounters();
});

test('over TLS, by https and wss', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-browser-'));
  t.own({ close: () => rmSync(folder, { recursive: true }) });
  const [certificate, key] = [join(folder, 'one.pem'), join(folder, 'one.key')];
  const request = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2', '-subj', '/CN=localhost', '-addext', 'subjectAltName=IP:127.0.0.1'];
  execFileSync('openssl', [...request, '-out', certificate, '-keyout', key], { stdio: 'ignore' });
  const settings = [`tls.listen=127.0.0.1:${freePort()}`, `tls.certificates=${certificate}:${key}`, 'api.tls=true'];
  const secure = t.own(new Server({ workers: 1, options: ['--demo', ...settings.flatMap((setting) => ['--set', setting])] }));
  await secure.start({ ready: 'event=ready' });
  const url = secure.page.replace('http:', 'https:');
  const demo = await Demo.open(t, { ...desk, ignoreHTTPSErrors: true }, url);
  check((await demo.page.evaluate(() => fetch('/demo/server').then((answer) => answer.json()))).scheme === 'wss', 'it connects by wss');
  await demo.button('Drop my connection').click();
  await demo.untilBack(1);
  await demo.checkCounters();
});

await run(async () => {
  await browser.close();
  await server.stop();
});
