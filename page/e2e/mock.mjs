/**
 * A server that answers as Daybook's does (`src/api.ts`), from a made-up day: for tests and for work on the page.
 *
 *   node e2e/mock.mjs --port 16000 --keys 1200 [--hostile] [--seed 7] [--still]
 *
 * `POST /__mock` with JSON tells it what to do: `silent`, `drop`, `refuse`, `reset`, `roll`, `empty`, `signin`, `viewer`, `state`,
 * `percent`, `lag`, `trouble`, `still`, `step` (milliseconds), `set` ({account, currency, cents}).
 */
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { hop, latency, pipeline, quarantineRecords, trace, transactions } from './figures.mjs';
import { Stream } from './mock-stream.mjs';
import { AGGREGATIONS, HISTORY_MINUTES, World, ZONE, dayBefore, decimal } from './world.mjs';
import { parseQuery, windowOf } from './mock-window.mjs';

const DIST = join(fileURLToPath(new URL('..', import.meta.url)), 'dist');
const STEP = 100;
const TYPES = { '.html': 'text/html; charset=utf-8', '.js': 'text/javascript; charset=utf-8', '.css': 'text/css; charset=utf-8', '.svg': 'image/svg+xml' };
/** The same as the server's, so that what it would refuse is refused here. */
const HEADERS = {
  'content-security-policy': "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; " +
    "img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
  'x-content-type-options': 'nosniff', 'referrer-policy': 'no-referrer', 'x-frame-options': 'DENY',
};

export class Mock {
  constructor(options = {}) {
    this.options = options;
    this.world = new World(options);
    this.records = quarantineRecords(this.world, options.hostile);
    this.streams = new Set();
    this.sockets = new Set();
    this.user = null;
    this.told = { state: 'live', percent: 100, still: options.still ?? false };
    this.requests = [];
    this.server = createServer((request, response) => void this.handle(request, response));
    this.server.on('connection', (socket) => {
      this.sockets.add(socket);
      socket.on('close', () => this.sockets.delete(socket));
    });
  }

  async listen(port) {
    await new Promise((resolve) => this.server.listen(port, '127.0.0.1', resolve));
    this.port = port;
    this.timer = setInterval(() => {
      if (!this.told.still) this.world.step(STEP);
      for (const stream of this.streams) stream.flush();
    }, STEP);
    return this;
  }

  async stop() {
    clearInterval(this.timer);
    const closed = new Promise((resolve) => this.server.close(resolve));
    for (const socket of this.sockets) socket.destroy();
    this.streams.clear();
    await closed;
  }

  tell(what) {
    const { drop, reset, roll, empty, step, set, lag, ...rest } = what;
    Object.assign(this.told, rest);
    if (empty) this.world.empty();
    if (step) this.world.step(step);
    if (set) this.world.set(set.account, set.currency, set.cents);
    // A replica that lags: it shows what was known at this moment, for good.
    if (lag !== undefined) this.lagging = lag ? structuredClone([...this.world.tables]) : null;
    if (roll) {
      const change = this.world.roll();
      for (const stream of this.streams) stream.event('day', change);
    }
    for (const stream of this.streams) {
      if (reset) stream.end('reset', { reason: 'this position belongs to another log' });
      if ('state' in rest || 'percent' in rest) stream.heartbeat();
    }
    if (drop || rest.refuse) for (const socket of this.sockets) socket.destroy();
  }

  /** Rows as this replica knows them. */
  rows(name, day) {
    const lagging = day === this.world.day && this.lagging?.find(([one]) => one === name);
    return lagging ? lagging[1] : this.world.rows(name, day);
  }

  isLive = (day) => day === this.world.day;

