/**
 * The life of a page against made-up answers: live changes, pause, a server that dies, another replica that lags, midnight,
 * the address, the keyboard, signing in.
 *
 *   node --test e2e/life.spec.mjs
 */
import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { launch, open, until } from './browser.mjs';
import { Mock } from './mock.mjs';

const PORT = 16_040;
const SERVER = `http://127.0.0.1:${PORT}`;

let browser;
let mock;
let view;

before(async () => (browser = await launch()));
after(() => browser?.close());

async function start(options = {}, address = '', page = {}) {
  mock = await new Mock({ still: true, keys: 60, ...options }).listen(PORT);
  view = await open(browser, page);
  await view.page.goto(`${SERVER}/${address}`);
}

beforeEach(() => { mock = undefined; view = undefined; });
afterEach(async () => {
  const complaints = view?.complaints ?? [];
  await view?.context.close();
  await mock?.stop();
  assert.deepEqual(complaints, []);
});

const state = (text) => view.page.getByTestId('state').filter({ hasText: text }).waitFor({ timeout: 15_000 });
const row = (name) => view.page.locator('[role=row][data-key]', { has: view.page.getByRole('gridcell', { name, exact: true }) });
const total = async (name) => (await row(name).last().getByRole('gridcell').nth(3).textContent()).trim();
const shows = (name, text) => until(`${name} showing ${text}`, async () => (await total(name)) === text);
const names = () =>
  view.page.locator('.all [role=row][data-key]').evaluateAll((rows) =>
    rows.sort((a, b) => a.ariaRowIndex - b.ariaRowIndex).map((row) => row.querySelectorAll('[role=gridcell]')[1].textContent.trim()));
const set = (account, cents) => mock.tell({ set: { account, currency: 'EUR', cents } });

test('a change is painted in place, and what rose moves up', async () => {
  await start();
  await state('live');
  set('acct-new', 12_345);
  await view.page.getByRole('searchbox').fill('acct-new');
  await shows('acct-new', '123.45');
  set('acct-new', -70_001);
  await shows('acct-new', '\u2212700.01');
  await view.page.getByRole('searchbox').fill('');
  set('acct-new', 99_999_999_99);
  await until('the new one on top', async () => (await names())[0] === 'acct-new');
});

test('a page asks for its rows once, and again only for others', async () => {
  await start({ keys: 1_200 });
  await state('live');
  await until('rows', async () => (await names()).length > 10);
  await until('sparks', () => mock.requests.some((url) => url.includes('/sparks')));
  const streams = () => mock.requests.filter((url) => url.includes('/stream')).length;
  assert.equal(streams(), 1);
  await view.page.getByRole('grid').evaluate((grid) => (grid.scrollTop = 34 * 300));
  await until('the rows further down', async () => (await view.page.locator('[aria-rowindex="310"][data-key]').count()) === 1);
  assert.equal(streams(), 2);
});

test('the order is held while a row is read, values are not', async () => {
  await start();
  await state('live');
  await until('rows', async () => (await names()).length > 10);
  const before = (await names())[0];
  await row(before).hover();
  set('acct-other', 99_999_999_00);
  await view.page.getByText('order held while you read').waitFor();
  const moved = before.startsWith('acct') ? before : 'acct-1000';
  const currency = (await row(moved).last().getByRole('gridcell').nth(2).textContent()).trim();
  mock.tell({ set: { account: moved, currency, cents: 100 } });
  await shows(moved, currency === 'JPY' ? '1' : '1.00');
  assert.equal((await names())[0], before);
  await view.page.mouse.move(5, 5);
  await until('the order made anew', async () => (await names())[0] === 'acct-other');
});

test('a paused page stands still, says what waits, and catches up at once', async () => {
  await start();
  await state('live');
  set('acct-new', 99_999_999_00);
  await shows('acct-new', '99,999,999.00');
  await view.page.keyboard.press(' ');
  await state('paused · 0 changes waiting');
  set('acct-new', 99_999_999_01);
  set('acct-new', 99_999_999_02);
  await state('paused · 1 change waiting');
  assert.equal(await total('acct-new'), '99,999,999.00');
  await view.page.getByRole('button', { name: 'Go on' }).click();
  await shows('acct-new', '99,999,999.02');
  await state('live');
});

test('a server that dies leaves what is shown, and one that comes back is followed without a reload', async () => {
  await start();
  await state('live');
  set('acct-new', 99_999_999_00);
  await shows('acct-new', '99,999,999.00');
  await view.page.evaluate(() => (globalThis.loadedOnce = true));
  const { world } = mock;
  await mock.stop();
  await state('reconnecting');
  assert.equal(await total('acct-new'), '99,999,999.00');
  mock = new Mock({ still: true });
  mock.world = world;
  await mock.listen(PORT);
  set('acct-new', 99_999_999_07);
  await state('live');
  await shows('acct-new', '99,999,999.07');
  assert.equal(await view.page.evaluate(() => globalThis.loadedOnce), true);
});

