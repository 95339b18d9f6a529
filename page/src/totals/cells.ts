/** A row's cells as they are written. */
import type { Aggregation, Column, Point } from '../api';
import { exact, money, signed } from '../lib/format';
import type { ShownRow } from '../lib/rows';
import { session } from '../lib/session.svelte';
import { changeAMinute, spark, type Spark } from '../lib/spark';

/** How long a change is marked; the style's animation lasts as long. */
const MARK = 1400;
/** Longer texts are cut before they are laid out; the whole is in the title. */
const TEXT_MAX = 200;

export interface ShownCell {
  text: string;
  title: string;
  kind: Column['kind'];
  mark: '' | 'new-a' | 'new-b';
}

export interface ShownCells {
  cells: ShownCell[];
  change: string | null;
  spark: Spark | null;
  hasChange: boolean;
  hasTrend: boolean;
}

export interface GridData {
  aggregation: Aggregation;
  columns: (Column & { index: number })[];
  sparks: Map<string, Point[]>;
  change: boolean;
  trend: boolean;
}

export const isMinus = (text: string): boolean => text.startsWith('\u2212');

/** `_tick`: rises when the row may have changed, which the framework does not see by itself. */
export function cellsOf(row: ShownRow, { aggregation, columns, sparks, change, trend }: GridData, _tick: number): ShownCells {
  const now = performance.now();
  const at = aggregation.columns.findIndex(({ name }) => name === 'currency');
  const currency = typeof row.cells[at] === 'string' ? (row.cells[at] as string) : null;
  const cells = columns.map(({ kind, index }): ShownCell => {
    const cell = row.cells[index] ?? null;
    const text = cell === null ? '–' : kind === 'text' ? String(cell) : kind === 'decimal' ? money(String(cell), currency) : exact(String(cell));
    const changed = row.changedAt?.[index] ?? 0;
    // Two equal animations in turn: a change during one starts the other.
    const mark = changed > 0 && now - changed < MARK ? (changed % 2 ? 'new-a' : 'new-b') : '';
    return { text: text.trim() === '' ? '(blank)' : text.slice(0, TEXT_MAX), title: text, kind, mark };
  });
  const points = sparks.get(row.id);
  const sum = aggregation.columns.findIndex(({ name, kind }) => kind === 'decimal' && aggregation.sums.includes(name));
  const value = typeof row.cells[sum] === 'string' ? (row.cells[sum] as string) : null;
  const moved = change && points && value !== null ? changeAMinute(points, value, session.serverNow) : null;
  return {
    cells, hasChange: change, hasTrend: trend,
    change: moved === null ? null : /^-?0(\.0*)?$/.test(moved) ? '0' : signed(money(moved, currency)),
    spark: trend && points ? spark(points, value, session.serverNow) : null,
  };
}

/** Widths of the columns. */
export function tracksOf(columns: readonly Column[], change: boolean, trend: boolean, narrow: boolean): string {
  const width = ({ name, kind }: Column) =>
    name === 'currency' ? (narrow ? '3.7rem' : 'minmax(4.5rem, 0.4fr)') : kind === 'text' ? 'minmax(0, 1.6fr)' : kind === 'int' ? 'minmax(4rem, 0.7fr)' : 'minmax(6.5rem, 1.1fr)';
  return [narrow ? '1.25rem' : '1.5rem', ...columns.map(width), ...(change ? ['minmax(6rem, 0.9fr)'] : []), ...(trend ? [narrow ? '3rem' : '5.4rem'] : [])].join(' ');
}
