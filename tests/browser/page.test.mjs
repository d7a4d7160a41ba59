/** page.test.mjs - what the demo's page counts, without a browser: its counters must see what the library promises not to do. */
import { bundle } from './bundle.mjs';
import { checkEqual, run, test } from './tap.mjs';

const { Ledger } = await import(bundle('../../src/demo/page/ledger.ts', { forNode: true }));
const { Breaks } = await import(bundle('../../src/demo/page/breaks.ts', { forNode: true }));

/** A ledger of so many sent, to which these have come. */
function ledger(sent, came) {
  const made = new Ledger();
  for (let i = 0; i < sent; i++) made.next();
  for (const n of came) made.take(n);
  const { received, lost, doubled, late, pending } = made;
  return { received, lost, doubled, late, pending };
}

test('what has not come yet is pending', async () => {
  checkEqual(ledger(3, []), { received: 0, lost: 0, doubled: 0, late: 0, pending: 3 }, 'nothing has come');
  checkEqual(ledger(3, [1, 2]), { received: 2, lost: 0, doubled: 0, late: 0, pending: 1 }, 'two of three');
});

test('what was passed over is lost, until it comes late', async () => {
  checkEqual(ledger(5, [1, 4]), { received: 2, lost: 2, doubled: 0, late: 0, pending: 1 }, '2 and 3 are missing');
  checkEqual(ledger(5, [1, 4, 3]), { received: 3, lost: 1, doubled: 0, late: 1, pending: 1 }, '3 came late');
});

test('what comes twice is doubled, also when it was late', async () => {
  checkEqual(ledger(3, [1, 1, 2, 1]), { received: 2, lost: 0, doubled: 2, late: 0, pending: 1 }, '1 came three times');
  checkEqual(ledger(3, [1, 3, 2, 2]), { received: 3, lost: 0, doubled: 1, late: 1, pending: 0 }, '2 came late, and once more');
});

test('a break lasts from its loss to the end of catching up', async () => {
  const breaks = new Breaks();
  breaks.message(1000);
  breaks.broke(1200);
  breaks.broke(1250); // An attempt was welcomed, and lost again.
  breaks.connected(1300, true);
  breaks.message(1310);
  checkEqual(breaks.caughtUp(1320, 4), { recoveryMs: 120, silenceMs: 310, messages: 4 }, 'what it took');
  checkEqual([breaks.count, breaks.resumed], [1, 1], 'breaks, resumed');
  checkEqual(breaks.outages, [{ from: 1000, to: 1320 }], 'the shade in the chart');
  checkEqual(breaks.caughtUp(1400, 0), null, 'nothing was broken since');
});

test('a doubt is a break if it ends in another connection', async () => {
  const breaks = new Breaks();
  breaks.message(1000);
  breaks.doubted(2000);
  breaks.proven();
  breaks.doubted(3000);
  breaks.doubted(3500);
  checkEqual(breaks.count, 0, 'breaks so far');
  breaks.connected(4000, true);
  checkEqual(breaks.caughtUp(4100, 0), { recoveryMs: 1100, silenceMs: 3100, messages: 0 }, 'from the doubt on');
  checkEqual([breaks.count, breaks.resumed], [1, 1], 'breaks, resumed');
});

test('a break that is not mended counts, and shows', async () => {
  const breaks = new Breaks();
  breaks.broke(500);
  breaks.connected(600, false);
  checkEqual([breaks.count, breaks.resumed, breaks.outages], [1, 0, [{ from: 500, to: null }]], 'breaks, resumed, shades');
});

await run();
