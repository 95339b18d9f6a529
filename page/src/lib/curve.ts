/**
 * Curves for drawing: days beside each other on one axis, seconds since their own midnight.
 *
 * The picture is drawn from floating point; the table beside it has the exact texts.
 */
import type { Curve, CurvePoint } from '../api';

/** Points are drawn this far from each other, in seconds. */
export const BIN = 120;
/** A rate is the change over so many seconds, shown by the minute. */
export const RATE_OVER = 600;

/** The text at this time (milliseconds since 1970). Points are oldest first; each has its minute's beginning, and the sums at its end. */
export function asOf(points: readonly CurvePoint[], column: number, at: number): string | null {
  let low = 0;
  let high = points.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((points[middle] as CurvePoint)[0] < at) low = middle + 1;
    else high = middle;
  }
  const point = points[low - 1];
  return point ? ((point[column + 1] as string | null) ?? null) : null;
}

export interface Line {
  /** Where the day begins, in milliseconds; `null`: nothing is known of it. */
  startsAt: number | null;
  points: readonly CurvePoint[];
  column: number;
  /** Seconds since midnight that are known: until now, or the whole day. */
  until: number;
}

export function lineOf(curve: Curve | null, group: string | null, column: string, now: number): Line {
  const found = curve?.groups.find(({ name }) => name === group);
  if (!curve || !found) return { startsAt: null, points: [], column: 0, until: 0 };
  const [startsAt, endsAt] = [curve.starts_at / 1000, curve.ends_at / 1000];
  return { startsAt, points: found.points, column: Math.max(0, curve.columns.indexOf(column)), until: (Math.min(now, endsAt) - startsAt) / 1000 };
}

/** Seconds since midnight to draw at, for these lines, the present moment included. */
export function axis(lines: readonly Line[], length: number): number[] {
  const ends = new Set(lines.map((line) => line.until).filter((until) => until > 0 && until < length));
  const bins = Array.from({ length: Math.floor(length / BIN) + 1 }, (_, index) => index * BIN);
  return [...new Set([...bins, ...ends])].sort((a, b) => a - b);
}

export function textAt(line: Line, second: number): string | null {
  if (line.startsAt === null || second > line.until) return null;
  // A day begins at nothing.
  return asOf(line.points, line.column, line.startsAt + second * 1000) ?? '0';
}

function numberAt(line: Line, second: number): number | null {
  const text = textAt(line, second);
  return text === null ? null : Number(text);
}

export function values(line: Line, xs: readonly number[], measure: 'total' | 'rate'): (number | null)[] {
  if (measure === 'total') return xs.map((x) => numberAt(line, x));
  return xs.map((x) => {
    const now = numberAt(line, x);
    const before = numberAt(line, Math.max(0, x - RATE_OVER));
    return now === null || before === null ? null : ((now - before) * 60) / Math.min(RATE_OVER, Math.max(x, BIN));
  });
}
