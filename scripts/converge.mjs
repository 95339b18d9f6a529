// The parts of a pipeline, each a process of its own, killed with -9 at random while transactions flow; browsers come, go, and change from
// one web server to the other. When it is quiet, what every browser shows must be what the store has, which must be the sum of what the log
// has. Browsers here are the page's protocol without its pictures, half of them with all rows, half with a window of them; and some are real:
// Chromium with the page, where every frame is looked at for a row that goes back.
//
//   DAYBOOK_BIN=daybook node scripts/converge.mjs
//
// SECONDS of trouble (30), BROWSERS (20), PAGES in Chromium (2), RATE transactions a second (500), ACCOUNTS (400), SEED, PORT_OFFSET (4400;
// 100 above it are used as well). STORE=cassandra: a real Apache Cassandra, which is killed as well; SQLite otherwise, which is a file.
import assert from 'node:assert/strict';
import { spawn, execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync, readFileSync, existsSync, openSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve as resolvePath } from 'node:path';
import { promisify } from 'node:util';
import { launch, open } from '../page/e2e/browser.mjs';

const run = promisify(execFile);
const root = new URL('..', import.meta.url).pathname;
const env = (name, otherwise) => Number(process.env[name] ?? otherwise);
const bin = process.env.DAYBOOK_BIN && resolvePath(process.env.DAYBOOK_BIN);
assert(bin, 'DAYBOOK_BIN: the path of the program');
const seconds = env('SECONDS', 30);
const browsers = env('BROWSERS', 20);
const rate = env('RATE', 500);
const accounts = env('ACCOUNTS', 400);
const pages = env('PAGES', 2);
const cassandra = process.env.STORE === 'cassandra';
const offset = env('PORT_OFFSET', 4400);
const seed = env('SEED', Date.now() % 2147483647) || 1;
const PATIENCE = 180_000;
console.log(`SEED=${seed}`);

let state = seed;
const below = (bound) => (state = (state * 48271) % 2147483647) % bound;
const dir = mkdtempSync(join(tmpdir(), 'daybook-converge-'));
const CASSANDRA_PORT = 29842;
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// Parts and how they are started.
const web = [`http://127.0.0.1:${8080 + offset}`, `http://127.0.0.1:${8180 + offset}`];
const parts = new Map();
const common = (name) => ['--config', join(dir, `${name}.toml`), '--data-dir', join(dir, name), '--port-offset', String(offset)];
function part(name, command, admin, settings = '') {
  const log = name === 'log' ? 'partitions = 3' : `use = "external"\nbootstrap_servers = "127.0.0.1:${9092 + offset}"`;
  writeFileSync(join(dir, `${name}.toml`), `
[log]
${log}
[admin]
address = "127.0.0.1:${admin}"
[store]
${cassandra ? `use = "external"\ncontact_points = ["127.0.0.1:${CASSANDRA_PORT}"]` : `path = "${join(dir, 'store.db')}"`}
[aggregator]
instance = "a"
[sink]
instance = "s"
${settings}
`);
  parts.set(name, { command, process: null, killed: 0 });
}
part('log', ['up', '--only', 'log'], 9190);
part('front', ['up', '--only', 'front'], 9191);
part('aggregate', ['aggregate'], 9192);
part('sink', ['sink'], 9193);
part('web-0', ['web'], 9194);
part('web-1', ['web'], 9195, '[web]\naddress = "127.0.0.1:8180"');

if (cassandra) {
  const source = `set -e; version=5.0.8; dir=${dir}; . scripts/cassandra-server.sh`;
  await run('bash', ['-c', `${source}; cassandra_configure 1 1 ${CASSANDRA_PORT} </dev/null`], { cwd: root });
  parts.set('store', { shell: `${source}; cassandra_run 1 1g -XX:TieredStopAtLevel=1`, process: null, killed: 0 });
}

