// From a post to its picture: a real browser looks at a real pipeline that takes RATE transactions a second, and one account, which is pinned,
// gets a transaction now and then. A post counts as painted when the first frame that shows it has been drawn.
//
//   node bench/paint.mjs target/release/daybook
//
// SECONDS (60), RATE (10000) in requests of BULK (100), ACCOUNTS (10000), PROBES a second (10), P99_MAX in ms (200; it fails beyond),
// PORT_OFFSET (2700). Everything shares the machine: load generator, pipeline, browser.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { launch, open, until } from '../page/e2e/browser.mjs';

const env = (name, otherwise) => Number(process.env[name] ?? otherwise);
const bin = process.argv[2];
assert(bin, 'the path of the program');
const [seconds, rate, bulk, accounts] = [env('SECONDS', 60), env('RATE', 10_000), env('BULK', 100), env('ACCOUNTS', 10_000)];
const [probes, p99Max, offset] = [env('PROBES', 10), env('P99_MAX', 200), env('PORT_OFFSET', 2700)];
const WEB = `http://127.0.0.1:${8080 + offset}`;
const GATEWAY = `http://127.0.0.1:${8081 + offset}`;
const dir = mkdtempSync(join(tmpdir(), 'daybook-paint-'));
const common = ['--data-dir', join(dir, 'data'), '--port-offset', String(offset)];
const agent = new Agent({ keepAlive: true });
/** Of this machine's clock, as the browser's is. */
const now = () => performance.timeOrigin + performance.now();

/** Answers when the queue has it; the time is from before the request. */
function post(number, today) {
  const body = JSON.stringify({ id: `probe-${number}`, account: 'probe', currency: 'EUR', amount: '1.00', booked_at: new Date().toISOString() });
  const at = now();
  return new Promise((resolve, reject) => {
    const sent = request(`${GATEWAY}/v1/transactions/json`, { agent, method: 'POST', headers: { 'content-type': 'application/json', 'content-length': body.length } }, (answer) => {
      answer.resume().on('end', () => (answer.statusCode === 202 ? resolve(at) : reject(new Error(`${answer.statusCode} of ${today}`))));
    });
    sent.on('error', reject).end(body);
  });
}

/** In the page: when the count of the account's row was first seen in a frame, after that frame. */
function watch(key) {
  globalThis.painted = [];
  globalThis.frames = 0;
  const place = [...document.querySelectorAll('[role=columnheader]')].findIndex((head) => head.textContent.trim() === 'transactions');
  const channel = new MessageChannel();
  let last = 0;
  channel.port1.onmessage = ({ data }) => globalThis.painted.push([data, performance.timeOrigin + performance.now()]);
  const look = () => {
    globalThis.frames += 1;
    const row = [...document.querySelectorAll('[data-key]')].find((one) => one.dataset.key === key);
    const count = Number(row?.querySelectorAll('[role=gridcell]')[place]?.textContent.replaceAll(',', '') ?? 0);
    // A task behind this frame's callbacks runs when it has been laid out and painted.
    if (count > last) channel.port2.postMessage((last = count));
    requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
}

const at = (sorted, part) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))];
const line = (name, times) => {
  const sorted = [...times].sort((a, b) => a - b);
  const [p50, p99, max] = [at(sorted, 0.5), at(sorted, 0.99), sorted.at(-1)];
  console.log(`${name}: ${sorted.length} posts, p50 ${p50.toFixed(0)} ms, p99 ${p99.toFixed(0)} ms, max ${max.toFixed(0)} ms`);
  return p99;
};

const daybook = spawn(bin, ['up', ...common], { stdio: ['ignore', 'ignore', 'inherit'] });
const gone = new Promise((resolve) => daybook.once('exit', resolve));
let browser;
try {
  await until('getting ready', async () => (await fetch(`${WEB}/readyz`)).ok, 60_000);
  const { today } = (await (await fetch(`${WEB}/api/v1/aggregations`)).json()).aggregations[0];
  const key = JSON.stringify([today, 'probe', 'EUR']);
  await post(1, today);
  browser = await launch();
  const { page } = await open(browser);
  await page.goto(`${WEB}/?pin=${encodeURIComponent(key)}`);
  await page.getByRole('gridcell', { name: 'probe', exact: true }).first().waitFor();
  await page.evaluate(watch, key);
  const posted = [[1, now()]];

  async function probe(forSeconds) {
    const from = posted.length;
    const end = now() + forSeconds * 1000;
    const waiting = [];
    // Open loop: the next one does not wait for this one, and comes at no even distance from the stream's beat.
    for (let due = now(); due < end; due += (1000 / probes) * (0.5 + Math.random())) {
      await new Promise((resolve) => setTimeout(resolve, due - now()));
      const number = posted.length + 1;
      posted.push([number, null]);
      waiting.push(post(number, today).then((sent) => (posted[number - 1][1] = sent)));
    }
    await Promise.all(waiting);
    await until('the last post being painted', async () => (await page.evaluate(() => globalThis.painted.at(-1)?.[0])) === posted.length, 30_000);
    const painted = await page.evaluate(() => globalThis.painted);
    return posted.slice(from).map(([number, sent]) => painted.find(([count]) => count >= number)[1] - sent);
  }

  const quiet = line('quiet', await probe(Math.min(10, seconds)));
  const load = spawn(bin, ['bench', ...common, '--pid', String(daybook.pid), '--rate', String(rate), '--bulk', String(bulk), '--accounts', String(accounts), '--duration', String(seconds + 5)], { stdio: ['ignore', 'pipe', 'inherit'] });
  let said = '';
  load.stdout.on('data', (text) => (said += text));
  const ended = new Promise((resolve) => load.once('exit', resolve));
  await until('load', async () => (await (await fetch(`${WEB}/api/v1/daily_totals/window?count=1`)).json()).size > accounts / 2, 30_000);
  const before = await page.evaluate(() => [globalThis.frames, performance.now()]);
  const times = await probe(seconds);
  const after = await page.evaluate(() => [globalThis.frames, performance.now()]);
  const loaded = line(`at ${rate} transactions/s over ${accounts} keys`, times);
  console.log(`frames a second meanwhile: ${(((after[0] - before[0]) * 1000) / (after[1] - before[1])).toFixed(0)}`);
  const code = await ended;
  console.log(said.trim().split('\n').map((text) => `  ${text}`).join('\n'));
  assert.equal(code, 0, 'the load generator checks the sums of its run');
  const [row] = (await (await fetch(`${WEB}/api/v1/daily_totals/window?where=account:probe`)).json()).rows;
  assert.deepEqual(row.c.slice(2), [`${posted.length}.00`, posted.length], 'the probes are counted exactly');
  if (loaded > p99Max) {
    console.error(`p99 is ${loaded.toFixed(0)} ms, more than ${p99Max} ms (quiet: ${quiet.toFixed(0)} ms)`);
    process.exitCode = 1;
  }
} finally {
  await browser?.close();
  daybook.kill('SIGINT');
  await gone;
  rmSync(dir, { recursive: true, force: true });
}
