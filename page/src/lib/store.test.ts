import { expect, test } from 'vitest';
import samples from '../api.sample.json';
import type { Aggregations, Cell, Row } from '../api';
import { Table, type Order } from './store';

const aggregation = (samples.aggregations as Aggregations).aggregations[0]!;

/** `ann EUR 12.50 3 @2`: a row at sequence 2; `ann EUR gone @3`: deleted. */
function row(text: string): Row {
  const [body = '', version = '1'] = text.split(' @');
  const [account = '', currency = '', total = '', transactions = '0'] = body.split(' ');
  const key = ['2026-11-23', account, currency];
  const v: [number, number] = version.includes('.')
    ? (version.split('.').map(Number) as [number, number])
    : [1, Number(version)];
  if (total === 'gone') return { key, v, deleted: true };
  return { key, v, c: [account, currency, total === 'null' ? null : total, Number(transactions)] as Cell[] };
}

function table(...rows: string[]): Table {
  const table = new Table(aggregation);
  table.replace(rows.map(row));
  return table;
}

const totals = (table: Table) =>
  table.totals().map(({ name, rows, sums }) => `${name} ${rows}: ${sums.map((sum) => sum.text).join(' ')}`);

const names = (table: Table, order: Order, search = '') =>
  table.select(search, order).map((row) => row.cells[0]).join(' ');

test('an older or equal version changes nothing', () => {
  const t = table('ann EUR 12.50 3 @3');
  expect(t.apply([row('ann EUR 9.00 2 @2'), row('ann EUR 7.00 3 @3')], 1)).toBe(0);
  expect(totals(t)).toEqual(['EUR 1: 12.50 3']);
  expect(t.apply([row('ann EUR 1.00 1 @2.1')], 1)).toBe(1);
  expect(totals(t)).toEqual(['EUR 1: 1.00 1']);
});

test('sums by currency are exact and follow every change', () => {
  const t = table('ann EUR 0.10 1', 'bob EUR 0.20 1', 'eve JPY 700 2');
  expect(totals(t)).toEqual(['EUR 2: 0.30 2', 'JPY 1: 700 2']);
  t.apply([row('bob EUR -0.10 2 @2'), row('eve JPY gone @3'), row('kim USD 9007199254740993.01 1')], 1);
  expect(totals(t)).toEqual(['EUR 2: 0.00 3', 'USD 1: 9007199254740993.01 1']);
  expect(t.size).toBe(3);
});

test('a deleted row stays deleted for older versions and comes back with a newer one', () => {
  const t = table('ann EUR 5.00 1 @1');
  t.apply([row('ann EUR gone @3')], 1);
  t.apply([row('ann EUR 6.00 2 @2')], 1);
  expect(t.size).toBe(0);
  t.apply([row('ann EUR 7.00 4 @4')], 1);
  expect(totals(t)).toEqual(['EUR 1: 7.00 4']);
});

test('decimals are ordered by value, nulls are smallest, equal ones by key', () => {
  const t = table('a EUR 9.00 1', 'b EUR 10.00 1', 'c EUR -2.50 1', 'd EUR null 1', 'e EUR 10.0 1');
  expect(names(t, { column: 2, descending: false })).toBe('d c a b e');
  expect(names(t, { column: 2, descending: true })).toBe('b e a c d');
  expect(names(t, { column: 0, descending: true })).toBe('e d c b a');
});

test('a search finds rows with every word, whatever the case', () => {
  const t = table('Ann-Smith EUR 1.00 1', 'ann-jones USD 1.00 1', 'bob EUR 1.00 1');
  const order = { column: 0, descending: false };
  expect(names(t, order, 'ANN eur')).toBe('Ann-Smith');
  expect(names(t, order, '  ')).toBe('Ann-Smith ann-jones bob');
  expect(t.totals(t.select('ann', order)).map((group) => group.rows)).toEqual([1, 1]);
});

test('only cells that changed are marked, and each time anew', () => {
  const t = table('ann EUR 5.00 1 @1');
  const marks = () => [...t.rows.values()][0]!.changedAt;
  expect(marks()).toBeNull();
  t.apply([row('ann EUR 6.00 2 @2')], 100);
  expect(marks()).toEqual([0, 0, 101, 101]);
  t.apply([row('ann EUR 6.00 3 @3')], 101);
  expect(marks()).toEqual([0, 0, 101, 102]);
});

test('a hundred thousand rows are taken, summed and ordered in reasonable time', () => {
  const rows = Array.from({ length: 100_000 }, (_, index) => row(`key-${index} EUR ${(index * 7919) % 100_003}.25 1`));
  const t = new Table(aggregation);
  const start = performance.now();
  t.replace(rows);
  t.select('', { column: 2, descending: true });
  expect(performance.now() - start).toBeLessThan(5000);
  expect(t.size).toBe(100_000);
});

test('names that look like code are text', () => {
  const t = table('<img/src=x> EUR 1.00 1', '__proto__ EUR 1.00 1');
  expect(names(t, { column: 0, descending: false })).toBe('<img/src=x> __proto__');
});

test('merging what changed gives the same order as sorting everything', () => {
  let seed = 7;
  const random = (below: number) => (seed = (seed * 48271) % 2147483647) % below;
  const t = new Table(aggregation);
  const version = new Map<number, number>();
  const order = { column: 2, descending: true };
  let rows = t.select('1', order);
  for (let round = 0; round < 200; round += 1) {
    const changes = Array.from({ length: random(12) }, () => {
      const key = random(40);
      const next = (version.get(key) ?? 0) + 1;
      version.set(key, next);
      const total = random(6) === 0 ? 'gone' : `${random(50) - 25}.${10 + random(90)}`;
      return row(`k${key} EUR ${total} ${next} @${next}`);
    });
    t.apply(changes, round);
    rows = t.reselect(rows, '1', order);
    const compare = t.comparator(order);
    const expected = [...t.rows.values()].filter((row) => !row.deleted && row.text.includes('1')).sort(compare);
    expect(rows.map((row) => row.id)).toEqual(expected.map((row) => row.id));
  }
});

test('numbers that are the same as floating point are still told apart', () => {
  const t = table('a EUR 9007199254740993.02 1', 'b EUR 9007199254740993.01 1', 'c EUR 9007199254740993.03 1');
  expect(names(t, { column: 2, descending: false })).toBe('b a c');
});