function start(name) {
  const one = parts.get(name);
  const out = openSync(join(dir, `${name}.out`), 'a');
  const [command, args] = one.shell ? ['bash', ['-c', one.shell]] : [bin, [...one.command, ...common(name)]];
  // A group of its own, so that a shell's child is killed with it.
  one.process = spawn(command, args, { stdio: ['ignore', out, out], cwd: root, detached: true });
  one.gone = new Promise((resolve) => one.process.once('exit', resolve));
}
async function kill(name) {
  const one = parts.get(name);
  one.killed += 1;
  process.kill(-one.process.pid, 'SIGKILL');
  await one.gone;
}
async function until(what, check) {
  const end = Date.now() + PATIENCE;
  for (;;) {
    try {
      if (await check()) return;
    } catch (error) {
      if (Date.now() > end) throw error;
    }
    if (Date.now() > end) throw new Error(`${what} took longer than ${PATIENCE} ms`);
    await sleep(100);
  }
}

/** Newer than: generation, then sequence. */
const newer = (a, b) => a[0] > b[0] || (a[0] === b[0] && a[1] > b[1]);

/** The events of a stream of the page, until it ends. */
async function* events(url, headers, signal) {
  const response = await fetch(url, { headers: { accept: 'text/event-stream', ...headers }, signal });
  if (!response.ok) throw new Error(`${response.status}`);
  let text = '';
  const decoder = new TextDecoder();
  for await (const bytes of response.body) {
    text += decoder.decode(bytes, { stream: true });
    for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
      const event = { name: 'message', data: '', id: null };
      for (const line of text.slice(0, end).split('\n')) {
        if (line.startsWith('event: ')) event.name = line.slice(7);
        if (line.startsWith('data: ')) event.data += line.slice(6);
        if (line.startsWith('id:')) event.id = line.slice(3).trim();
      }
      text = text.slice(end + 2);
      if (event.data) yield { ...event, data: JSON.parse(event.data) };
    }
  }
}

/** One browser: it keeps rows by key, never takes an older one, and goes to a server by chance whenever it must connect. */
class Browser {
  rows = new Map();
  shown = null;
  position = null;
  connections = 0;
  offeredOlder = 0;
  constructor(whole, query) {
    this.whole = whole;
    this.query = query;
    this.abort = new AbortController();
    this.ended = this.live();
  }
  take(row, inConnection) {
    const id = JSON.stringify(row.key);
    const before = inConnection.get(id);
    // A server never goes back within one connection.
    assert(!before || !newer(before, row.v), `${id}: ${row.v} behind ${before} on one connection`);
    inConnection.set(id, row.v);
    const known = this.rows.get(id);
    if (known && !newer(row.v, known.v)) {
      this.offeredOlder += newer(known.v, row.v) ? 1 : 0;
      return;
    }
    this.rows.set(id, row);
  }
  async live() {
    while (!this.abort.signal.aborted) {
      try {
        this.connections += 1;
        await (this.whole ? this.followAll() : this.followWindow());
      } catch (error) {
        if (error instanceof assert.AssertionError) throw error;
      }
      if (!this.abort.signal.aborted) await sleep(50 + below(300));
    }
  }
  async followAll() {
    const server = web[below(2)];
    const seen = new Map();
    if (!this.position) {
      const response = await fetch(`${server}/api/v1/daily_totals/snapshot`, { signal: this.abort.signal });
      if (!response.ok) throw new Error(`${response.status}`);
      const snapshot = await response.json();
      for (const row of snapshot.rows) this.take(row, seen);
      this.position = snapshot.position;
    }
    const from = encodeURIComponent(this.position);
    // A server of another moment may have rows that are older than those of the last one, so each connection is looked at by itself.
    const inStream = new Map();
    for await (const event of events(`${server}/api/v1/daily_totals/stream?rows=all&from=${from}`, {}, this.abort.signal)) {
      if (event.name === 'reset') {
        this.position = null;
        return;
      }
      if (event.name !== 'message') continue;
      if (event.data.prev !== this.position) return;
      for (const row of event.data.rows) this.take(row, inStream);
      this.position = event.data.pos;
    }
  }
  async followWindow() {
    const server = web[below(2)];
    const seen = new Map();
    for await (const event of events(`${server}/api/v1/daily_totals/stream?${this.query}`, {}, this.abort.signal)) {
      if (event.name === 'window') {
        for (const row of event.data.rows) this.take(row, seen);
        this.shown = event.data;
      }
      if (event.name === 'message') for (const row of event.data.rows) this.take(row, seen);
      if (event.name === 'summary') Object.assign(this.shown ?? {}, event.data);
    }
  }
  async leave() {
    this.abort.abort();
    await this.ended;
  }
}

