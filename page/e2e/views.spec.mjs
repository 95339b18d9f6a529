/**
 * Every view in both schemes, at a desk's and a phone's width: nothing that a screen reader would stumble over,
 * nothing in the console, nothing that scrolls sideways.
 *
 *   node --test e2e/views.spec.mjs
 *
 * DAYBOOK_SCREENSHOTS  directory for a picture of each
 */
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { launch, open, until } from './browser.mjs';
import { Mock } from './mock.mjs';

const { DAYBOOK_SCREENSHOTS } = process.env;
const PORT = 16_020;
const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const RULES = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];
const KEY = encodeURIComponent('["2026-11-23","acct-1041","EUR"]');
const HOSTILE = encodeURIComponent('["2026-11-23","<img src=x onerror=alert(1)>","EUR"]');

const live = (page) => page.getByTestId('state').filter({ hasText: 'live' }).waitFor();
const rows = (page) => page.locator('[role=row][data-key]').nth(5).waitFor();

/** Its address, what the server is told, and what is waited for or done. */
const VIEWS = {
  totals: { then: rows },
  'totals-filtered': { query: `?where=currency:EUR&pin=${KEY}&pin=${HOSTILE}&q=acct&sort=account&hide=change`, then: rows },
  'totals-table': { query: '?chart=table&measure=rate&movers=15', then: (page) => page.getByRole('rowheader').nth(5).waitFor() },
  'totals-paused': { then: async (page) => {
    await rows(page);
    await page.keyboard.press(' ');
    await page.getByTestId('state').filter({ hasText: 'changes waiting' }).waitFor();
  } },
  'totals-no-match': { query: '?q=nothing+is+called+so', then: (page) => page.getByText('No key matches').waitFor() },
  'totals-menu': { then: async (page) => {
    await rows(page);
    await page.getByText('Columns', { exact: true }).click();
  } },
  'another-day': { query: '?day=2026-11-22', state: 'stored day', then: rows },
  empty: { tell: { empty: true }, then: (page) => page.getByText('Nothing booked yet today').waitFor() },
  stale: { tell: { state: 'stale' }, state: 'stale', then: rows },
  'catching-up': { tell: { state: 'catching_up', percent: 40 }, state: 'catching up 40 %' },
  kiosk: { query: '?kiosk=1', then: rows },
  help: { then: async (page) => {
    await rows(page);
    await page.keyboard.press('?');
    await page.getByRole('dialog').waitFor();
  } },
  key: { query: `?view=key&key=${KEY}`, then: async (page) => {
    await page.getByRole('button', { name: 'Trace' }).first().click();
    await page.getByText('published').waitFor();
  } },
  'key-hostile': { query: `?view=key&key=${HOSTILE}`, then: (page) => page.getByRole('button', { name: 'Trace' }).first().waitFor() },
  pipeline: { query: '?view=pipeline&hop=sink', tell: { trouble: true }, then: (page) => page.getByText('Time of the last write to Cassandra').waitFor() },
  quarantine: { query: '?view=quarantine&record=gateway-0-1', then: (page) => page.getByText('Input, as received').waitFor() },
  'quarantine-list': { query: '?view=quarantine', then: (page) => page.getByText('Older ones').waitFor() },
  'quarantine-clean': { query: '?view=quarantine', tell: { clean: true }, then: (page) => page.getByText('Nothing is set aside').waitFor() },
  'quarantine-viewer': { query: '?view=quarantine&record=gateway-0-9100', tell: { viewer: true }, then: (page) => page.getByText('take the role operator').waitFor() },
  'totals-limited': { tell: { limited: true }, then: async (page) => {
    await rows(page);
    assert.equal(await page.getByRole('link', { name: 'Pipeline' }).count(), 0);
    assert.equal(await page.getByText('Movers').count(), 0);
  } },
  'sign-in-denied': { query: '?sign_in=denied', tell: { signin: true }, state: null, then: (page) => page.getByText('may not look').waitFor() },
  'sign-in': { tell: { signin: true }, state: null, then: (page) => page.getByLabel('Password').waitFor() },
};

let browser;
before(async () => {
  if (DAYBOOK_SCREENSHOTS) mkdirSync(DAYBOOK_SCREENSHOTS, { recursive: true });
  browser = await launch();
});
after(() => browser?.close());

for (const [name, { query = '', tell, state = 'live', then }] of Object.entries(VIEWS)) {
  test(name, async () => {
    const mock = await new Mock({ hostile: true }).listen(PORT);
    try {
      if (tell) mock.tell(tell);
      for (const scheme of ['light', 'dark']) {
        for (const [width, height] of [[1440, 900], [390, 844]]) {
          const { page, context, complaints } = await open(browser, { width, height, scheme });
          await page.goto(`http://127.0.0.1:${PORT}/${query}`);
          if (state === 'live') await live(page);
          else if (state) await page.getByTestId('state').filter({ hasText: state }).waitFor();
          await then?.(page);
          const where = `${name}, ${scheme}, ${width} px`;
          await until(`no sideways scrolling: ${where}`, () => page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), 3_000);
          assert.deepEqual(await violations(page), [], where);
          assert.deepEqual(complaints, [], where);
          if (DAYBOOK_SCREENSHOTS) await page.screenshot({ path: join(DAYBOOK_SCREENSHOTS, `${name}-${scheme}-${width}.png`), fullPage: width === 390 });
          await context.close();
        }
      }
    } finally {
      await mock.stop();
    }
  });
}

async function violations(page) {
  await page.evaluate(AXE);
  const { violations } = await page.evaluate((tags) => globalThis.axe.run(document, { runOnly: tags, resultTypes: ['violations'] }), RULES);
  return violations.map(({ id, nodes }) => `${id}: ${nodes.slice(0, 3).map(({ html, failureSummary }) => `${html.slice(0, 160)} ${failureSummary.split('\n')[1] ?? ''}`).join(' | ')}`);
}
