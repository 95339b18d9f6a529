import { expect, test } from 'vitest';
import samples from './api.sample.json';
import type { Aggregations, CountsOfDays, DayChange, Frame, Heartbeat, Pipeline, Problem, Ready, Reset, Snapshot } from './api';

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
  heartbeat: { server_time: 0, state: 'live', percent: 0, stale_since: null, reason: null, today: '' } satisfies Heartbeat,
  reset: { reason: '' } satisfies Reset,
  day: { day: '', previous: '' } satisfies DayChange,
  counts: {
    days: [{ day: '', counted: 0, reversing: 0, duplicate: 0, late_corrected: 0, quarantined: 0, total: 0 }],
  } satisfies CountsOfDays,
  pipeline: {
    taken_at: 0,
    hops: [{
      name: '', rate: 0, records_in: 0, records_out: 0, lag: 0, latency: { p50_ms: 0, p99_ms: 0, max_ms: 0 },
      quarantined: 0, duplicates: 0,
    }],
    clients: 0, clients_cut: 0,
  } satisfies Pipeline,
  ready: { ready: true, message: '', percent: 0 } satisfies Ready,
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
