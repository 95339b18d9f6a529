import { expect, test } from 'vitest';
import { formatDecimal, grouped, numberStyle, parseDecimal, places } from './decimal';

const sum = (texts: string[]) =>
  formatDecimal(
    texts.reduce((sum, text) => sum + (parseDecimal(text) ?? 0n), 0n),
    Math.max(0, ...texts.map(places)),
  );

test.each([
  [['0.1', '0.2'], '0.3'],
  [['12.50', '-12.50'], '0.00'],
  [['-0.01', '0.005'], '-0.005'],
  [['9007199254740993', '1'], '9007199254740994'],
  [['9999999999999999999999999999.99999', '0.00001'], '10000000000000000000000000000.00000'],
  [[], '0'],
])('the sum of %j is %s', (texts, expected) => {
  expect(sum(texts)).toBe(expected);
});

test.each(['', '.5', '5.', '1e3', 'NaN', '1,000', '--1', '1.0000000000000000001'])('%j is no decimal', (text) => {
  expect(parseDecimal(text)).toBeNull();
});

test('digits are grouped as the locale does, none is lost', () => {
  const en = numberStyle('en');
  expect(grouped('-1234567.50', en)).toBe('\u22121,234,567.50');
  expect(grouped('999', en)).toBe('999');
  expect(grouped('100000000000000000000000.00001', en)).toBe('100,000,000,000,000,000,000,000.00001');
  expect(grouped('1234.5', numberStyle('de-DE'))).toBe('1.234,5');
  expect(grouped('<b>', en)).toBe('<b>');
});

// What the locale itself writes, for numbers that it can take without losing a digit.
test.each(['en', 'de', 'hi-IN', 'es', 'pl', 'pt-PT', 'fr', 'de-CH', 'ar-EG', 'fa', 'ja', 'sv', 'mr'])('numbers look as in %s', (locale) => {
  const style = numberStyle(locale);
  for (const text of ['0', '7', '999', '1000', '1234', '12345', '123456', '1234567', '12345678', '123456789012345']) {
    expect(grouped(text, style)).toBe(new Intl.NumberFormat(locale).format(BigInt(text)));
  }
  const cents = new Intl.NumberFormat(locale, { minimumFractionDigits: 2 });
  expect(grouped('12345.50', style)).toBe(cents.format(12345.5));
});
