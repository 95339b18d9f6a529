/** What the mock says about everything but rows: the pipeline, transactions and what was set aside. */
import { decimal, randomFrom } from './world.mjs';

const HOPS = [
  { name: 'gateway', share: 1, p50: 0.9, p99: 4.1, quarantined: 31 },
  { name: 'queue', share: 1, p50: 1.8, p99: 7.4 },
  { name: 'connector', share: 1, p50: 6.2, p99: 19.5, duplicates: 204 },
  { name: 'aggregator', share: 0.31, p50: 24.4, p99: 71.8, duplicates: 1_873, late: 46, quarantined: 12 },
  { name: 'sink', share: 0.3, p50: 63.9, p99: 184 },
  { name: 'web', share: 0.31, p50: 38.6, p99: 97.3 },
];

export function pipeline(world, trouble) {
  const wave = Math.sin(world.now / 9_000);
  const hops = HOPS.map(({ name, share, p50, p99, quarantined = 0, duplicates = 0, late = 0 }, index) => {
    const behind = trouble && name === 'sink';
    const busy = trouble && name === 'aggregator';
    const lag = behind ? 18_240 : busy ? 912 : Math.max(0, Math.round(14 * wave + 6 * index - 20));
    const out = Math.round((1_284_553 + world.changes) * share);
    return {
      name, rate: 238 * share * (1 + 0.06 * Math.sin(world.now / 7_000 + index)), records_in: out + 37, records_out: out, lag,
      latency: { p50_ms: behind ? 2_940 : p50, p99_ms: behind ? 14_200 : p99, max_ms: 3 * p99 },
      quarantined, duplicates, late,
      lag_seconds: index === 0 ? null : behind ? 84.2 : busy ? 3.1 : lag > 0 ? lag / 238 : 0,
      lag_trend: behind ? 'rising' : busy ? 'falling' : 'steady', pressure: behind ? 'behind' : busy ? 'busy' : 'ok',
    };
  });
  return { taken_at: world.now * 1000, hops, clients: 3, clients_cut: 0, latency: latency(world) };
}

export const latency = (world) => ({ p50_ms: 38.6 + 3 * Math.sin(world.now / 5_000), p99_ms: 97.3 + 9 * Math.sin(world.now / 8_000), max_ms: 204 });

export function hop(world, name) {
  if (!HOPS.some((one) => one.name === name)) return null;
  const figures = [];
  const add = (name, value, help, labels = {}) => figures.push({ name, labels, value, help });
  if (name === 'queue') {
    add('queue_depth', 14, 'Messages that wait', { queue: 'DAYBOOK.TRANSACTIONS' });
    add('queue_depth', 0, 'Messages that wait', { queue: 'DAYBOOK.DEAD' });
    add('queue_oldest_seconds', 0.18, 'Age of the oldest message', { queue: 'DAYBOOK.TRANSACTIONS' });
    add('queue_consumers', 2, 'Connections that read', { queue: 'DAYBOOK.TRANSACTIONS' });
  } else {
    for (let partition = 0; partition < 3; partition += 1) {
      add('partition_end_offset', 428_184 + partition * 3_117 + Math.floor(world.changes / 3), 'Next offset to be written', { topic: name === 'sink' ? 'results' : 'transactions', partition: String(partition) });
      add('partition_lag', (partition * 5 + world.changes) % 17, 'Records that wait', { topic: name === 'sink' ? 'results' : 'transactions', partition: String(partition) });
    }
    if (name === 'sink') add('store_write_seconds', 0.0042, 'Time of the last write to Cassandra', { host: '10.4.0.11' });
    add('records_total', 1_284_553 + world.changes, 'Records out since the process began');
  }
  return { hop: name, figures };
}

/** When the transactions that were told of were received. */
const received = new Map();
const SOURCES = ['json', 'mt940', 'pain.001'];

export function transactions(world, row, before) {
  const random = randomFrom(row.cents + row.count * 31 + (before ? 977 : 0));
  const end = before ? Number(before) : world.now;
  const list = [];
  let at = end;
  for (let index = 0; index < 25; index += 1) {
    at -= Math.round(4_000 + 50_000 * random());
    const cents = Math.round(Math.exp(4 + 5 * random()) * (random() < 0.12 ? -100 : 100));
    const partition = Math.floor(random() * 3);
    const source = SOURCES[Math.floor(random() ** 2 * 3)];
    list.push({
      id: `${source}-${(at % 1_000_000_007).toString(36)}-${index}`, source, received_at: at * 1000, partition,
      offset: 428_000 - index * 7 - (before ? 200 : 0),
      fields: { account: row.name, currency: row.currency, amount: decimal(cents), booked_at: new Date(at - 800).toISOString() },
    });
  }
  for (const one of list) received.set(one.id, one.received_at / 1000);
  return { transactions: list, looked_at: 5_000, back_to: at, before: before ? null : String(at) };
}

export function trace(world, id, source) {
  const at = (ms) => new Date((received.get(id) ?? world.now) + ms).toISOString();
  const row = world.tables.get('daily_totals')[7];
  const total = (cents) => ({ day: world.day, account: row.name, currency: row.currency, total: decimal(cents), transactions: row.count });
  return [{
    transaction: { id, source, account: row.name, currency: row.currency, amount: '1250.00', booked_at: at(-400), received_at: at(0) },
    log: { topic: 'transactions', partition: 1, offset: 427_912, appended_at: at(6) },
    aggregations: [
      {
        aggregation: 'daily_totals', became: 'counted',
        rows: [{
          key: row.id, before: total(row.cents - 125_000), after: total(row.cents),
          published: { partition: 1, offset: 91_201, at: at(31), version: [1, 318] }, store_version: '[1,318]',
        }],
      },
      { aggregation: 'daily_channels', became: 'counted', rows: [] },
    ],
  }];
}

const REASONS = [
  ['bad_amount', '"1.250,00" is not a decimal: write 1250.00', '{"account":"acct-1041","amount":"1.250,00","currency":"EUR","booked_at":"2026-11-23T13:20:11Z"}'],
  ['unknown_currency', '"EURO" is no currency of ISO 4217', '{"account":"acct-1187","amount":"18.40","currency":"EURO","booked_at":"2026-11-23T13:11:52Z"}'],
  ['missing_field', 'there is no field "booked_at"', '{"account":"acct-1290","amount":"99.00","currency":"USD"}'],
  ['bad_time', '"23/11/2026" is not a time', ':61:2311230C1520,00NTRFNONREF//8412\r\n:86:acct-1033 invoice 2210'],
];

export function quarantineRecords(world, hostile) {
  const records = Array.from({ length: 43 }, (_, index) => {
    const [reason, detail, input] = REASONS[(index * 7 + (index >> 2)) % REASONS.length];
    const from = index % 4 === 3 ? 'aggregation' : 'gateway';
    return {
      record: {
        id: `${from}-${index % 3}-${9_100 - index}`, from, source: input.startsWith(':') ? 'mt940' : 'json', reason, detail,
        at: (world.now - 40_000 - index * 431_000) * 1000, bytes: input.length, excerpt: input.slice(0, 200), replayed: index % 9 === 5,
      },
      input, audit: index % 9 === 5 ? [{ at: (world.now - 20_000) * 1000, who: 'operator-2', what: 'replayed: accepted' }] : [],
    };
  });
  if (hostile) {
    const input = `<script>alert(9)</script>\u202E${'x'.repeat(4_000)}`;
    records.unshift({ record: { ...records[0].record, id: 'gateway-0-1', detail: input, excerpt: input.slice(0, 200), bytes: 4_026 }, input, audit: [] });
  }
  return records;
}
