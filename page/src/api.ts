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
  /** From the source to what is shown, over the last 10 s. */
  latency: Latency | null;
}

/** Exact sums of the rows that match, by the column `currency` if there is one; largest first. */
export interface Group {
  name: string | null;
  rows: number;
  /** In the order of `Aggregation.sums`. */
  sums: (string | null)[];
}

/** The rows in sight, sorted and filtered by the server, and what they are a part of. */
export interface Window {
  aggregation: string;
  day: string;
  live: boolean;
  position: string;
  taken_at: number;
  /** Rows of the day. */
  size: number;
  /** Rows that match the search and the filters. */
  matching: number;
  from: number;
  rows: Row[];
  pinned: Row[];
  groups: Group[];
}

export interface Summary {
  day: string;
  size: number;
  matching: number;
  groups: Group[];
  sent_at: number;
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
  late: number;
  lag_seconds: number | null;
  lag_trend: 'rising' | 'falling' | 'steady';
  pressure: 'ok' | 'busy' | 'behind';
}

export interface Pipeline {
  taken_at: number;
  hops: Hop[];
  clients: number;
  clients_cut: number;
  /** End to end. */
  latency: Latency | null;
}

export interface Figure {
  name: string;
  labels: Record<string, string>;
  value: number;
  help: string;
}

export interface HopDetail {
  hop: string;
  figures: Figure[];
}

/** A time in milliseconds since 1970, then a sum for each column. */
export type CurvePoint = [number, ...(string | null)[]];

/** The day's total by the minute. */
export interface Curve {
  day: string;
  /** Microseconds since 1970, as every time whose name ends like this; a day may have 23 or 25 hours. */
  starts_at: number;
  ends_at: number;
  columns: string[];
  groups: { name: string | null; points: CurvePoint[] }[];
}

export interface Mover {
  key: (string | null)[];
  now: string | null;
  before: string | null;
  change: string;
}

export interface Movers {
  minutes: number;
  column: string;
  /** When the history begins, milliseconds since 1970. */
  since: number | null;
  rows: Mover[];
}

export type Point = [number, string];

export interface Sparks {
  column: string;
  since: number | null;
  sparks: { key: (string | null)[]; points: Point[] }[];
}

export interface KeyDetail {
  key: (string | null)[];
  row: Row | null;
  previous_day: string;
  previous: Row | null;
  column: string;
  since: number | null;
  points: Point[];
  others: { aggregation: string; rows: Row[] }[];
}

export interface Transaction {
  id: string;
  source: string;
  received_at: number;
  partition: number;
  offset: number;
  fields: Record<string, string>;
}

export interface Transactions {
  transactions: Transaction[];
  /** Records read to find them. */
  looked_at: number;
  back_to: number | null;
  /** Where to look further back; `null`: all was seen. */
  before: string | null;
}

/** A transaction's way, as `daybook trace --json` tells it. */
export interface Trace {
  transaction: Record<string, unknown>;
  log: { topic: string; partition: number; offset: number; appended_at: string };
  aggregations: {
    aggregation: string;
    became: string;
    rows: {
      key: string;
      before: Record<string, unknown> | null;
      after: Record<string, unknown>;
      published: { partition: number; offset: number; at: string; version: unknown } | null;
      store_version: string | null;
    }[];
  }[];
}

export interface QuarantineRecord {
  id: string;
  from: 'gateway' | 'aggregation';
  source: string;
  reason: string;
  detail: string;
  at: number;
  bytes: number;
  excerpt: string;
  replayed: boolean;
}

export interface Quarantine {
  records: QuarantineRecord[];
  sources: string[];
  reasons: string[];
  before: string | null;
}

export interface AuditEntry {
  at: number;
  who: string;
  what: string;
}

export interface QuarantineDetail {
  record: QuarantineRecord;
  input: string;
  audit: AuditEntry[];
}

/** What came of replaying or discarding. */
export interface Outcome {
  ok: boolean;
  detail: string;
}

export interface Me {
  name: string | null;
  role: 'viewer' | 'operator' | null;
  /** Whether he sees a part of the rows only, and nothing of the pipeline. */
  limited: boolean;
  /** Whether this server wants to know who asks. */
  required: boolean;
  /** Whether it takes a name and a password. */
  local: boolean;
  /** Address where signing in elsewhere begins. */
  oidc: string | null;
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

/** What a window or an export is asked for. */
export interface Query {
  day: string;
  q?: string;
  /** Column, with `-` in front for descending. */
  sort?: string;
  /** `column:value`, exact. */
  where?: readonly string[];
  from?: number;
  count?: number;
  /** Keys as compact JSON. */
  pin?: readonly string[];
}

type Parameter = string | number | readonly string[] | null | undefined;

/** An address with its parameters; those without a value are left out. */
function address(path: string, parameters: Record<string, Parameter> = {}): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    if (value === null || value === undefined || value === '') continue;
    for (const one of typeof value === 'object' ? value : [String(value)]) query.append(name, one);
  }
  const text = query.toString();
  return text ? `${path}?${text}` : path;
}

const of = (aggregation: string, what: string) => `/api/v1/${encodeURIComponent(aggregation)}/${what}`;
const parameters = (query: Query): Record<string, Parameter> => ({ ...query });
/** All that matches, in its order, not only what is in sight. */
const whole = ({ day, q, sort, where }: Query): Record<string, Parameter> => ({ day, q, sort, where });

/** Frames a second that the page asks for: a change waits for the next picture, not for the next frame. The server gives fewer when many look. */
const STREAM_HZ = 50;

/** Addresses of the API. */
export const url = {
  aggregations: '/api/v1/aggregations',
  pipeline: '/api/v1/pipeline',
  ready: '/readyz',
  me: '/api/v1/me',
  login: '/api/v1/login',
  logout: '/api/v1/logout',
  /** Where signing in elsewhere begins, and comes back to where one is. */
  elsewhere: (begin: string, page: string) => address(begin, { page }),
  window: (aggregation: string, query: Query) => address(of(aggregation, 'window'), parameters(query)),
  stream: (aggregation: string, query: Query) => address(of(aggregation, 'stream'), { ...parameters(query), hz: STREAM_HZ }),
  csv: (aggregation: string, query: Query) => address(of(aggregation, 'export.csv'), whole(query)),
  ndjson: (aggregation: string, query: Query) => address(of(aggregation, 'export.ndjson'), whole(query)),
  counts: (aggregation: string) => of(aggregation, 'counts'),
  curve: (aggregation: string, day: string) => address(of(aggregation, 'curve'), { day }),
  movers: (aggregation: string, day: string, minutes: number, count: number) =>
    address(of(aggregation, 'movers'), { day, minutes, count }),
  sparks: (aggregation: string, day: string, key: readonly string[]) => address(of(aggregation, 'sparks'), { day, key }),
  key: (aggregation: string, day: string, key: string) => address(of(aggregation, 'key'), { day, key }),
  transactions: (aggregation: string, day: string, key: string, before?: string | null) =>
    address(of(aggregation, 'transactions'), { day, key, before }),
  trace: (id: string, source: string) => address('/api/v1/trace', { id, source }),
  hop: (hop: string) => `/api/v1/pipeline/${encodeURIComponent(hop)}`,
  quarantine: (filter: { q?: string; source?: string; reason?: string; before?: string | null }) =>
    address('/api/v1/quarantine', filter),
  quarantined: (id: string) => `/api/v1/quarantine/${encodeURIComponent(id)}`,
};
