/**
 * What the server answers: the TypeScript side of `crates/web/src/api.rs`. `api.sample.json` has a
 * sample of each; a test on either side reads it, so that the two cannot drift.
 */

export type ColumnKind = 'text' | 'decimal' | 'int';
export type Cell = string | number | null;

export interface Column {
  name: string;
  kind: ColumnKind;
}

export interface Aggregation {
  name: string;
  columns: Column[];
  /** Names of the parts of a row's key, `business_day` first. */
  keys: string[];
  /** Columns that may be added over rows. */
  sums: string[];
  zone: string;
  today: string;
}

export interface Aggregations {
  aggregations: Aggregation[];
  demo: boolean;
  gateway_url: string;
  version: string;
}

export interface Row {
  key: (string | null)[];
  /** Generation and sequence: a row replaces another only if this is larger. */
  v: [number, number];
  deleted?: boolean;
  c?: Cell[];
}

export interface Snapshot {
  aggregation: string;
  day: string;
  live: boolean;
  position: string;
  taken_at: number;
  rows: Row[];
}

export interface Frame {
  prev: string | null;
  pos: string;
  day: string;
  sent_at: number;
  rows: Row[];
}

export interface Heartbeat {
  server_time: number;
  state: 'live' | 'catching_up' | 'stale';
  percent: number;
  stale_since: number | null;
  reason: string | null;
  today: string;
}

export interface Reset {
  reason: string;
}

export interface DayChange {
  day: string;
  previous: string;
}

export interface DayCounts {
  day: string;
  counted: number;
  reversing: number;
  duplicate: number;
  late_corrected: number;
  quarantined: number;
  total: number;
}

export interface CountsOfDays {
  days: DayCounts[];
}

export interface Latency {
  p50_ms: number;
  p99_ms: number;
  max_ms: number;
}

export interface Hop {
  name: string;
  rate: number;
  records_in: number;
  records_out: number;
  lag: number;
  latency: Latency | null;
  quarantined: number;
  duplicates: number;
}

export interface Pipeline {
  taken_at: number;
  hops: Hop[];
  clients: number;
  clients_cut: number;
}

export interface Ready {
  ready: boolean;
  message: string;
  percent: number;
}

export interface Problem {
  type: string;
  title: string;
  status: number;
  detail: string;
}

const base = (aggregation: string) => `/api/v1/${encodeURIComponent(aggregation)}`;

/** Addresses of the API. */
export const url = {
  aggregations: '/api/v1/aggregations',
  pipeline: '/api/v1/pipeline',
  ready: '/readyz',
  snapshot: (aggregation: string, day: string) => `${base(aggregation)}/snapshot?day=${day}`,
  stream: (aggregation: string, day: string, from: string) =>
    `${base(aggregation)}/stream?day=${day}&from=${encodeURIComponent(from)}`,
  csv: (aggregation: string, day: string) => `${base(aggregation)}/export.csv?day=${day}`,
  counts: (aggregation: string) => `${base(aggregation)}/counts`,
};