const queries = ['count=20', 'count=50&sort=-transactions', 'sort=account&from=10&count=30', 'q=account-00001&count=100', 'sort=-total&count=5'];
/** In the page: notes every row that a frame shows with fewer transactions than a frame before. */
function lookForOlder() {
  const known = new Map();
  globalThis.wentBack = [];
  globalThis.frames = 0;
  const place = [...document.querySelectorAll('[role=columnheader]')].findIndex((head) => head.textContent.trim() === 'transactions');
  const look = () => {
    globalThis.frames += 1;
    for (const row of document.querySelectorAll('[data-key]')) {
      const text = row.querySelectorAll('[role=gridcell]')[place]?.textContent.replaceAll(',', '') ?? '';
      const { key } = row.dataset;
      if (!/^[0-9]+$/.test(text)) continue;
      if (Number(text) < (known.get(key) ?? 0)) globalThis.wentBack.push(`${key}: ${text} after ${known.get(key)}`);
      known.set(key, Number(text));
    }
    requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
}

/** What a page shows, as the store's lines. */
function shownLines() {
  const rows = [...document.querySelectorAll('[role=row][data-key]')];
  return rows.map((row) => [...row.querySelectorAll('[role=gridcell]')].slice(1, 5).map((cell) => cell.textContent.replaceAll(',', '').replace('\u2212', '-').trim()).join(','));
}

async function openPage(chromium, number) {
  const opened = await open(chromium, { height: 900 });
  await opened.page.goto(`${web[number % 2]}/${number % 2 ? '?sort=account' : ''}`);
  await opened.page.locator('[role=row][data-key]').first().waitFor({ timeout: 60_000 });
  await opened.page.evaluate(lookForOlder);
  return opened;
}

const enter = (number) => new Browser(number % 2 === 0, queries[number % queries.length]);

let failure = null;
let all = [];
let chromium = null;
const looking = [];
try {
  if (cassandra) {
    start('store');
    await until('Cassandra', async () => run('bash', ['-c', `: </dev/tcp/127.0.0.1/${CASSANDRA_PORT}`]));
  }
  start('log');
  await until('the log', async () => readFileSync(join(dir, 'log.out'), 'utf8').includes('ready'));
  for (const name of parts.keys()) if (name !== 'log' && name !== 'store') start(name);
  await until('the web servers', async () => (await Promise.all(web.map((base) => fetch(`${base}/readyz`)))).every((answer) => answer.ok));
  all = Array.from({ length: browsers }, (_, number) => enter(number));
  const check = () => Promise.race([...all.map((one) => one.ended), sleep(0)]);

  const total = rate * seconds;
  const sender = spawn(bin, ['send', ...common('front'), '--quiet', '--source', 'json', '--generate', String(total), '--rate', String(rate), '--accounts', String(accounts), '--batch', '100'], { stdio: ['ignore', 'inherit', 'inherit'] });
  const sent = new Promise((resolve) => sender.once('exit', resolve));
  if (pages > 0) {
    chromium = await launch();
    for (let number = 0; number < pages; number += 1) looking.push(await openPage(chromium, number));
  }
  let entered = browsers;
  let left = 0;
  const end = Date.now() + seconds * 1000;
  while (Date.now() < end) {
    await check();
    await sleep(300 + below(700));
    const dice = below(10);
    if (dice < 5) {
      const place = below(all.length);
      const gone = all[place];
      all[place] = enter(entered);
      entered += 1;
      left += 1;
      await gone.leave();
    } else {
      const name = [...parts.keys()][below(parts.size)];
      await kill(name);
      await sleep(below(1500));
      start(name);
    }
  }
  const code = await Promise.race([sent, sleep(PATIENCE).then(() => 'never')]);
  assert.equal(code, 0, `the sender ended with ${code}`);
  await until('the proof', async () => {
    const { stdout } = await run(bin, ['prove', ...common('front'), '--wait', '60']).catch((error) => error);
    return stdout.includes('proved') || /in \d+ = out \d+/.test(stdout);
  });
  const { stdout } = await run(bin, ['query', ...common('sink'), '--format', 'csv', 'SELECT account, currency, total, transactions FROM daily_totals'], { maxBuffer: 1 << 28 });
  const store = stdout.trim().split('\n').slice(1).sort();
  const counted = store.reduce((sum, line) => sum + Number(line.split(',')[3]), 0);
  assert.equal(counted, total, 'transactions in the store');

  // Quiet: every browser has what the store has.
  const cells = (rows) => rows.filter((row) => !row.deleted).map((row) => row.c.join(',')).sort();
  for (const [number, one] of all.entries()) {
    const what = one.whole ? 'all rows' : one.query;
    if (one.whole) {
      await until(`browser ${number} (${what})`, async () => {
        await check();
        assert.deepEqual(cells([...one.rows.values()]), store);
        return true;
      });
      continue;
    }
    await until(`browser ${number} (${what})`, async () => {
      await check();
      const answer = await fetch(`${web[number % 2]}/api/v1/daily_totals/window?${one.query}`);
      const window = await answer.json();
      assert.deepEqual(one.shown?.rows.map((row) => row.key), window.rows.map((row) => row.key), 'the same rows in the same order');
      const painted = one.shown.rows.map((row) => one.rows.get(JSON.stringify(row.key)));
      assert.deepEqual(cells(painted), cells(window.rows), 'with the same values');
      const known = new Set(store);
      for (const line of cells(painted)) assert(known.has(line), `${line} is not in the store`);
      assert.deepEqual([one.shown.size, one.shown.matching, one.shown.groups], [window.size, window.matching, window.groups]);
      return true;
    });
  }
  let frames = 0;
  for (const [number, { page, complaints }] of looking.entries()) {
    const known = new Set(store);
    await until(`page ${number}`, async () => {
      const lines = await page.evaluate(shownLines);
      assert(lines.length > 5, 'a page of rows');
      for (const line of lines) assert(known.has(line), `${line} is not in the store`);
      return true;
    });
    assert.deepEqual(await page.evaluate(() => globalThis.wentBack), [], `page ${number}: no frame went back`);
    assert.deepEqual(complaints, [], `page ${number}: the console`);
    frames += await page.evaluate(() => globalThis.frames);
  }
  const kills = [...parts].map(([name, one]) => `${name} ${one.killed}`).join(', ');
  const connections = all.reduce((sum, one) => sum + one.connections, 0);
  const older = all.reduce((sum, one) => sum + one.offeredOlder, 0);
  console.log(
    `${total} transactions in ${seconds} s; killed: ${kills}; ${entered} browsers came, ${left} left, the last ${all.length} connected ${connections} times; ` +
      `${older} older versions offered by servers behind, none taken; ${looking.length} pages in Chromium drew ${frames} frames, none with an older row; all equal to the store's ${store.length} rows, which have every transaction once`,
  );
} catch (error) {
  failure = error;
} finally {
  await Promise.allSettled([...all.map((one) => one.leave()), chromium?.close()]);
  for (const one of parts.values()) {
    try {
      if (one.process) process.kill(-one.process.pid, 'SIGKILL');
    } catch {
      // It has ended.
    }
  }
  if (failure) {
    for (const name of parts.keys()) {
      const out = join(dir, `${name}.out`);
      if (existsSync(out)) console.error(`--- ${name}\n${readFileSync(out, 'utf8').slice(-1500)}`);
    }
    console.error(failure);
    console.error(`SEED=${seed}`);
  }
  rmSync(dir, { recursive: true, force: true });
}
process.exit(failure ? 1 : 0);
