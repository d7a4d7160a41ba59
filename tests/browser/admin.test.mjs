/** admin.test.mjs - the admin page in Chromium, against the real server under some load. Screenshots are kept in HF_TEST_OUTPUT. */
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AdminPage, client, desk, phone, raw, secret } from './admin_page.mjs';
import { Window, launch } from './browser.mjs';
import { Proxy, Server } from './server.mjs';
import { check, checkEqual, never, patience, run, test, until } from './tap.mjs';

const output = process.env.HF_TEST_OUTPUT ?? 'demo-screenshots';
mkdirSync(output, { recursive: true });
const folder = mkdtempSync(join(tmpdir(), 'holdfast-browser-'));
const keyFile = join(folder, 'token.key');
writeFileSync(keyFile, secret, { mode: 0o600 });
const tokens = ['--set', `auth.keys=HS256:${keyFile}`];
const hostile = 'room/<img src=x onerror="window.hacked=1">';

const server = await new Server({ workers: 2, options: tokens }).start();
const proxy = await new Proxy(server.port).start();
const browser = await launch();

const open = (t, options) => AdminPage.open(t, browser, server, options);

/** Who publishes and listens, so that there is something to see. It ends with the test. */
async function load(t, count = 6) {
  for (let i = 0; i < count; i++) {
    const actor = await client(t, server.url, `user-${i}`);
    await actor.follow('load');
    actor.stream('load', 1e9, 100);
  }
}

/** The number behind a label of a chart. */
async function shown(admin, id, label) {
  const found = new RegExp(`${label} ([\\d.]+)(k?)`).exec(await admin.chartText(id));
  return found ? Number(found[1]) * (found[2] ? 1000 : 1) : NaN;
}

test('under load the charts move', async (t) => {
  await load(t);
  const admin = await open(t);
  await admin.untilState('live');
  await until('publishes and deliveries are drawn', async () => (await shown(admin, 'messages', 'Publishes')) > 0 && (await shown(admin, 'messages', 'Deliveries')) > (await shown(admin, 'messages', 'Publishes')));
  await until('their lines are there', async () => (await admin.coloured('messages', '--line-2')) > 40);
  const before = await admin.coloured('messages', '--line-2');
  await until('they grow', async () => (await admin.coloured('messages', '--line-2')) > before);
  await until('latencies are measured', async () => /p99 [\d.]+ m?s/.test(await admin.chartText('delivery')));
  checkEqual(await shown(admin, 'connections', 'Connections'), 6, 'connections');
  await admin.untilText('All is well');
  await until('the busiest channel is named', () => admin.link('load').isVisible());
  await admin.page.getByLabel('Workers', { exact: true }).selectOption('Worker 1');
  await until('the address names the worker', async () => admin.page.url().endsWith('#/overview?worker=1'));
  await until('it is that worker’s', async () => (await shown(admin, 'connections', 'Connections')) < 6);
  await until('its latencies are told, too', async () => /p99 [\d.]+ m?s/.test(await admin.chartText('lag')));
  admin.checkQuiet();
});

test('searches find sessions and channels, and a hostile name is text', async (t) => {
  const [ann] = [await client(t, server.url, 'ann <b>& sons</b>'), await client(t, server.url, 'berta')];
  await ann.follow(hostile);
  const { session } = ann.report();
  const admin = await open(t, { hash: '#/sessions' });
  await admin.untilText('berta');
  const search = admin.page.getByRole('searchbox');
  await search.fill('ann <b>&');
  const users = async () => (await admin.page.locator('tbody .name').allTextContents()).join();
  await until('ann alone is listed', async () => (await users()) === 'ann <b>& sons</b>');
  check(admin.page.url().includes('#/sessions?search='), 'the search stands in the address');
  await search.fill(session.slice(0, 12));
  await until('it is found by its id', async () => (await admin.page.locator('tbody a').allTextContents()).includes(session));
  await search.fill('nobody-has-this-name');
  await admin.untilText('No session is found');
  await admin.go('#/channels');
  await admin.page.getByRole('searchbox').fill('onerror');
  await admin.link(hostile).click();
  await until('its view is shown', async () => (await admin.page.locator('h1').textContent()) === hostile);
  await admin.untilText('ann <b>& sons</b>', '.presence');
  checkEqual(await admin.page.evaluate(() => [window.hacked, document.querySelectorAll('main img, main b').length]), [undefined, 0], 'what ran, and elements made of names');
  admin.checkQuiet();
});

