/** firefox.mjs - Debian's Firefox, by Puppeteer over WebDriver BiDi. Its pages and contexts are used as Playwright's are (browser.mjs), as far as actors go. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import puppeteer from 'puppeteer-core';

const executablePath = process.env.FIREFOX ?? '/usr/bin/firefox-esr';

/** A machine that does other things besides starts it slowly: the tests have deadlines of their own. */
const patienceMs = 120_000;

/** All tabs but one are hidden, and the actors' own timers are not what is tested. */
const unthrottled = {
  'dom.min_background_timeout_value': 4,
  'dom.min_background_timeout_value_without_budget_throttling': 4,
  'dom.timeout.enable_budget_timer_throttling': false,
};

export function launchFirefox() {
  // It wants a home that is its user's own, and writes there.
  const home = mkdtempSync(join(tmpdir(), 'holdfast-firefox-'));
  process.on('exit', () => rmSync(home, { recursive: true, force: true }));
  return puppeteer.launch({
    browser: 'firefox',
    executablePath,
    headless: true,
    env: { ...process.env, HOME: home, MOZ_CRASHREPORTER_DISABLE: '1' },
    timeout: patienceMs,
    protocolTimeout: patienceMs,
    extraPrefsFirefox: unthrottled,
  });
}

/** A context of its own, as far as storage goes. */
export async function newContext(firefox) {
  const context = await firefox.createBrowserContext();
  return {
    async newPage() {
      const page = await context.newPage();
      page.setDefaultTimeout(patienceMs);
      return page;
    },
    close: () => context.close(),
  };
}
