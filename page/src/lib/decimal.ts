/** Exact decimals: text in, whole numbers of 10^-18 inside, text out. No floating point anywhere. */

export const SCALE = 18;
const DECIMAL = /^([+-]?)(\d+)(?:\.(\d{1,18}))?$/;

/** The value as a whole number of 10^-18; `null` when the text is no decimal of at most 18 places. */
export function parseDecimal(text: string): bigint | null {
  const match = DECIMAL.exec(text);
  if (!match) return null;
  const [, sign, whole = '', fraction = ''] = match;
  const digits = BigInt(whole + fraction.padEnd(SCALE, '0'));
  return sign === '-' ? -digits : digits;
}

/** Places behind the point as written. */
export function places(text: string): number {
  const point = text.indexOf('.');
  return point < 0 ? 0 : text.length - point - 1;
}

/** As text with at least so many places, more if the value needs them. */
export function formatDecimal(value: bigint, placesMin: number): string {
  const negative = value < 0n;
  const digits = (negative ? -value : value).toString().padStart(SCALE + 1, '0');
  const whole = digits.slice(0, -SCALE);
  let fraction = digits.slice(-SCALE).replace(/0+$/, '');
  fraction = fraction.padEnd(placesMin, '0');
  return (negative ? '-' : '') + whole + (fraction ? `.${fraction}` : '');
}

export interface NumberStyle {
  group: string;
  point: string;
  minus: string;
}

/** How a locale writes numbers. */
export function numberStyle(locale?: string): NumberStyle {
  const parts = new Intl.NumberFormat(locale, { useGrouping: true }).formatToParts(-1234567.5);
  const find = (type: string, otherwise: string) =>
    parts.find((part) => part.type === type)?.value ?? otherwise;
  // A hyphen is narrower than a figure; the minus sign is as wide as a plus.
  return { group: find('group', ','), point: find('decimal', '.'), minus: '\u2212' };
}

/** A decimal's or whole number's text in a locale's style, digit by digit. Other text as it is. */
export function grouped(text: string, style: NumberStyle): string {
  const match = /^(-?)(\d+)(?:\.(\d+))?$/.exec(text);
  if (!match) return text;
  const [, sign, whole = '', fraction] = match;
  const left = whole.replace(/\B(?=(\d{3})+$)/g, style.group);
  return (sign ? style.minus : '') + left + (fraction === undefined ? '' : style.point + fraction);
}