test('a search whose view is left at once is not made', async (t) => {
  const admin = await open(t, { hash: '#/channels' });
  await admin.untilText('Channels', 'h1');
  await admin.page.evaluate(() => {
    const field = document.querySelector('.search input');
    field.value = 'too late';
    field.dispatchEvent(new Event('input'));
    location.hash = '#/sessions';
  });
  await admin.untilText('Sessions', 'h1');
  await never('the address is that of a view that was left', () => !admin.page.url().endsWith('#/sessions'), { withinMs: 1000 });
  admin.checkQuiet();
});

test('why was it disconnected', async (t) => {
  const carl = await client(t, proxy.url, 'carl');
  const { session } = carl.report();
  const admin = await open(t, { hash: `#/sessions/${session}` });
  await admin.untilText('It is connected, and no disconnect is remembered.');
  proxy.reset();
  await until('carl is back', () => carl.report().connected.length === 2);
  await admin.untilText('It is connected. Its last disconnect: cut without a word');
  // The library also asks for another heartbeat now and then.
  const events = (await admin.page.locator('.timeline .what').allTextContents()).filter((text) => !text.includes('heartbeat'));
  checkEqual(events, ['Resumed', 'Cut without a word', 'Session began'], 'its history');
  await admin.untilText('by the path between', '.timeline');
  admin.checkQuiet();
});

test('what a client did wrong is told with advice', async (t) => {
  const dora = await raw(t, server.url, 'holdfast.v1.bin', 'dora');
  const admin = await open(t, { hash: '#/sessions?search=dora' });
  await admin.page.locator('tbody a').click();
  await admin.untilText('attached');
  dora.ws.send('text on a binary connection');
  await until('the server has ended it', () => dora.closed() === 1003);
  await admin.untilText('It waits for its client to come back.');
  await admin.untilText('The client sent text on a binary connection, or the reverse, once');
  await admin.untilText('It must keep to the encoding that was agreed on');
  await admin.untilText('close code 1003', '.timeline');
});

test('the publish box', async (t) => {
  const emil = await raw(t, server.url, 'holdfast.v1.json', 'emil');
  emil.ws.send(JSON.stringify({ type: 'subscribe', channel: 'box' }));
  await until('emil is subscribed', () => emil.came.some((text) => text.includes('"subscribed"')));
  const admin = await open(t, { hash: '#/channels/box' });
  await admin.fill('Payload', '{"price": 12345678901234567890}');
  await admin.button('Publish').click();
  await admin.untilText('Published at offset 1.');
  await until('it arrives as it was typed', () => emil.came.some((text) => text.includes('{"price": 12345678901234567890}')));
  await admin.page.getByRole('radio', { name: 'Text' }).check();
  await admin.fill('Payload', 'say "hi"');
  await admin.page.keyboard.press('Control+Enter');
  await until('text arrives, too', () => emil.came.some((text) => text.includes('"payload":"say \\"hi\\""')));
  await admin.page.getByRole('radio', { name: 'JSON' }).check();
  await admin.button('Publish').click();
  await admin.untilText('This is no JSON');
  await until('the history has both', async () => (await admin.page.locator('.messages li').count()) === 2);
  checkEqual(await admin.text('.messages li:last-child .line'), '{"price":12345678901234567890}', 'the number in the history');
  await admin.page.locator('.messages summary').first().click();
  checkEqual(JSON.parse(await admin.text('.messages pre')), 'say "hi"', 'what it carries');
  admin.checkQuiet();
});

test('disconnect buttons', async (t) => {
  const [frieda, second] = [await client(t, server.url, 'frieda'), await client(t, server.url, 'frieda')];
  const { session } = frieda.report();
  const admin = await open(t, { hash: `#/sessions/${session}` });
  await admin.button('Break connection').click();
  await admin.page.keyboard.press('Escape');
  checkEqual(await admin.page.locator('dialog[open]').count(), 0, 'Escape says no');
  await admin.button('Break connection').click();
  await admin.page.locator('dialog[open]').getByRole('button', { name: 'Break connection' }).click();
  await until('she comes back and resumes', () => frieda.report().connected.filter(({ resumed }) => resumed).length === 1);
  await admin.untilText('The connection was closed');
  await until('the page knows that she is back', () => admin.button('Disconnect user').isVisible());
  checkEqual(frieda.report().connected.length, 2, 'her connections: what was not confirmed was not done');
  await admin.button('Disconnect user').click();
  await admin.page.locator('dialog[open]').getByRole('button', { name: 'Disconnect user' }).click();
  await admin.untilText('2 sessions of the user were ended.');
  await until('both have ended', () => [frieda, second].every((one) => one.report().state === 'ended'));
  await admin.untilText('It is over: session ended by the backend');
  await until('there is nothing left to end', async () => (await admin.button('End session').count()) === 0);
  await admin.untilText('Session ended by the backend', '.timeline');
  admin.checkQuiet();
});

