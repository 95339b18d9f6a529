/**
 * The page in a real browser over a real Daybook: it loads, moves after a post, and survives
 * `kill -9` of the server without a reload, with the right totals.
 *
 *   DAYBOOK_BIN=…/daybook npm run e2e
 *
 * DAYBOOK_BIN         the binary; `up --data-dir TMP --port-offset N` is started
 * DAYBOOK_PAGE_DEV    instead: the example `dev` of crate `web`, which has rows but no gateway
 * DAYBOOK_SCREENSHOT  where to save a picture of the page at the end
 * CHROMIUM            default /usr/bin/chromium
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { launch, open, until as untilOf } from './browser.mjs';

const { DAYBOOK_BIN, DAYBOOK_PAGE_DEV, DAYBOOK_SCREENSHOT } = process.env;
// All ports below those that the system gives out by itself.
const OFFSET = 20_000 + (process.pid % 3_000);
const WEB = `http://127.0.0.1:${8080 + OFFSET}`;
const GATEWAY = `http://127.0.0.1:${8081 + OFFSET}`;
const PATIENCE = 60_000;
const SOON = { timeout: 15_000 };

const scratch = mkdtempSync(join(tmpdir(), 'daybook-page-'));
const booked = join(scratch, 'booked');
/** Exact totals that the page must show, in cents. */
const truth = new Map();
let server;
let browser;
let page;
let complaints = [];

function start() {
  const [bin, args] = DAYBOOK_BIN
    ? [DAYBOOK_BIN, ['up', '--data-dir', join(scratch, 'data'), '--port-offset', String(OFFSET)]]
    : [DAYBOOK_PAGE_DEV, ['0', '0', String(8080 + OFFSET), booked]];
  server = spawn(bin, args, { stdio: ['ignore', 'inherit', 'inherit'] });
}

async function stop(signal) {
  const ended = new Promise((resolve) => server.once('exit', resolve));
  server.kill(signal);
  await ended;
}

const until = (what, check) => untilOf(what, check, PATIENCE);

const ready = () => until('getting ready', async () => (await fetch(`${WEB}/readyz`)).ok);

async function post(account, currency, cents) {
  if (!DAYBOOK_BIN) {
    appendFileSync(booked, `${account} ${currency} ${cents}\n`);
  } else {
    // The id stays the same over retries, so that a retry is never counted twice.
    const body = JSON.stringify({
      id: `page-${truth.size}-${Math.random()}`, account, currency,
      amount: (cents / 100).toFixed(2), booked_at: new Date().toISOString(),
    });
    await until('posting', async () => {
      const headers = { 'content-type': 'application/json' };
      return (await fetch(`${GATEWAY}/v1/transactions/json`, { method: 'POST', headers, body })).status === 202;
    });
  }
  const key = `${account} ${currency}`;
  truth.set(key, (truth.get(key) ?? 0) + cents);
}

/** As the page writes it in the locale of this test. */
const shown = (cents) =>
  new Intl.NumberFormat('en-US', { minimumFractionDigits: 2 }).format(cents / 100).replace('-', '\u2212');

const row = (account) =>
  page.locator('[role=row][data-key]', { has: page.getByRole('gridcell', { name: account, exact: true }) });

async function showsTruth() {
  for (const [key, cents] of truth) {
    const [account] = key.split(' ');
    const cell = row(account).getByRole('gridcell', { name: shown(cents), exact: true });
    await cell.waitFor(SOON);
  }
}

const state = (text) => page.getByTestId('state').filter({ hasText: text }).waitFor(SOON);

before(async () => {
  assert.ok(DAYBOOK_BIN || DAYBOOK_PAGE_DEV, 'set DAYBOOK_BIN to the binary');
  writeFileSync(booked, '');
  start();
  browser = await launch();
  ({ page, complaints } = await open(browser));
  await ready();
});

after(async () => {
  await browser?.close();
  if (server?.exitCode === null) await stop('SIGKILL');
  rmSync(scratch, { recursive: true, force: true });
});

test('an empty page teaches how to post a first transaction', async () => {
  await page.goto(WEB);
  await state('live');
  await page.getByText('Nothing booked yet today').waitFor(SOON);
  await page.getByText('/v1/transactions/json').waitFor(SOON);
  await page.evaluate(() => (window.loadedOnce = true));
});

test('a value changes after a post', async () => {
  await post('ann', 'EUR', 1250);
  await showsTruth();
  await post('ann', 'EUR', -2001);
  await post('bob', 'USD', 123456789);
  await showsTruth();
});

test('names that look like code are text', async () => {
  await post('<img/src=x/onerror=alert(1)>', 'EUR', 1);
  await showsTruth();
  assert.equal(await page.locator('[role=grid] img').count(), 0);
});

test('a killed server is told, what is shown stays, and a restarted one goes on without a reload', async () => {
  await stop('SIGKILL');
  await state('reconnecting');
  await showsTruth();
  start();
  await ready();
  await state('live');
  await post('ann', 'EUR', 777);
  await post('eve', 'EUR', 5);
  await showsTruth();
  assert.equal(await page.evaluate(() => window.loadedOnce), true, 'the page was reloaded');
  const euros = [...truth].filter(([key]) => key.endsWith('EUR')).reduce((sum, [, cents]) => sum + cents, 0);
  await page.getByRole('region', { name: 'Sums' }).getByRole('listitem').filter({ hasText: 'EUR' }).getByText(shown(euros), { exact: true }).waitFor(SOON);
});

test('the order follows a click, the search finds, a late page shows the same', async () => {
  await page.getByRole('columnheader', { name: 'account' }).getByRole('button').click();
  await page.mouse.move(0, 0);
  const names = () => page.locator('[role=row][data-key]').evaluateAll((rows) =>
    rows.sort((a, b) => a.ariaRowIndex - b.ariaRowIndex).map((row) => row.querySelectorAll('[role=gridcell]')[1].textContent.trim()));
  await until('sorting', async () => {
    const found = await names();
    return found.length === 4 && found.join() === [...found].sort().join();
  });
  await page.getByRole('searchbox').fill('bob');
  await until('searching', async () => (await names()).join() === 'bob');
  await page.reload();
  await state('live');
  await until('searching again', async () => (await names()).join() === 'bob');
  await page.getByRole('searchbox').fill('');
  await showsTruth();
});

test('a key has a view of its own, and so has the pipeline', async () => {
  await row('ann').getByRole('link').click();
  await page.getByRole('heading', { name: 'ann' }).waitFor(SOON);
  await page.getByText(shown(truth.get('ann EUR')), { exact: true }).first().waitFor(SOON);
  await page.getByRole('link', { name: 'Pipeline' }).click();
  for (const hop of ['gateway', 'aggregator', 'web']) await page.getByRole('rowheader', { name: hop }).waitFor(SOON);
  await page.getByRole('link', { name: 'Quarantine' }).click();
  await page.getByText('Nothing is set aside').waitFor(SOON);
  await page.getByRole('link', { name: 'Totals' }).click();
  await showsTruth();
});

test('nothing complained', async () => {
  if (DAYBOOK_SCREENSHOT) await page.screenshot({ path: DAYBOOK_SCREENSHOT });
  assert.deepEqual(complaints, []);
});
