/** The server of made-up answers answers as the samples say: tests against it mean something. */
import { expect, test } from 'vitest';
import samples from './api.sample.json';
// @ts-expect-error: plain JavaScript
import { Mock } from '../e2e/mock.mjs';

const PORT = 16_090;
const KEY = encodeURIComponent('["2026-11-23","acct-1000","EUR"]');

function shape(value: unknown): unknown {
  if (Array.isArray(value)) return value.length === 0 ? [] : [shape(value[0])];
  if (value === null || typeof value !== 'object') return value === null ? 'null' : typeof value;
  return Object.fromEntries(Object.entries(value).sort().map(([name, inner]) => [name, shape(inner)]));
}

/** Everything the sample has, of the same type; null and empty lists fit anything. */
function fits(found: unknown, sample: unknown, path = ''): string[] {
  if (found === 'null' || sample === 'null') return [];
  if (typeof sample !== 'object' || typeof found !== 'object') return found === sample ? [] : [`${path}: ${String(found)}, not ${String(sample)}`];
  if (Array.isArray(sample)) return Array.isArray(found) ? (found.length && sample.length ? fits(found[0], sample[0], `${path}[]`) : []) : [`${path}: no list`];
  return Object.entries(sample as object).flatMap(([name, inner]) => {
    const other = (found as Record<string, unknown>)[name];
    if (['fields', 'labels', 'transaction', 'before', 'after'].includes(name)) return [];
    return other === undefined ? [`${path}.${name} is missing`] : fits(other, inner, `${path}.${name}`);
  });
}

test('every answer of the mock has the shape of its sample', async () => {
  const mock = await new Mock({ still: true }).listen(PORT);
  try {
    const t = '/api/v1/daily_totals';
    const addresses: Record<string, string> = {
      aggregations: '/api/v1/aggregations', window: `${t}/window?pin=${KEY}`, curve: `${t}/curve`, movers: `${t}/movers?minutes=5`,
      sparks: `${t}/sparks?key=${KEY}`, key: `${t}/key?key=${KEY}`, transactions: `${t}/transactions?key=${KEY}`, counts: `${t}/counts`,
      trace: '/api/v1/trace?id=a&source=json', quarantine: '/api/v1/quarantine', quarantined: '/api/v1/quarantine/gateway-0-9100',
      hop: '/api/v1/pipeline/queue', pipeline: '/api/v1/pipeline', me: '/api/v1/me', ready: '/readyz', problem: '/api/v1/nothing/curve',
    };
    for (const [name, address] of Object.entries(addresses)) {
      const found = await (await fetch(`http://127.0.0.1:${PORT}${address}`)).json();
      expect(fits(shape(found), shape((samples as Record<string, unknown>)[name])), name).toEqual([]);
    }
  } finally {
    await mock.stop();
  }
});
