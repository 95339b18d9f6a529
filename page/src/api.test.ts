import { expect, test } from 'vitest';
import samples from './api.sample.json';
import { url } from './api';
import type {
  Aggregations, CountsOfDays, Curve, DayChange, Frame, Heartbeat, HopDetail, KeyDetail, Me, Movers, Outcome, Pipeline, Problem,
  Quarantine, QuarantineDetail, Ready, Reset, Snapshot, Sparks, Summary, Trace, Transactions, Window,
} from './api';

const latency = { p50_ms: 0, p99_ms: 0, max_ms: 0 };
const row = { key: [''], v: [0, 0] as [number, number], c: [''] };
const group = { name: '', rows: 0, sums: [''] };
const record = {
  id: '', from: 'gateway' as const, source: '', reason: '', detail: '', at: 0, bytes: 0, excerpt: '', replayed: false,
};

/** The shape of each answer, by an example that the compiler checks against the types. */
const shapes = {
  aggregations: {
    aggregations: [{ name: '', columns: [{ name: '', kind: 'text' }], keys: [''], sums: [''], zone: '', today: '' }],
    demo: true, gateway_url: '', version: '',
  } satisfies Aggregations,
  snapshot: {
    aggregation: '', day: '', live: true, position: '', taken_at: 0, rows: [{ key: [''], v: [0, 0], c: [''] }],
  } satisfies Snapshot,
  frame: { prev: '', pos: '', day: '', sent_at: 0, rows: [{ key: [''], v: [0, 0], c: [''] }] } satisfies Frame,
  heartbeat: { server_time: 0, state: 'live', percent: 0, stale_since: null, reason: null, today: '', latency } satisfies Heartbeat,
  reset: { reason: '' } satisfies Reset,
  day: { day: '', previous: '' } satisfies DayChange,
  counts: {
    days: [{ day: '', counted: 0, reversing: 0, duplicate: 0, late_corrected: 0, quarantined: 0, total: 0 }],
  } satisfies CountsOfDays,
  pipeline: {
    taken_at: 0,
    hops: [{
      name: '', rate: 0, records_in: 0, records_out: 0, lag: 0, latency,
      quarantined: 0, duplicates: 0, late: 0, lag_seconds: 0, lag_trend: 'steady', pressure: 'ok',
    }],
    clients: 0, clients_cut: 0, latency,
  } satisfies Pipeline,
  ready: { ready: true, message: '', percent: 0 } satisfies Ready,
  window: {
    aggregation: '', day: '', live: true, position: '', taken_at: 0, size: 0, matching: 0, from: 0, rows: [row], pinned: [row],
    groups: [group],
  } satisfies Window,
  summary: { day: '', size: 0, matching: 0, groups: [group], sent_at: 0 } satisfies Summary,
  curve: { day: '', starts_at: 0, ends_at: 0, columns: [''], groups: [{ name: '', points: [[0, '', '']] }] } satisfies Curve,
  movers: { minutes: 1, column: '', since: 0, rows: [{ key: [''], now: '', before: '', change: '' }] } satisfies Movers,
  sparks: { column: '', since: 0, sparks: [{ key: [''], points: [[0, '']] }] } satisfies Sparks,
  key: {
    key: [''], row, previous_day: '', previous: null, column: '', since: 0, points: [[0, '']],
    others: [{ aggregation: '', rows: [row] }],
  } satisfies KeyDetail,
  transactions: {
    transactions: [{ id: '', source: '', received_at: 0, partition: 0, offset: 0, fields: { amount: '' } }],
    looked_at: 0, back_to: 0, before: '',
  } satisfies Transactions,
  trace: [{
    transaction: { id: '', amount: '' }, log: { topic: '', partition: 0, offset: 0, appended_at: '' },
    aggregations: [{
      aggregation: '', became: '',
      rows: [{
        key: '', before: { total: '' }, after: { total: '' }, published: { partition: 0, offset: 0, at: '', version: [0, 0] },
        store_version: '',
      }],
    }],
  }] satisfies Trace[],
  quarantine: { records: [record], sources: [''], reasons: [''], before: '' } satisfies Quarantine,
  quarantined: { record, input: '', audit: [{ at: 0, who: '', what: '' }] } satisfies QuarantineDetail,
  outcome: { ok: true, detail: '' } satisfies Outcome,
  hop: { hop: '', figures: [{ name: '', labels: { queue: '' }, value: 0, help: '' }] } satisfies HopDetail,
  me: { name: '', role: 'viewer', limited: false, required: true, local: true, oidc: '' } satisfies Me,
  problem: { type: '', title: '', status: 0, detail: '' } satisfies Problem,
};

/** Names and types, of objects and of the first element of lists. */
function shape(value: unknown): unknown {
  if (Array.isArray(value)) return [shape(value[0])];
  if (value === null || typeof value !== 'object') return typeof value;
  return Object.fromEntries(Object.entries(value).sort().map(([name, inner]) => [name, shape(inner)]));
}

test.each(Object.keys(shapes))('the sample of %s has the shape of its type', (name) => {
  expect(shape((samples as Record<string, unknown>)[name])).toEqual(shape(shapes[name as keyof typeof shapes]));
});

test('there is a type for every sample', () => {
  expect(Object.keys(samples).sort()).toEqual(Object.keys(shapes).sort());
});

test('addresses carry what was given and no more', () => {
  expect(url.csv('daily totals', { day: '2026-11-23', q: '', sort: '-total', where: ['currency:EUR', 'account:a&b'], from: 100, count: 50, pin: ['[]'] })).toBe(
    '/api/v1/daily%20totals/export.csv?day=2026-11-23&sort=-total&where=currency%3AEUR&where=account%3Aa%26b',
  );
  expect(url.sparks('t', 'd', ['["d","a"]'])).toBe('/api/v1/t/sparks?day=d&key=%5B%22d%22%2C%22a%22%5D');
});