/** The line for api.keys. */
const listed = (name, right, key) => ['--set', `api.keys=${name}=${right}:${createHash('sha256').update(key).digest('hex')}`];

test('keys: none, a wrong one, one that only reads', async (t) => {
  const locked = t.own(new Server({ workers: 1, options: [...tokens, ...listed('wall', 'read', 'look-only'), '--set', 'api.key=may-do-all'] }));
  await locked.start();
  const grete = await client(t, locked.url, 'grete');
  const admin = await AdminPage.open(t, browser, locked, { hash: `#/sessions/${grete.report().session}` });
  const enter = async (key) => {
    await admin.page.getByRole('textbox', { name: 'API key' }).fill(key);
    await admin.button('Use this key').click();
  };
  await admin.untilText('The server asks for an API key', '#key-dialog');
  await admin.untilState('key needed');
  await enter('not the key');
  await admin.untilText('neither spaces', '#key-dialog');
  for (const guess of ['guessed', 'guessed-again']) {
    await enter(guess);
    await admin.untilText('The server does not take this key', '#key-dialog');
  }
  await enter('look-only');
  await admin.untilState('live');
  await admin.untilText('grete');
  checkEqual(await admin.text('#key-name'), 'key wall', 'the key by its name');
  checkEqual(await admin.button('End session').count(), 0, 'buttons that a key which only reads has');
  await admin.go('#/channels/locked');
  await admin.untilText('There is no such channel now');
  checkEqual([await admin.button('Publish').count(), await admin.button('Read-only').isDisabled()], [0, true], 'no publish box, and no way to it');
  const refused = await admin.page.evaluate(() =>
    fetch('../api/publish', { method: 'POST', body: '{"channel":"locked","payload":1}', headers: { Authorization: `Bearer ${sessionStorage.getItem('holdfast-admin-key')}` } }).then(({ status }) => status),
  );
  checkEqual(refused, 403, 'the server refuses all the same');
  await admin.page.reload();
  await admin.untilState('live');
  await admin.button('API key').click();
  await enter('may-do-all');
  await until('the box is there', () => admin.button('Publish').isVisible());
  await admin.button('API key').click();
  await admin.button('Forget the key').click();
  await admin.untilText('The server asks for an API key', '#key-dialog');
});

test('read-only by the address and by the switch', async (t) => {
  const admin = await open(t, { hash: '#/channels/box', query: '?readonly' });
  await admin.untilState('live');
  await admin.untilText('Presence');
  checkEqual([await admin.button('Publish').count(), await admin.button('Read-only').isDisabled()], [0, true], 'by the address');
  const other = await open(t, { hash: '#/channels/box' });
  await until('the box is there', () => other.button('Publish').isVisible());
  await other.button('Read-only').click();
  await until('it is gone', async () => (await other.button('Publish').count()) === 0);
  await other.button('Read-only').click();
  await until('it is back', () => other.button('Publish').isVisible());
});

test('the server is restarted, and asks to come back later', async (t) => {
  const first = t.own(new Server({ workers: 1, options: ['--set', 'drain.timeout=500ms'] }));
  await first.start();
  const admin = await AdminPage.open(t, browser, first);
  await admin.untilState('live');
  await admin.page.route('**/api/stats*', (route) => route.fulfill({ status: 503, headers: { 'Retry-After': '1' }, body: '{"code":"overloaded","reason":"too much at once"}' }));
  await admin.untilState('busy');
  await admin.untilText('too much at once (503)', '#banner');
  await admin.page.unroute('**/api/stats*');
  await admin.untilState('live');
  check(!(await admin.chartText('messages')).includes('restarted'), 'no restart is marked before there was one');
  await first.stop();
  await admin.untilState('not reachable');
  await admin.untilText('The page tries again by itself', '#banner');
  const second = t.own(new Server({ workers: 1 }));
  Object.assign(second, { port: first.port, apiPort: first.apiPort });
  await second.start();
  await admin.untilState('live');
  await until('the charts mark it', async () => (await admin.chartText('messages')).includes('server restarted'));
  await until('they go on', async () => (await shown(admin, 'messages', 'Publishes')) === 0);
  checkEqual(await admin.page.locator('#banner').isHidden(), true, 'nothing is wrong any more');
  admin.checkQuiet();
});

