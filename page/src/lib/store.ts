/**
 * The rows of one day, outside the framework: versions checked, sums exact, order held.
 *
 * Invariants: a row is replaced only by a newer version of itself; a group's sums are always the
 * sums of its rows (kept by differences, so that a change costs the same at 100,000 rows).
 */
import type { Aggregation, Cell, Row } from '../api';
import { SCALE, formatDecimal, parseDecimal, places } from './decimal';

export interface TableRow {
  readonly id: string;
  v: [number, number];
  deleted: boolean;
  cells: Cell[];
  /** Numeric columns as whole numbers of 10^-18; `null` for text and SQL's null. */
  numbers: (bigint | null)[];
  /** When each cell last changed (performance.now(), 0: never); `null`: none since it was loaded. */
  changedAt: number[] | null;
  /** The same as floating point: only where these are equal the exact ones must be compared. */
  near: number[];
  /** Lower-case text to search in. */
  text: string;
  /** Whether it has changed since the rows were last put in order. */
  moved: boolean;
}

/** Sums of the rows that share a currency, or of all rows without that column. */
export interface Group {
  name: string | null;
  rows: number;
  sums: { column: number; value: bigint; text: string }[];
}

export interface Order {
  column: number;
  descending: boolean;
}

const CURRENCY = 'currency';

interface GroupState {
  rows: number;
  values: bigint[];
  places: number[];
}

function isNewer(a: [number, number], b: [number, number]): boolean {
  return a[0] !== b[0] ? a[0] > b[0] : a[1] > b[1];
}

export class Table {
  readonly rows = new Map<string, TableRow>();
  /** Rows that are not deleted. */
  size = 0;
  /** Rises with every change. */
  changes = 0;
  private moved: TableRow[] = [];
  private readonly groupColumn: number;
  private readonly sumColumns: number[];
  private groups = new Map<string | null, GroupState>();

  constructor(readonly aggregation: Aggregation) {
    const { columns, sums } = aggregation;
    this.groupColumn = columns.findIndex((column) => column.name === CURRENCY && column.kind === 'text');
    this.sumColumns = columns.flatMap((column, index) =>
      column.kind !== 'text' && sums.includes(column.name) ? [index] : [],
    );
  }

  /** Takes a snapshot: these rows and no others. */
  replace(rows: Row[]): void {
    this.rows.clear();
    this.groups.clear();
    this.moved = [];
    this.size = 0;
    this.changes += 1;
    for (const row of rows) this.put(row, null);
  }

  /** Takes changes; says how many were news. */
  apply(rows: Row[], now: number): number {
    let news = 0;
    for (const row of rows) if (this.put(row, now)) news += 1;
    if (news > 0) this.changes += 1;
    return news;
  }

  private put(row: Row, now: number | null): boolean {
    const id = JSON.stringify(row.key);
    const old = this.rows.get(id);
    if (old && !isNewer(row.v, old.v)) return false;
    if (old && !old.deleted) this.count(old, -1);
    const deleted = row.deleted ?? false;
    const cells = deleted ? [] : (row.c ?? []);
    const next: TableRow = old ?? { id, v: row.v, deleted, cells: [], numbers: [], near: [], changedAt: null, text: '', moved: false };
    if (now !== null && !deleted) {
      const before = next.cells;
      const changedAt = (next.changedAt ??= new Array<number>(cells.length).fill(0));
      cells.forEach((cell, index) => {
        if (cell === before[index]) return;
        // Every change has another parity than the one before: the mark begins anew by it.
        const at = Math.floor(now);
        changedAt[index] = at + ((at ^ (changedAt[index] ?? 0)) & 1 ? 0 : 1);
      });
    }
    next.v = row.v;
    next.deleted = deleted;
    next.cells = cells;
    const { columns } = this.aggregation;
    next.numbers = cells.map((cell, index) =>
      cell === null || columns[index]?.kind === 'text' ? null : parseDecimal(String(cell)),
    );
    // Rounding keeps the order.
    next.near = next.numbers.map((number) => (number === null ? -Infinity : Number(number)));
    if (!next.moved) this.moved.push(next);
    next.moved = true;
    next.text = cells
      .filter((cell, index) => cell !== null && columns[index]?.kind === 'text')
      .join('\n')
      .toLowerCase();
    if (!old) this.rows.set(id, next);
    if (!deleted) this.count(next, 1);
    return true;
  }