  async handle(request, response) {
    const address = new URL(request.url, 'http://mock');
    const path = address.pathname;
    if (path === '/__mock') {
      this.tell(JSON.parse(await body(request)));
      return send(response, 200, { ok: true });
    }
    if (this.told.refuse) return request.socket.destroy();
    this.requests.push(request.url);
    if (path === '/readyz') return send(response, this.told.state === 'catching_up' ? 503 : 200, { ready: this.told.state !== 'catching_up', message: 'catching up', percent: this.told.percent });
    if (!path.startsWith('/api/')) return this.file(path, response);
    if (path.startsWith('/api/v1/login') || path.startsWith('/api/v1/logout') || path === '/api/v1/me') return this.session(path, request, response);
    if (this.told.signin && !this.user) return problem(response, 401, 'Sign in');
    const answer = this.answer(path, address.searchParams, request, response);
    if (answer === undefined) return;
    if (answer === null) return problem(response, 404, 'Not found');
    send(response, 200, answer);
  }

  async session(path, request, response) {
    if (path === '/api/v1/me') {
      const role = this.told.viewer ? 'viewer' : 'operator';
      return send(response, 200, { name: this.user, role: this.told.signin && !this.user ? null : role, limited: this.told.limited ?? false, required: this.told.signin ?? false, local: true, oidc: this.told.signin ? '/auth/start' : null });
    }
    if (path.endsWith('login')) {
      const { name, password } = JSON.parse(await body(request));
      if (password !== 'open sesame') return problem(response, 401, 'Name or password is wrong');
      this.user = name;
    } else {
      this.user = null;
    }
    response.writeHead(204, HEADERS).end();
  }

  answer(path, query, request, response) {
    const [, , , one, what, id] = path.split('/').map(decodeURIComponent);
    if (one === 'aggregations') return this.about();
    if (one === 'pipeline') return what ? hop(this.world, what) : pipeline(this.world, this.told.trouble);
    if (one === 'trace') return trace(this.world, query.get('id'), query.get('source'));
    if (one === 'quarantine') return this.quarantine(what, id, query, request);
    if (!AGGREGATIONS.some(({ name }) => name === one)) return null;
    const day = query.get('day') ?? this.world.day;
    switch (what) {
      case 'stream':
        this.streams.add(new Stream(this, one, parseQuery(query, day), response));
        return undefined;
      case 'window':
        return windowOf(this, one, parseQuery(query, day));
      case 'counts':
        return this.counts();
      case 'curve':
        return this.world.curve(one, day);
      case 'movers':
        return this.world.movers(one, Number(query.get('minutes') ?? 1), Number(query.get('count') ?? 10));
      case 'sparks':
        return this.sparks(one, day, query.getAll('key'));
      case 'key':
        return this.key(one, day, query.get('key'));
      case 'transactions':
        return transactions(this.world, this.find(one, day, query.get('key')) ?? { cents: 1, count: 1, name: '?', currency: 'EUR' }, query.get('before'));
      default:
        return null;
    }
  }

  about() {
    const aggregations = AGGREGATIONS.map(({ name, columns, group }) => ({
      name, columns: columns.map(([name, kind]) => ({ name, kind })), keys: ['business_day', group, 'currency'],
      sums: ['total', 'transactions'], zone: ZONE, today: this.world.day,
    }));
    return { aggregations, demo: this.options.demo ?? false, gateway_url: `http://127.0.0.1:${this.port + 1}`, version: '0.1.0' };
  }

  counts() {
    const days = this.world.days.map((day, index) => {
      const counted = this.world.rows('daily_totals', day).reduce((sum, row) => sum + row.count, 0);
      if (counted === 0) return null;
      const rest = { reversing: 214 + index, duplicate: 1_873, late_corrected: 46 + index, quarantined: 43 };
      return { day, counted, ...rest, total: counted + 214 + 1_873 + 46 + 43 + 2 * index };
    });
    return { days: days.filter(Boolean) };
  }

  find(name, day, key) {
    return this.rows(name, day)?.find((row) => row.id === key);
  }

  sparks(name, day, keys) {
    const sparks = keys.map((key) => {
      const row = this.find(name, day, key);
      return { key: JSON.parse(key), points: row ? this.world.history(row).map(([at, cents]) => [at, decimal(cents)]) : [] };
    });
    return { column: 'total', since: this.world.now - HISTORY_MINUTES * 60_000, sparks };
  }

