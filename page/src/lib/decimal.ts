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
  /** Digits of the last group, of those before it, and of the first one at least: 3, 2 and 1 in 1,23,456; 3, 3 and 2 where 1234 has no mark. */
  sizes: readonly [last: number, others: number, first: number];
  /** From nought to nine. */
  digits: readonly string[];
}

/** How a locale writes numbers. */
export function numberStyle(locale?: string): NumberStyle {
  const form = new Intl.NumberFormat(locale);
  const parts = form.formatToParts(-123456789012.5);
  const find = (type: string, otherwise: string) =>
    parts.find((part) => part.type === type)?.value ?? otherwise;
  const groups = parts.filter((part) => part.type === 'integer').map((part) => [...part.value].length);
  const last = groups.at(-1) ?? 3;
  const others = groups.length > 2 ? (groups.at(-2) ?? last) : last;
  const first = form.formatToParts(10 ** last).some((part) => part.type === 'group') ? 1 : 2;
  const plain = new Intl.NumberFormat(locale, { useGrouping: false });
  return {
    group: find('group', ','),
    point: find('decimal', '.'),
    // A hyphen is narrower than a figure; the minus sign is as wide as a plus.
    minus: '\u2212',
    sizes: groups.length > 1 ? [last, others, first] : [Infinity, Infinity, 1],
    digits: Array.from({ length: 10 }, (_, digit) => plain.format(digit)),
  };
}

/** A decimal's or whole number's text in a locale's style, digit by digit. Other text as it is. */
export function grouped(text: string, style: NumberStyle): string {
  const match = /^(-?)(\d+)(?:\.(\d+))?$/.exec(text);
  if (!match) return text;
  const [, sign, whole = '', fraction] = match;
  const left = marked(whole, style);
  const number = left + (fraction === undefined ? '' : style.point + fraction);
  const written = style.digits[0] === '0' ? number : number.replace(/[0-9]/g, (digit) => style.digits[Number(digit)] ?? digit);
  return (sign ? style.minus : '') + written;
}

function marked(whole: string, { group, sizes: [last, others, first] }: NumberStyle): string {
  if (whole.length < last + first) return whole;
  let text = whole.slice(-last);
  for (let end = whole.length - last; end > 0; end -= others) text = whole.slice(Math.max(0, end - others), end) + group + text;
  return text;
}