  private groupOf(row: TableRow): string | null {
    const name = this.groupColumn < 0 ? null : row.cells[this.groupColumn];
    return typeof name === 'string' ? name : null;
  }

  private count(row: TableRow, sign: 1 | -1): void {
    this.size += sign;
    add(this.groups, this.groupOf(row), row, sign, this.sumColumns);
  }

  private shown(groups: Map<string | null, GroupState>): Group[] {
    const found: Group[] = [];
    for (const [name, group] of groups) {
      if (group.rows === 0) continue;
      const sums = this.sumColumns.map((column, index) => {
        const value = group.values[index] ?? 0n;
        return { column, value, text: formatDecimal(value, group.places[index] ?? 0) };
      });
      found.push({ name, rows: group.rows, sums });
    }
    return found.sort((a, b) => b.rows - a.rows || compareText(a.name, b.name));
  }

  /** Exact sums by currency, of all rows or of these; the largest group first. */
  totals(rows?: readonly TableRow[]): Group[] {
    if (!rows) return this.shown(this.groups);
    const groups = new Map<string | null, GroupState>();
    for (const row of rows) add(groups, this.groupOf(row), row, 1, this.sumColumns);
    return this.shown(groups);
  }

  /** The rows that hold every word, in order. Equal ones are in the order of their keys. */
  select(search: string, order: Order): TableRow[] {
    const found: TableRow[] = [];
    const wanted = matcher(search);
    for (const row of this.rows.values()) if (wanted(row)) found.push(row);
    this.settle();
    return found.sort(this.comparator(order));
  }

  /**
   * The same as `select`, from what it last gave for the same search and order: the rows that did
   * not change are in order already, the others are merged in.
   */
  reselect(before: readonly TableRow[], search: string, order: Order): TableRow[] {
    const compare = this.comparator(order);
    const news = this.moved.filter(matcher(search)).sort(compare);
    const merged: TableRow[] = [];
    let next = 0;
    for (const row of before) {
      if (row.moved) continue;
      for (let one = news[next]; one && compare(one, row) < 0; one = news[next]) {
        merged.push(one);
        next += 1;
      }
      merged.push(row);
    }
    for (; next < news.length; next += 1) merged.push(news[next] as TableRow);
    this.settle();
    return merged;
  }

  private settle(): void {
    for (const row of this.moved) row.moved = false;
    this.moved = [];
  }

  comparator({ column, descending }: Order): (a: TableRow, b: TableRow) => number {
    const sign = descending ? -1 : 1;
    const numeric = this.aggregation.columns[column]?.kind !== 'text';
    const values = numeric
      ? (a: TableRow, b: TableRow) => {
          const x = a.near[column] ?? 0;
          const y = b.near[column] ?? 0;
          if (x !== y) return x < y ? -1 : 1;
          return compareNumbers(a.numbers[column] ?? null, b.numbers[column] ?? null);
        }
      : (a: TableRow, b: TableRow) => compareText(a.cells[column] ?? null, b.cells[column] ?? null);
    return (a, b) => sign * values(a, b) || compareText(a.id, b.id);
  }
}

function matcher(search: string): (row: TableRow) => boolean {
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  return (row) => !row.deleted && words.every((word) => row.text.includes(word));
}

function add(
  groups: Map<string | null, GroupState>,
  name: string | null,
  row: TableRow,
  sign: 1 | -1,
  columns: number[],
): void {
  let group = groups.get(name);
  if (!group) {
    group = { rows: 0, values: columns.map(() => 0n), places: columns.map(() => 0) };
    groups.set(name, group);
  }
  group.rows += sign;
  for (const [index, column] of columns.entries()) {
    const number = row.numbers[column] ?? null;
    if (number === null) continue;
    group.values[index] = (group.values[index] ?? 0n) + (sign > 0 ? number : -number);
    group.places[index] = Math.max(group.places[index] ?? 0, Math.min(places(String(row.cells[column])), SCALE));
  }
}

/** Nulls are smallest. */
function compareNumbers(a: bigint | null, b: bigint | null): number {
  if (a === null || b === null) return (a === null ? 0 : 1) - (b === null ? 0 : 1);
  return a < b ? -1 : a > b ? 1 : 0;
}

function compareText(a: Cell, b: Cell): number {
  if (a === null || b === null) return (a === null ? 0 : 1) - (b === null ? 0 : 1);
  return a < b ? -1 : a > b ? 1 : 0;
}