test('a server that falls silent is noticed', async () => {
  await start();
  await state('live');
  mock.tell({ silent: true });
  await until('noticing', async () => (await view.page.getByTestId('state').textContent()).includes('reconnecting'), 20_000);
  mock.tell({ silent: false });
  await state('live');
});

test('a replica that lags never paints an older value', async () => {
  await start();
  await state('live');
  set('acct-new', 99_999_999_00);
  await shows('acct-new', '99,999,999.00');
  mock.tell({ lag: true });
  // The lagging replica stands here; the one in use goes on.
  const behind = mock.lagging;
  mock.lagging = null;
  set('acct-new', 99_999_999_50);
  await shows('acct-new', '99,999,999.50');
  await view.page.evaluate(() => {
    globalThis.seen = new Set();
    new MutationObserver(() => {
      for (const row of document.querySelectorAll('[data-key*="acct-new"]')) globalThis.seen.add(row.querySelectorAll('[role=gridcell]')[3].textContent.trim());
    }).observe(document.querySelector('[role=grid]'), { subtree: true, childList: true, characterData: true });
  });
  mock.lagging = behind;
  const asked = mock.requests.length;
  mock.tell({ drop: true });
  await until('the lagging replica asked', () => mock.requests.slice(asked).some((url) => url.includes('/stream')));
  await state('live');
  // Also where it was out of sight for a while.
  await view.page.getByRole('searchbox').fill('acct-1000');
  await until('searching', async () => (await names()).every((name) => name === 'acct-1000'));
  await view.page.getByRole('searchbox').fill('');
  await until('all again', async () => (await names()).length > 10);
  assert.equal(await total('acct-new'), '99,999,999.50');
  mock.lagging = null;
  mock.tell({ drop: true });
  set('acct-new', 99_999_999_60);
  await shows('acct-new', '99,999,999.60');
  const seen = await view.page.evaluate(() => [...globalThis.seen]);
  assert.deepEqual(seen.filter((text) => text !== '99,999,999.50' && text !== '99,999,999.60'), []);
});

test('midnight is announced, not jumped over', async () => {
  await start();
  await state('live');
  set('acct-new', 99_999_999_00);
  await shows('acct-new', '99,999,999.00');
  mock.tell({ roll: true });
  await view.page.getByText('A new day has begun.').waitFor();
  assert.equal(await total('acct-new'), '99,999,999.00');
  assert.match(view.page.url(), /day=2026-11-23/);
  await view.page.getByRole('button', { name: /^Show .*November 24/ }).click();
  await view.page.getByText('Nothing booked yet today').waitFor();
  mock.tell({ set: { account: 'acct-early', currency: 'EUR', cents: 100 } });
  await shows('acct-early', '1.00');
});

test('who was not connected at midnight learns of it afterwards', async () => {
  await start();
  await state('live');
  set('acct-new', 99_999_999_00);
  await shows('acct-new', '99,999,999.00');
  const { world } = mock;
  await mock.stop();
  await state('reconnecting');
  world.roll();
  mock = new Mock({ still: true });
  mock.world = world;
  await mock.listen(PORT);
  await view.page.getByText('A new day has begun.').waitFor();
  assert.equal(await total('acct-new'), '99,999,999.00');
  assert.match(view.page.url(), /day=2026-11-23/);
});

test('another log resets what is known, what is shown stays until then', async () => {
  await start();
  await state('live');
  set('acct-new', 99_999_999_00);
  await shows('acct-new', '99,999,999.00');
  for (const one of mock.world.tables.get('daily_totals')) if (one.name === 'acct-new') Object.assign(one, { sequence: 0, cents: 99_999_990_00 });
  mock.tell({ reset: true });
  await shows('acct-new', '99,999,990.00');
  await state('live');
});

test('the whole view is in the address', async () => {
  await start();
  await state('live');
  await until('rows', async () => (await names()).length > 10);
  await view.page.getByRole('columnheader', { name: 'account' }).getByRole('button').click();
  await view.page.getByRole('button', { name: 'USD', exact: true }).click();
  await view.page.getByRole('searchbox').fill('acct-10');
  await view.page.getByRole('button', { name: '5 min', exact: true }).click();
  const wanted = async () => {
    const found = await names();
    return found.length > 3 && found.join() === [...found].sort().join() && (await view.page.getByTestId('size').textContent()).includes(' of 60');
  };
  await until('sorted and filtered', wanted);
  const address = view.page.url();
  await view.page.reload();
  await until('the same after a reload', wanted);
  assert.equal(view.page.url(), address);
});