  key(name, day, key) {
    const parts = JSON.parse(key);
    const row = this.find(name, day, key);
    const before = this.find(name, dayBefore(day), JSON.stringify([dayBefore(day), ...parts.slice(1)]));
    const full = (row) => (row ? { key: row.key, v: [row.generation, row.sequence], c: [row.name, row.currency, decimal(row.cents), row.count] } : null);
    const others = name === 'daily_totals' && row
      ? this.rows('daily_channels', day).filter((one) => one.currency === row.currency).slice(0, 4).map(full) : [];
    return {
      key: parts, row: full(row), previous_day: dayBefore(day), previous: full(before), column: 'total', since: this.world.now - HISTORY_MINUTES * 60_000,
      points: row ? this.world.history(row).map(([at, cents]) => [at, decimal(cents)]) : [],
      others: others.length > 0 ? [{ aggregation: 'daily_channels', rows: others }] : [],
    };
  }

  quarantine(id, act, query, request) {
    if (id) {
      const found = this.records.find(({ record }) => record.id === id);
      if (!found) return null;
      if (request.method !== 'POST') return found;
      if (this.told.viewer) return { ok: false, detail: 'this takes the role operator' };
      found.audit.push({ at: this.world.now * 1000, who: this.user ?? 'operator-1', what: act === 'replay' ? 'replayed: refused again' : 'discarded' });
      found.record.replayed ||= act === 'replay';
      if (act === 'discard') this.records = this.records.filter((one) => one !== found);
      return { ok: act === 'discard', detail: act === 'discard' ? 'discarded' : 'refused again, for the same reason' };
    }
    const [q, source, reason] = ['q', 'source', 'reason'].map((name) => query.get(name) ?? '');
    const records = this.told.clean ? [] : this.records.map(({ record }) => record);
    const found = records.filter((one) => (!source || one.source === source) && (!reason || one.reason === reason) && `${one.excerpt} ${one.detail}`.toLowerCase().includes(q.toLowerCase()));
    const from = Number(query.get('before') ?? 0);
    const distinct = (name) => [...new Set(records.map((one) => one[name]))].sort();
    return { records: found.slice(from, from + 25), sources: distinct('source'), reasons: distinct('reason'), before: found.length > from + 25 ? String(from + 25) : null };
  }

  greeting() {
    const { state, percent } = this.told;
    const stale = state === 'stale';
    return {
      server_time: this.world.now * 1000, state, percent, stale_since: stale ? (this.world.now - 8_000) * 1000 : null,
      reason: stale ? 'the log does not answer' : null, today: this.world.day, latency: this.told.still ? { p50_ms: 38.6, p99_ms: 97.3, max_ms: 204 } : latency(this.world),
    };
  }

  file(path, response) {
    const name = normalize(path === '/' ? '/index.html' : path);
    try {
      const data = readFileSync(join(DIST, name));
      response.writeHead(200, { ...HEADERS, 'content-type': TYPES[extname(name)] ?? 'application/octet-stream' }).end(data);
    } catch {
      problem(response, 404, 'Not found');
    }
  }
}

async function body(request) {
  let text = '';
  for await (const part of request) text += part;
  return text;
}

function send(response, status, data, type = 'application/json') {
  response.writeHead(status, { ...HEADERS, 'content-type': type, 'cache-control': 'no-store' }).end(JSON.stringify(data));
}

function problem(response, status, title) {
  send(response, status, { type: 'about:blank', title, status, detail: title.toLowerCase() }, 'application/problem+json');
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const args = process.argv.slice(2);
  const value = (name, otherwise) => (args.includes(name) ? Number(args[args.indexOf(name) + 1]) : otherwise);
  const mock = new Mock({
    seed: value('--seed', 7), keys: value('--keys', 1_200), hostile: args.includes('--hostile'), still: args.includes('--still'), demo: args.includes('--demo'),
  });
  await mock.listen(value('--port', 16_000));
  process.stdout.write(`http://127.0.0.1:${mock.port}\n`);
}
