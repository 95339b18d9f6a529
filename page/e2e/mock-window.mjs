/** What of a day's rows a request asks for: searched, filtered, sorted and cut to the window. */
import { decimal } from './world.mjs';

/** An order is used again for this long: 100,000 rows are not sorted for every stream. */
const ORDER_AGE_MAX = 400;
const MANY = 10_000;
const orders = new WeakMap();

export function parseQuery(query, day) {
  return {
    day, q: query.get('q') ?? '', sort: query.get('sort') ?? '-total', where: query.getAll('where'),
    from: Number(query.get('from') ?? 0), count: Math.min(500, Number(query.get('count') ?? 50)), pin: query.getAll('pin'),
  };
}

export const toRow = (row) => ({ key: row.key, v: [row.generation, row.sequence], c: [row.name, row.currency, decimal(row.cents), row.count] });

const FIELDS = { account: 'name', channel: 'name', currency: 'currency', total: 'cents', transactions: 'count' };

/** Rows that match, in order. */
export function select(mock, name, { day, q, sort, where }) {
  const cache = orders.get(mock) ?? new Map();
  orders.set(mock, cache);
  const id = JSON.stringify([name, day, q, sort, where, Boolean(mock.lagging)]);
  const known = cache.get(id);
  if (known && Date.now() - known.at < ORDER_AGE_MAX && known.size === mock.rows(name, day)?.length) return known.rows;
  const words = q.toLowerCase().split(/\s+/).filter(Boolean);
  const filters = where.map((one) => [FIELDS[one.slice(0, one.indexOf(':'))], one.slice(one.indexOf(':') + 1)]);
  const rows = mock.rows(name, day) ?? [];
  const found = rows.filter((row) => {
    const text = `${row.name}\n${row.currency}`.toLowerCase();
    return words.every((word) => text.includes(word)) && filters.every(([field, value]) => String(row[field]) === value);
  });
  const field = FIELDS[sort.replace(/^-/, '')] ?? 'cents';
  const sign = sort.startsWith('-') ? -1 : 1;
  const order = (a, b) => (a < b ? -1 : a > b ? 1 : 0);
  found.sort((a, b) => sign * order(a[field], b[field]) || order(a.id, b.id));
  cache.clear();
  cache.set(id, { at: Date.now(), rows: found, size: rows.length });
  return found;
}

/** Sums of 100,000 rows are not made for every frame either. */
const sums = new WeakMap();

export function summaryOf(mock, name, query) {
  const found = select(mock, name, query);
  const known = sums.get(mock);
  const id = JSON.stringify([name, query.day, query.q, query.where]);
  if (known?.id === id && found.length > MANY && Date.now() - known.at < ORDER_AGE_MAX) return known.summary;
  const summary = summed(mock, name, query, found);
  sums.set(mock, { id, at: Date.now(), summary });
  return summary;
}

function summed(mock, name, query, found) {
  const groups = [...mock.world.groups(found)].map(([name, { rows, cents, count }]) => ({ name, rows, sums: [decimal(cents), String(count)] }));
  groups.sort((a, b) => b.rows - a.rows);
  return { size: mock.rows(name, query.day)?.length ?? 0, matching: found.length, groups };
}

export function windowOf(mock, name, query) {
  const found = select(mock, name, query);
  const pinned = query.pin.map((id) => mock.rows(name, query.day)?.find((row) => row.id === id)).filter(Boolean);
  return {
    aggregation: name, day: query.day, live: mock.isLive(query.day), position: `m:${query.day}:${mock.world.changes}`,
    taken_at: mock.world.now * 1000, ...summaryOf(mock, name, query), from: query.from,
    rows: found.slice(query.from, query.from + query.count).map(toRow), pinned: pinned.map(toRow),
  };
}
