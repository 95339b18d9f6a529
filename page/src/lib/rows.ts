/**
 * The rows in sight, outside the framework: versions checked, order held while it is read, changes
 * kept back while paused.
 *
 * Invariant: a row is replaced only by a newer version of itself, whichever server it comes from.
 * Rows that went out of sight are remembered for that reason, up to a limit.
 */
import type { Cell, Frame, Group, Row, Summary, Window } from '../api';

/** Rows remembered, those in sight included. */
export const REMEMBERED_MAX = 5_000;

export interface ShownRow {
  readonly id: string;
  readonly key: (string | null)[];
  v: [number, number];
  deleted: boolean;
  cells: Cell[];
  /** When each cell last changed (performance.now(), 0: never); `null`: none since it was loaded. */
  changedAt: number[] | null;
}

export const idOf = (key: (string | null)[]): string => JSON.stringify(key);

export function isNewer(a: readonly [number, number], b: readonly [number, number]): boolean {
  return a[0] !== b[0] ? a[0] > b[0] : a[1] > b[1];
}

export class Rows {
  size = 0;
  matching = 0;
  groups: Group[] = [];
  /** Index of the first row of `order` among those that match. */
  from = 0;
  order: string[] = [];
  pinned: string[] = [];
  loaded = false;
  private readonly known = new Map<string, ShownRow>();
  private held = false;
  private heldWindow: Window | null = null;
  private isPaused = false;
  private waiting = new Map<string, Row>();
  private waitingWindow: Window | null = null;
  private waitingSummary: Summary | null = null;

  /** Rows that have changed since the view was paused. */
  get changesWaiting(): number {
    return this.waiting.size;
  }

  get paused(): boolean {
    return this.isPaused;
  }

  /** The row at this place among those that match, if it has been loaded. */
  at(index: number): ShownRow | undefined {
    const id = this.order[index - this.from];
    return id === undefined ? undefined : this.known.get(id);
  }

  get(id: string): ShownRow | undefined {
    return this.known.get(id);
  }

  indexOf(id: string): number {
    const place = this.order.indexOf(id);
    return place < 0 ? -1 : this.from + place;
  }

  /** A `fresh` window is an answer to what the reader just asked for: it is shown even if held or paused. */
  takeWindow(window: Window, fresh: boolean, now: number): void {
    if (this.isPaused && !fresh) {
      for (const row of [...window.rows, ...window.pinned]) this.wait(row);
      this.waitingWindow = window;
      return;
    }
    for (const row of [...window.rows, ...window.pinned]) {
      this.put(row, now);
      this.waiting.delete(idOf(row.key));
    }
    if (fresh) {
      this.waitingWindow = null;
      this.waitingSummary = null;
    }
    this.sums(window);
    if (this.held && !fresh && this.loaded) this.heldWindow = window;
    else this.arrange(window);
    this.loaded = true;
  }

  /** Says how many rows were news. */
  takeFrame(frame: Pick<Frame, 'rows'>, now: number): number {
    if (this.isPaused) {
      for (const row of frame.rows) this.wait(row);
      return 0;
    }
    let news = 0;
    for (const row of frame.rows) if (this.put(row, now)) news += 1;
    return news;
  }

  takeSummary(summary: Summary): void {
    if (this.isPaused) this.waitingSummary = summary;
    else this.sums(summary);
  }

  /** While held, values change in place and the order stays. */
  hold(held: boolean): void {
    this.held = held;
    if (held || !this.heldWindow) return;
    this.arrange(this.heldWindow);
  }

  pause(): void {
    this.isPaused = true;
  }

  /** Everything that waited, at once. */
  resume(now: number): void {
    this.isPaused = false;
    const rows = [...this.waiting.values()];
    const { waitingWindow, waitingSummary } = this;
    this.waiting = new Map();
    this.waitingWindow = null;
    this.waitingSummary = null;
    if (waitingWindow) this.takeWindow(waitingWindow, false, now);
    this.takeFrame({ rows }, now);
    if (waitingSummary) this.takeSummary(waitingSummary);
  }

  /** Another log: its versions say nothing about those that are known. What is shown stays. */
  forgetVersions(): void {
    for (const row of this.known.values()) row.v = [-1, -1];
    this.waiting.clear();
  }

  private wait(row: Row): void {
    const id = idOf(row.key);
    const newest = this.waiting.get(id)?.v ?? this.known.get(id)?.v;
    if (newest && isNewer(row.v, newest)) this.waiting.set(id, row);
  }

  private sums(of: Pick<Window, 'size' | 'matching' | 'groups'>): void {
    this.size = of.size;
    this.matching = of.matching;
    this.groups = of.groups;
  }

  private arrange(window: Window): void {
    this.heldWindow = null;
    this.from = window.from;
    this.order = window.rows.map((row) => idOf(row.key));
    this.pinned = window.pinned.map((row) => idOf(row.key));
    this.forget();
  }

  private put(row: Row, now: number): boolean {
    const id = idOf(row.key);
    const old = this.known.get(id);
    if (!old) {
      const shown = { id, key: row.key, v: row.v, deleted: row.deleted ?? false, cells: row.c ?? [], changedAt: null };
      this.known.set(id, shown);
      return true;
    }
    // The last in the map is the last seen.
    this.known.delete(id);
    this.known.set(id, old);
    if (!isNewer(row.v, old.v)) return false;
    old.v = row.v;
    old.deleted = row.deleted ?? false;
    // What is gone stays readable until the order is made anew.
    if (!old.deleted) mark(old, row.c ?? [], now);
    return true;
  }

  private forget(): void {
    if (this.known.size <= REMEMBERED_MAX) return;
    const seen = new Set([...this.order, ...this.pinned]);
    for (const id of this.known.keys()) {
      if (this.known.size <= REMEMBERED_MAX) return;
      if (!seen.has(id)) this.known.delete(id);
    }
  }
}

function mark(row: ShownRow, cells: Cell[], now: number): void {
  const before = row.cells;
  row.cells = cells;
  const changedAt = (row.changedAt ??= new Array<number>(cells.length).fill(0));
  cells.forEach((cell, index) => {
    if (cell === before[index]) return;
    // Every change has another parity than the one before: the mark begins anew by it.
    const at = Math.floor(now);
    changedAt[index] = at + ((at ^ (changedAt[index] ?? 0)) & 1 ? 0 : 1);
  });
}