test('the keyboard reaches everything', async () => {
  await start();
  await state('live');
  await until('rows', async () => (await names()).length > 10);
  const { keyboard } = view.page;
  await keyboard.press('j');
  await keyboard.press('j');
  const second = (await names())[1];
  await until('the second row chosen', async () => (await view.page.locator('.all [aria-selected=true]').textContent()).includes(second));
  const marked = await view.page.getByRole('grid').getAttribute('aria-activedescendant');
  assert.equal(await view.page.locator(`#${marked}`).getAttribute('aria-selected'), 'true');
  await keyboard.press('p');
  await until('pinned', async () => (await view.page.locator('.head [data-key]').count()) === 1);
  await keyboard.press('Enter');
  await view.page.getByRole('heading', { name: second }).waitFor();
  await keyboard.press('Escape');
  await view.page.getByRole('searchbox').waitFor();
  await keyboard.press('/');
  await keyboard.type('zzz');
  await view.page.getByText('No key matches').waitFor();
  await keyboard.press('Escape');
  await keyboard.press('2');
  await view.page.getByRole('heading', { name: 'Pipeline' }).waitFor();
  await keyboard.press('t');
  await until('light', () => view.page.evaluate(() => document.documentElement.dataset.theme === 'light'));
  await keyboard.press('?');
  await view.page.getByRole('dialog').waitFor();
  await keyboard.press('Escape');
  await until('closed', async () => (await view.page.getByRole('dialog').count()) === 0);
});

test('who comes back from a key is where they were', async () => {
  await start({ keys: 1_200 });
  await state('live');
  await until('rows', async () => (await names()).length > 10);
  const grid = view.page.getByRole('grid');
  await grid.evaluate((grid) => (grid.scrollTop = 34 * 500));
  const there = view.page.locator('[aria-rowindex="508"][data-key]');
  await there.getByRole('link').hover();
  const top = await grid.evaluate((grid) => grid.scrollTop);
  await there.getByRole('link').click();
  await view.page.getByRole('heading', { name: 'Last transactions' }).waitFor();
  await view.page.goBack();
  await there.waitFor();
  assert.equal(await grid.evaluate((grid) => grid.scrollTop), top);
  assert.ok(Math.abs(top - 34 * 500) < 100);
});

test('a choice within a view does not build the view anew', async () => {
  await start({}, '?view=pipeline');
  await view.page.getByRole('rowheader', { name: 'sink' }).waitFor();
  await view.page.locator('.picture').evaluate((picture) => (picture.dataset.mine = 'yes'));
  await view.page.getByRole('rowheader', { name: 'sink' }).getByRole('link').click();
  await view.page.getByText('Time of the last write to Cassandra').waitFor();
  assert.equal(await view.page.locator('.picture').getAttribute('data-mine'), 'yes');
});

test('a reader of the screen hears the sums, and not at every change', async () => {
  await start({ still: false });
  await state('live');
  await view.page.evaluate(() => {
    globalThis.said = [];
    new MutationObserver(() => globalThis.said.push(performance.now())).observe(document.querySelector('[data-testid=announcement]'), { subtree: true, childList: true, characterData: true });
  });
  await until('two announcements', () => view.page.evaluate(() => globalThis.said.length >= 2), 20_000);
  assert.match(await view.page.getByTestId('announcement').textContent(), /^60 keys: [A-Z]{3} [\d,.]+; /);
  const [first, second] = await view.page.evaluate(() => globalThis.said);
  assert.ok(second - first > 4_500, `${second - first} ms`);
});

test('signing in shows the page, a viewer sees no buttons that do not work', async () => {
  mock = await new Mock({ still: true, keys: 60 }).listen(PORT);
  mock.tell({ signin: true, viewer: true });
  view = await open(browser);
  await view.page.goto(`${SERVER}/?view=quarantine&record=gateway-0-9100`);
  await view.page.getByLabel('Name').fill('kim');
  await view.page.getByLabel('Password').fill('wrong');
  await view.page.getByRole('button', { name: 'Sign in', exact: true }).click();
  await view.page.getByText('do not fit').waitFor();
  await view.page.getByLabel('Password').fill('open sesame');
  await view.page.getByRole('button', { name: 'Sign in', exact: true }).click();
  await view.page.getByText('take the role operator').waitFor();
  assert.equal(await view.page.getByRole('button', { name: 'Send again' }).count(), 0);
  await state('live');
});

test('an operator sends again, sees what came of it, and lets go', async () => {
  await start({}, '?view=quarantine&record=gateway-0-9100');
  await view.page.getByRole('button', { name: 'Send again' }).click();
  await view.page.getByText('refused again, for the same reason').waitFor();
  await view.page.getByText('operator-1').waitFor();
  await view.page.getByRole('button', { name: 'Discard' }).click();
  await view.page.getByRole('button', { name: 'Really discard' }).click();
  await view.page.getByText('discarded', { exact: true }).first().waitFor();
});
