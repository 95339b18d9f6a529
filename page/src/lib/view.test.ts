import { expect, test } from 'vitest';
import { PINS_MAX, onDay, readView, writeView, type View } from './view';

const plain = readView('');
const write = (change: Partial<View>) => writeView({ ...plain, ...change });

test('the usual view needs no words', () => {
  expect(write({})).toBe('');
});

test.each<[string, Partial<View>]>([
  ['q=a%26b+c', { search: 'a&b c' }],
  ['day=2026-11-22&sort=-total', { day: '2026-11-22', sort: '-total' }],
  ['where=currency%3AEUR&where=account%3A%3Cb%3E', { where: ['currency:EUR', 'account:<b>'] }],
  ['pin=%5B%22d%22%2Cnull%5D', { pins: ['["d",null]'] }],
  ['view=key&a=daily_totals&key=%5B%22d%22%2C%22%F0%9F%8F%B3%22%5D', { page: 'key', aggregation: 'daily_totals', key: '["d","🏳"]' }],
  ['view=pipeline&hop=queue', { page: 'pipeline', hop: 'queue' }],
  ['view=quarantine&record=gateway-0-1&source=json&reason=bad_amount', { page: 'quarantine', record: 'gateway-0-1', source: 'json', reason: 'bad_amount' }],
  ['hide=trend%2Cchange&group=&measure=rate&chart=table&movers=15&kiosk=1&theme=dark', {
    hidden: ['trend', 'change'], group: '', measure: 'rate', chartTable: true, movers: 15, kiosk: true, theme: 'dark',
  }],
])('%s', (address, change) => {
  expect(write(change)).toBe(address);
  expect(readView(`?${address}`)).toEqual({ ...plain, ...change });
});

test('nonsense in an address is passed over', () => {
  expect(readView('view=admin&day=tomorrow&theme=pink&movers=7&where=x&key=%7B%7D&pin=1&pin=[{}]')).toEqual(plain);
});

test('no more is pinned than a server takes, and nothing twice', () => {
  const pins = Array.from({ length: PINS_MAX + 1 }, (_, index) => `pin=["d","${index}"]`);
  expect(readView([pins[0], ...pins].join('&')).pins.length).toBe(PINS_MAX);
});

test('a pinned key is the same key on another day', () => {
  expect(onDay('["2026-11-23","a\\"b",null]', '2026-11-24')).toBe('["2026-11-24","a\\"b",null]');
});
