/**
 * Signing in to a real Daybook at a real OpenID Connect provider (oidc-provider, certified by the OpenID Foundation), in a real browser.
 *
 *   DAYBOOK_BIN=…/daybook node --test e2e/signin.spec.mjs
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import Provider from 'oidc-provider';
import { launch, open, until as untilOf } from './browser.mjs';

// All ports below those that the system gives out by itself.
const OFFSET = 18_000 + (process.pid % 2_000);
const WEB = `http://localhost:${8080 + OFFSET}`;
const GATEWAY = `http://127.0.0.1:${8081 + OFFSET}`;
const PATIENCE = 60_000;
const SOON = { timeout: 15_000 };
/** Who there is at the provider, and in which groups. */
const PEOPLE = { olga: ['operators'], vera: ['staff'], paul: [] };

const scratch = mkdtempSync(join(tmpdir(), 'daybook-signin-'));
let daybook;
let issuer;
let browser;

const until = (what, check) => untilOf(what, check, PATIENCE);

async function provide() {
  const server = createServer();
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(address, {
    clients: [{ client_id: 'daybook', client_secret: 'correct horse & battery', redirect_uris: [`${WEB}/api/v1/oidc/callback`] }],
    claims: { openid: ['sub'], profile: ['preferred_username', 'groups'] },
    conformIdTokenClaims: false,
    pkce: { required: () => true },
    findAccount: (_, sub) => ({ accountId: sub, claims: () => ({ sub, preferred_username: sub, groups: PEOPLE[sub] ?? [] }) }),
    cookies: { keys: ['for tests'] },
    // As few words as its own page for developers has.
    features: { devInteractions: { enabled: true } },
  });
  server.on('request', provider.callback());
  return { server, address };
}

function configure() {
  const secret = join(scratch, 'secret');
  writeFileSync(secret, 'correct horse & battery\n');
  writeFileSync(join(scratch, 'sources.empty'), '');
  writeFileSync(join(scratch, 'daybook.toml'), `
[web.oidc]
issuer = "${issuer.address}"
client_id = "daybook"
client_secret_file = "secret"
address = "${WEB}"
scopes = ["profile"]
operators = ["operators"]
viewers = ["staff"]

[[web.limit]]
name = "vera"
keys = { account = ["HR*"] }

[[aggregation]]
name = "daily_totals"
zone = "Europe/Zagreb"
sql = """
SELECT business_day, account, currency, sum(amount) AS total, count(*) AS transactions
FROM transactions
GROUP BY business_day, account, currency"""
`);
}

before(async () => {
  issuer = await provide();
  configure();
  daybook = spawn(process.env.DAYBOOK_BIN, ['up', '--config', join(scratch, 'daybook.toml'), '--data-dir', join(scratch, 'data'), '--port-offset', String(OFFSET)], { stdio: ['ignore', 'inherit', 'inherit'] });
  browser = await launch();
  await until('getting ready', async () => (await fetch(`${WEB}/readyz`)).ok);
  for (const [account, amount] of [['HR1', '10.00'], ['SI1', '20.00']]) {
    const body = JSON.stringify({ id: account, account, currency: 'EUR', amount, booked_at: new Date().toISOString() });
    await until('posting', async () => (await fetch(`${GATEWAY}/v1/transactions/json`, { method: 'POST', headers: { 'content-type': 'application/json' }, body })).status === 202);
  }
});

after(async () => {
  await browser?.close();
  issuer?.server.closeAllConnections();
  issuer?.server.close();
  if (daybook?.exitCode === null) {
    const ended = new Promise((resolve) => daybook.once('exit', resolve));
    daybook.kill('SIGTERM');
    await ended;
  }
  rmSync(scratch, { recursive: true, force: true });
});

/** From our page to the provider's, and back. */
async function signIn(name, query = '') {
  const { page, context, complaints } = await open(browser);
  await page.goto(`${WEB}/${query}`);
  await page.getByRole('link', { name: 'Sign in with your organisation' }).click(SOON);
  await page.locator('input[name=login]').fill(name, SOON);
  await page.locator('input[name=password]').fill('any');
  await page.getByRole('button', { name: 'Sign-in' }).click();
  await page.getByRole('button', { name: 'Continue' }).click(SOON);
  await page.waitForURL((url) => url.origin === WEB, SOON);
  // What the provider's pages lack is not ours.
  complaints.length = 0;
  return { page, context, complaints };
}

const account = (page, name) => page.getByRole('gridcell', { name, exact: true });

test('an operator sees everything, where he wanted to be', async () => {
  const { page, context, complaints } = await signIn('olga', '?q=SI');
  await account(page, 'SI1').waitFor(SOON);
  assert.equal(new URL(page.url()).searchParams.get('q'), 'SI');
  await page.getByRole('link', { name: 'Quarantine' }).waitFor();
  await page.getByTitle('Signed in as olga (operator). Sign out').waitFor();
  await page.reload();
  await account(page, 'SI1').waitFor(SOON);
  await page.getByTitle(/Signed in as olga/).click();
  await page.getByRole('heading', { name: 'Sign in to Daybook' }).waitFor(SOON);
  // The browser says 401 of what was asked before.
  assert.deepEqual(complaints.filter((text) => !text.includes('401')), []);
  await context.close();
});

test('a viewer of a part sees that part', async () => {
  const { page, context, complaints } = await signIn('vera');
  await account(page, 'HR1').waitFor(SOON);
  assert.equal(await account(page, 'SI1').count(), 0);
  assert.equal(await page.getByRole('link', { name: 'Pipeline' }).count(), 0);
  await page.goto(`${WEB}/?view=pipeline`);
  await account(page, 'HR1').waitFor(SOON);
  const asked = await page.evaluate(async () => (await fetch('/api/v1/daily_totals/snapshot')).status);
  assert.equal(asked, 403);
  assert.deepEqual(complaints.filter((text) => !/40[13]/.test(text)), []);
  await context.close();
});

test('who may not look is told so', async () => {
  const { page, context } = await signIn('paul');
  await page.getByText('your account may not look at this page').waitFor(SOON);
  await context.close();
});
