/** A small line of a value's last minutes. */
import type { Point } from '../api';
import { SCALE, formatDecimal, parseDecimal, places } from './decimal';

export const SPARK_WIDTH = 84;
export const SPARK_HEIGHT = 20;
const EDGE = 2;

export interface Spark {
  path: string;
  x: number;
  y: number;
  trend: 'up' | 'down' | 'flat';
}

/** The value now is its last point. */
export function spark(points: readonly Point[], now: string | null, at: number): Spark | null {
  const all = now === null ? points : [...points.filter(([when]) => when < at), [at, now] as const];
  const first = all[0];
  const last = all.at(-1);
  if (!first || !last || all.length < 2) return null;
  const numbers = all.map(([, text]) => Number(text));
  const low = Math.min(...numbers);
  const high = Math.max(...numbers);
  const wide = Math.max(1, last[0] - first[0]);
  const x = (when: number) => EDGE + ((when - first[0]) / wide) * (SPARK_WIDTH - 2 * EDGE);
  const y = (value: number) =>
    high === low ? SPARK_HEIGHT / 2 : SPARK_HEIGHT - EDGE - ((value - low) / (high - low)) * (SPARK_HEIGHT - 2 * EDGE);
  const spots = all.map(([when], index) => `${x(when).toFixed(1)} ${y(numbers[index] ?? 0).toFixed(1)}`);
  const end = numbers.at(-1) ?? 0;
  const begin = numbers[0] ?? 0;
  return { path: `M${spots.join('L')}`, x: x(last[0]), y: y(end), trend: end > begin ? 'up' : end < begin ? 'down' : 'flat' };
}

/** A point has its minute's beginning, and the number at its end. */
const MINUTE = 60_000n;

/**
 * Change a minute, over the last one and what has passed of this one; as many places as the number has.
 * `null` without points that far back.
 */
export function changeAMinute(points: readonly Point[], now: string, at: number): string | null {
  const end = Math.floor(at);
  const from = end - (end % Number(MINUTE)) - Number(MINUTE);
  const before = points.findLast(([minute]) => minute + Number(MINUTE) <= from);
  const value = parseDecimal(now);
  const old = before ? parseDecimal(before[1]) : null;
  if (!before || value === null || old === null) return null;
  const shown = Math.max(places(now), places(before[1]));
  const unit = 10n ** BigInt(SCALE - shown);
  const change = ((value - old) * MINUTE) / BigInt(end - from);
  // To the nearest that is shown.
  return formatDecimal(((change + (change < 0n ? -unit : unit) / 2n) / unit) * unit, shown);
}