test('a hidden page does not ask', async (t) => {
  const window = t.own(await new Window().start());
  const tab = await window.tab(`${server.page}admin/`);
  const asked = () => tab.run('() => performance.getEntriesByType("resource").filter(({ name }) => name.includes("/api/")).length');
  const visibility = (is) => until(`the page is ${is}`, () => tab.run('(is) => document.visibilityState === is', is));
  // A tab has nothing to be asked in before its page is there.
  await until('it asks', async () => (await asked().catch(() => 0)) >= 4);
  await window.tab('about:blank');
  await visibility('hidden');
  let last = -1;
  await until('what was under way is answered', async () => {
    const before = last;
    last = await asked();
    return before === last;
  }, { everyMs: 300 * patience });
  await never('a hidden page asked', async () => (await asked()) > last, { withinMs: 3000 });
  await tab.show();
  await until('it asks again when it is seen', async () => (await asked()) > last);
});

test('by the keyboard alone', async (t) => {
  const hans = await client(t, server.url, 'hans');
  const admin = await open(t);
  await admin.untilState('live');
  const { keyboard } = admin.page;
  const focused = () => admin.page.evaluate(() => document.activeElement.textContent.trim() || document.activeElement.id);
  await keyboard.press('Tab');
  checkEqual(await focused(), 'To the content', 'the first stop');
  await keyboard.press('Enter');
  checkEqual(await admin.page.evaluate(() => document.activeElement.id), 'main', 'where it leads');
  await admin.chart('messages').focus();
  await until('the arrows move through time', async () => {
    await keyboard.press('ArrowLeft');
    return /\d\d:\d\d:\d\d/.test(await admin.text('section[aria-labelledby="chart-messages"] .at'));
  });
  await admin.link('Sessions').focus();
  await keyboard.press('Enter');
  await admin.untilText('Sessions', 'h1');
  await keyboard.press('/');
  await keyboard.type('hans');
  await until('hans alone is listed', async () => (await admin.page.locator('tbody tr').allInnerTexts()).join().includes('hans') && (await admin.page.locator('tbody tr').count()) === 1);
  checkEqual(await admin.page.getByRole('searchbox').inputValue(), 'hans', 'where the keys went');
  await admin.link(hans.report().session).focus();
  await keyboard.press('Enter');
  await admin.untilText('Why was it disconnected?');
  checkEqual(await admin.page.evaluate(() => document.activeElement.id), 'main', 'where the focus is then');
  admin.checkQuiet();
});

/** Every view, with what it says when it has what it shows. */
async function views(t) {
  await load(t, 3);
  const iris = await client(t, proxy.url, 'iris with a rather long name that has to be cut off somewhere, because it takes all the room');
  await iris.follow(hostile);
  await iris.follow('load');
  proxy.reset();
  await until('she is back', () => iris.report().connected.length === 2);
  return [
    ['overview', '#/overview', 'Workers busy'],
    ['channels', '#/channels', 'load'],
    ['channel', '#/channels/load', 'Older messages'],
    ['sessions', '#/sessions', 'iris'],
    ['session', `#/sessions/${iris.report().session}`, 'Cut without a word'],
    ['nothing', '#/nonsense', 'There is no such view'],
  ];
}

async function lookAtAll(t, options, name, scheme) {
  const admin = await open(t, { options: { ...options, colorScheme: scheme } });
  await admin.untilState('live');
  for (const [view, hash, says] of await views(t)) {
    await admin.go(hash);
    await admin.untilText(says);
    if (view === 'overview') await until('there is something to see', async () => (await admin.answers()) >= 10);
    await admin.checkLayout(`${view} at ${options.viewport.width} px`);
    if (view !== 'nothing') await admin.screenshot(output, `${name}-${view}`);
  }
  admin.checkQuiet();
}

test('on a desk, light', (t) => lookAtAll(t, desk, 'desk-light', 'light'));
test('on a desk, dark', (t) => lookAtAll(t, desk, 'desk-dark', 'dark'));
test('on a phone', (t) => lookAtAll(t, phone, 'phone', 'light'));
test('on a small phone', (t) => lookAtAll(t, { ...phone, viewport: { width: 320, height: 640 } }, 'small-phone', 'dark'));

await run(async () => {
  await browser.close();
  await proxy.close();
  await server.stop();
  rmSync(folder, { recursive: true });
});
