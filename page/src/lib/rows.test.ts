import { expect, test } from 'vitest';
import samples from '../api.sample.json';
import type { Cell, Row, Window } from '../api';
import { REMEMBERED_MAX, Rows, idOf } from './rows';

/** `ann 12.50 @3`: a row at sequence 3, `@2.1`: of generation 2; `ann gone @3`: deleted. */
function row(text: string): Row {
  const [body = '', version = '1'] = text.split(' @');
  const [account = '', total = ''] = body.split(' ');
  const key = ['2026-11-23', account, 'EUR'];
  const v: [number, number] = version.includes('.') ? (version.split('.').map(Number) as [number, number]) : [1, Number(version)];
  if (total === 'gone') return { key, v, deleted: true };
  return { key, v, c: [account, 'EUR', total, v[1]] as Cell[] };
}

const window = (texts: string[], from = 0, pinned: string[] = []): Window => ({
  ...(samples.window as Window), from, rows: texts.map(row), pinned: pinned.map(row), size: 100, matching: 50,
});

function rows(...texts: string[]): Rows {
  const rows = new Rows();
  rows.takeWindow(window(texts), true, 0);
  return rows;
}

const shown = (rows: Rows) =>
  rows.order.map((_, index) => rows.at(rows.from + index)).map((row) => `${row?.cells[0]} ${row?.cells[2]}`).join(', ');

test('an older or equal version changes nothing, whichever server it comes from', () => {
  const t = rows('ann 12.50 @3');
  expect(t.takeFrame({ rows: [row('ann 9.00 @2'), row('ann 7.00 @3')] }, 1)).toBe(0);
  t.takeWindow(window(['ann 9.00 @2']), true, 2);
  expect(shown(t)).toBe('ann 12.50');
  expect(t.takeFrame({ rows: [row('ann 1.00 @2.1')] }, 3)).toBe(1);
  expect(shown(t)).toBe('ann 1.00');
});

test('a row that went out of sight is remembered: a lagging replica cannot bring its past back', () => {
  const t = rows('ann 12.50 @3', 'bob 1.00 @1');
  t.takeWindow(window(['eve 2.00 @1'], 50), true, 1);
  t.takeWindow(window(['ann 9.00 @2', 'bob 1.00 @1']), true, 2);
  expect(shown(t)).toBe('ann 12.50, bob 1.00');
});

test('rows are looked up by their place among those that match', () => {
  const t = new Rows();
  t.takeWindow(window(['ann 2.00', 'bob 1.00'], 25), true, 0);
  expect([t.at(24), t.at(25)?.id, t.indexOf(idOf(['2026-11-23', 'bob', 'EUR'])), t.at(27)]).toEqual([
    undefined, idOf(['2026-11-23', 'ann', 'EUR']), 26, undefined,
  ]);
});

test('only cells that changed are marked, and each time anew', () => {
  const t = rows('ann 5.00 @1');
  const marks = () => t.at(0)?.changedAt;
  expect(marks()).toBeNull();
  t.takeFrame({ rows: [row('ann 6.00 @2')] }, 100);
  expect(marks()).toEqual([0, 0, 101, 101]);
  t.takeFrame({ rows: [row('ann 6.00 @3')] }, 101);
  expect(marks()).toEqual([0, 0, 101, 102]);
});

test('while it is held the order stays and values go on; then the last order is taken', () => {
  const t = rows('ann 5.00 @1', 'bob 4.00 @1');
  t.hold(true);
  t.takeWindow(window(['bob 9.00 @2', 'ann 5.00 @1']), false, 1);
  expect(shown(t)).toBe('ann 5.00, bob 9.00');
  t.takeWindow(window(['eve 10.00 @1', 'bob 9.00 @2']), false, 2);
  expect(shown(t)).toBe('ann 5.00, bob 9.00');
  t.hold(false);
  expect(shown(t)).toBe('eve 10.00, bob 9.00');
});

test('what the reader asks for is shown although the order is held', () => {
  const t = rows('ann 5.00 @1');
  t.hold(true);
  t.takeWindow(window(['kim 1.00 @1'], 25), true, 1);
  expect([shown(t), t.from]).toEqual(['kim 1.00', 25]);
});

