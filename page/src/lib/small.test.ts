/** Small pure parts: formats, keys, ranges, curves and sparks. */
import { expect, test } from 'vitest';
import type { Curve } from '../api';
import { asOf, axis, lineOf, textAt, values } from './curve';
import { ago, currencyDigits, dayBefore, dayName, duration, money, plural, signed, style } from './format';
import { KEYS, actionFor, type Press } from './keys';
import { COUNT_MAX, STEP, rangeFor } from './range';
import { changeAMinute, spark } from './spark';

const plain = (text: string) => text.replaceAll(style.group, ',').replaceAll(style.point, '.').replaceAll(style.minus, '-');

test.each([
  ['1234.5', 'EUR', '1,234.50'], ['1234.500', 'EUR', '1,234.50'], ['0.125', 'EUR', '0.125'], ['700.00', 'JPY', '700'],
  ['700.01', 'JPY', '700.01'], ['1.5', 'KWD', '1.500'], ['-12', 'USD', '-12.00'], ['9007199254740993.01', 'EUR', '9,007,199,254,740,993.01'],
  ['12.5', 'points', '12.5'], ['12.5', null, '12.5'], ['not a number', 'EUR', 'not a number'],
])('%s of %s is written %s', (text, currency, expected) => {
  expect(plain(money(text, currency))).toBe(expected);
});

test('what is no currency has no digits of its own', () => {
  expect([currencyDigits('EUR'), currencyDigits('JPY'), currencyDigits('<b>')]).toEqual([2, 0, null]);
});

test('times, spans and numbers as people say them', () => {
  expect([ago(59_400), ago(130_000), ago(7_300_000), ago(-5)]).toEqual(['59 s', '2 min', '2 h', '0 s']);
  expect([duration(0.9), duration(184), duration(2_940), duration(90_000)].map(plain)).toEqual(['0.9 ms', '184 ms', '2.94 s', '1.5 min']);
  expect([plural(1, 'key'), plural(2, 'key')]).toEqual(['1 key', '2 keys']);
  expect([signed('1.00'), signed(`${style.minus}1.00`)]).toEqual(['+1.00', `${style.minus}1.00`]);
  expect([dayBefore('2026-03-01', 1), dayBefore('2026-11-23', 7), dayName('no day')]).toEqual(['2026-02-28', '2026-11-16', 'no day']);
});

const press = (key: string, more: Partial<Press> = {}): Press => ({ key, ctrlKey: false, metaKey: false, altKey: false, tag: 'BODY', editable: false, inGrid: false, ...more });

test('every key that is listed works, and none means two things', () => {
  const all = KEYS.flatMap(({ keys }) => keys);
  expect(new Set(all).size).toBe(all.length);
  for (const { keys, action } of KEYS) for (const key of keys) expect(actionFor(press(key, { inGrid: true }))).toBe(action);
});

test('keys do what they always do where something else has the focus', () => {
  expect(actionFor(press('j', { editable: true, tag: 'INPUT' }))).toBeNull();
  expect(actionFor(press('Escape', { editable: true, tag: 'INPUT' }))).toBe('back');
  expect(actionFor(press(' ', { tag: 'BUTTON' }))).toBeNull();
  expect(actionFor(press('Enter', { tag: 'A' }))).toBeNull();
  expect(actionFor(press('p', { ctrlKey: true }))).toBeNull();
  expect(actionFor(press('ArrowDown'))).toBeNull();
});

test('a range covers what is in sight, in steps, and never more than a server gives', () => {
  for (let first = 0; first < 3_000; first += 17) {
    const { from, count } = rangeFor(first, first + 30);
    expect(from % STEP).toBe(0);
    expect(count % STEP).toBe(0);
    expect(from <= first && from + count >= first + 30 && from >= 0).toBe(true);
  }
  expect(rangeFor(0, 0)).toEqual({ from: 0, count: STEP });
  expect(rangeFor(0, 100_000).count).toBe(COUNT_MAX);
});

const curve: Curve = {
  day: '2026-11-23', starts_at: 1_000_000_000, ends_at: 1_000_000_000 + 86_400_000_000, columns: ['total', 'transactions'],
  groups: [{ name: 'EUR', points: [[1_060_000, '10.00', '1'], [1_600_000, '25.00', '2'], [4_600_000, '-5.00', '3']] }],
};

test('a curve has at any time the value known then', () => {
  const points = curve.groups[0]!.points;
  expect([asOf(points, 0, 0), asOf(points, 0, 1_060_001), asOf(points, 1, 4_600_000), asOf(points, 0, 9e15)]).toEqual([null, '10.00', '2', '-5.00']);
});

test('a line ends now, begins at nothing, and its rate is by the minute', () => {
  const line = lineOf(curve, 'EUR', 'total', 1_000_000 + 3_700_000);
  expect([textAt(line, 0), textAt(line, 700), textAt(line, 3_700), textAt(line, 3_701)]).toEqual(['0', '25.00', '-5.00', null]);
  expect(values(line, [661, 3_601, 4_000], 'rate')).toEqual([1.5, -3, null]);
  expect(lineOf(curve, 'JPY', 'total', 2_000_000).startsAt).toBeNull();
  expect(axis([line], 86_400)).toContain(3_700);
});

test('a spark ends with the value now', () => {
  const points: [number, string][] = [[0, '1.00'], [60_000, '2.00']];
  const line = spark(points, '3.00', 120_000);
  expect([line?.trend, line?.x, line?.y]).toEqual(['up', 82, 2]);
  expect(spark(points, '2.00', 120_000)?.path.split('L').length).toBe(3);
  expect([spark([], '1', 0), spark([[0, '5']], null, 1)]).toEqual([null, null]);
  expect(spark([[0, '5'], [1, '5']], null, 1)).toMatchObject({ trend: 'flat', y: 10 });
});

test('a change a minute is over one to two minutes, and unknown without points that far back', () => {
  // At 3:30, from 2:00 on: what the point of minute 1 has.
  const points: [number, string][] = [[0, '5.00'], [60_000, '0.10'], [120_000, '9.00'], [180_000, '9.50']];
  expect(changeAMinute(points, '9.10', 210_000)).toBe('6.00');
  expect(changeAMinute(points, '0.11', 210_000)).toBe('0.01');
  expect(changeAMinute(points, '0.09', 210_000)).toBe('-0.01');
  expect(changeAMinute([[0, '5.00']], '5.00', 86_400_000)).toBe('0.00');
  expect(changeAMinute(points.slice(2), '9.10', 210_000)).toBeNull();
});
