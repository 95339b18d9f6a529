/**
 * Pictures for the documentation, of made-up answers.
 *
 *   node e2e/pictures.mjs DIRECTORY
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { launch, open } from './browser.mjs';
import { Mock } from './mock.mjs';

const PORT = 16_060;
const [directory = '../docs/images'] = process.argv.slice(2);
const KEY = encodeURIComponent('["2026-11-23","acct-1041","EUR"]');

const PICTURES = {
  'totals-light': { query: `?pin=${KEY}` },
  'totals-dark': { query: `?pin=${KEY}`, scheme: 'dark' },
  'key-light': { query: `?view=key&key=${KEY}`, then: (page) => page.getByRole('button', { name: 'Trace' }).first().click() },
  'pipeline-dark': { query: '?view=pipeline&hop=queue', scheme: 'dark', tell: { trouble: true } },
  'quarantine-light': { query: '?view=quarantine&record=gateway-2-9098', then: (page) => page.getByRole('button', { name: 'Send again' }).click() },
  phone: { width: 390, height: 844, deviceScaleFactor: 2, isMobile: true },
};
/** Curves and marks look alive after a while. */
const WHILE = 6_000;

mkdirSync(directory, { recursive: true });
const browser = await launch();
for (const [name, { query = '', tell, then, ...options }] of Object.entries(PICTURES)) {
  const mock = await new Mock({ perStep: 9 }).listen(PORT);
  if (tell) mock.tell(tell);
  const { page, context } = await open(browser, options);
  await page.goto(`http://127.0.0.1:${PORT}/${query}`);
  await page.getByTestId('state').filter({ hasText: 'live' }).waitFor();
  await page.waitForTimeout(WHILE);
  await then?.(page);
  if (then) await page.waitForTimeout(WHILE / 4);
  await page.screenshot({ path: join(directory, `${name}.png`) });
  await context.close();
  await mock.stop();
}
await browser.close();