test('a paused view stands still, counts rows that changed, and takes them all at once', () => {
  const t = rows('ann 5.00 @1', 'bob 4.00 @1');
  t.pause();
  t.takeFrame({ rows: [row('ann 6.00 @2')] }, 1);
  t.takeFrame({ rows: [row('ann 7.00 @3'), row('bob 3.00 @1')] }, 2);
  t.takeWindow(window(['bob 9.00 @2', 'ann 7.00 @3'], 0), false, 3);
  t.takeSummary({ day: '2026-11-23', size: 7, matching: 7, groups: [], sent_at: 0 });
  expect([shown(t), t.changesWaiting, t.size]).toEqual(['ann 5.00, bob 4.00', 2, 100]);
  t.resume(4);
  expect([shown(t), t.changesWaiting, t.size]).toEqual(['bob 9.00, ann 7.00', 0, 7]);
});

test('scrolling while paused shows the rows there, and an order that waited for other rows is dropped', () => {
  const t = rows('ann 5.00 @1');
  t.pause();
  t.takeWindow(window(['bob 9.00 @1']), false, 1);
  t.takeWindow(window(['kim 1.00 @1'], 25), true, 2);
  expect(shown(t)).toBe('kim 1.00');
  t.resume(3);
  expect(shown(t)).toBe('kim 1.00');
});

test('another log begins with versions of its own; what is shown stays until then', () => {
  const t = rows('ann 12.50 @300');
  t.forgetVersions();
  expect(shown(t)).toBe('ann 12.50');
  t.takeWindow(window(['ann 1.00 @1']), false, 1);
  expect(shown(t)).toBe('ann 1.00');
});

test('a deleted row stays readable in its place, and comes back with a newer version only', () => {
  const t = rows('ann 5.00 @1');
  t.takeFrame({ rows: [row('ann gone @3'), row('ann 6.00 @2')] }, 1);
  expect([shown(t), t.at(0)?.deleted]).toEqual(['ann 5.00', true]);
  t.takeFrame({ rows: [row('ann 7.00 @4')] }, 2);
  expect([shown(t), t.at(0)?.deleted]).toEqual(['ann 7.00', false]);
});

test('no more rows are remembered than the limit, and those in sight always', () => {
  const t = rows('ann 1.00 @1');
  for (let from = 0; from <= REMEMBERED_MAX; from += 500) {
    t.takeWindow(window(Array.from({ length: 500 }, (_, index) => `key-${from + index} 1.00 @1`), from, ['ann 1.00 @1']), true, 1);
  }
  const known = ['ann', ...Array.from({ length: REMEMBERED_MAX + 500 }, (_, index) => `key-${index}`)];
  const left = known.filter((name) => t.get(idOf(['2026-11-23', name, 'EUR'])));
  expect(left.length).toBe(REMEMBERED_MAX);
  expect([left[0], left.at(-1)]).toEqual(['ann', `key-${REMEMBERED_MAX + 499}`]);
});

test('whatever comes in whatever order: no value goes back, and in the end the newest is shown', () => {
  for (let seed = 1; seed <= 400; seed += 1) {
    let state = seed;
    const random = (below: number) => (state = (state * 48271) % 2147483647) % below;
    const truth = new Map<string, number>();
    const past: { [name: string]: number }[] = [{}];
    const t = new Rows();
    const painted = new Map<string, number>();
    const text = (name: string, at: number) => `${name} ${at}.00 @${at}`;
    const look = () => {
      for (const id of t.order) {
        const row = t.get(id);
        const name = String(row?.cells[0]);
        const value = Number(row?.cells[3]);
        expect(value, `seed ${seed}: ${name} went back`).toBeGreaterThanOrEqual(painted.get(name) ?? 0);
        painted.set(name, value);
      }
    };
    for (let step = 0; step < 60; step += 1) {
      const name = `k${random(5)}`;
      truth.set(name, (truth.get(name) ?? 0) + 1);
      past.push(Object.fromEntries(truth));
      // Any replica, as far behind as it likes.
      const replica = Object.entries(past[past.length - 1 - random(Math.min(past.length, 8))] ?? {});
      const some = replica.filter(() => random(3) > 0).map(([name, at]) => text(name, at));
      if (random(8) === 0) t.hold(random(2) === 0);
      if (random(9) === 0) t.pause();
      else if (t.paused && random(3) === 0) t.resume(step);
      if (random(2) === 0) t.takeWindow(window(some.sort()), random(4) === 0, step);
      else t.takeFrame({ rows: some.map(row) }, step);
      look();
    }
    t.hold(false);
    if (t.paused) t.resume(100);
    t.takeWindow(window([...truth].map(([name, at]) => text(name, at))), false, 101);
    look();
    expect(Object.fromEntries(painted), `seed ${seed}`).toEqual(Object.fromEntries(truth));
  }
});
