/** Which rows to ask for: those in sight and some around them, in steps, so that small moves and other readers ask for the same. */

export const STEP = 25;
const SPARE = 20;
/** As many as a server gives at once. */
export const COUNT_MAX = 500;

export interface Range {
  from: number;
  count: number;
}

export function rangeFor(first: number, last: number): Range {
  const from = Math.floor(Math.max(0, first - SPARE) / STEP) * STEP;
  const to = Math.ceil((Math.max(last, first + 1) + SPARE) / STEP) * STEP;
  return { from, count: Math.min(COUNT_MAX, to - from) };
}
