/**
 * A made-up day: accounts whose totals move, the same for the same seed and the same number of steps.
 * Money is whole hundredths here; the clock goes on only by `step`.
 */
import { hostileNames } from './hostile.mjs';

export const ZONE = 'Europe/Zagreb';
const CURRENCIES = ['EUR', 'USD', 'GBP', 'CHF', 'JPY'];
const SHARES = [0.5, 0.74, 0.87, 0.96, 1];
const CHANNELS = ['cards', 'instant', 'direct debit', 'cash machine', 'standing order'];
const MINUTE = 60_000;
const POINTS_MAX = 64;
/** A point has its minute's beginning, and the number at its end. */
const minuteOf = (ms) => ms - (ms % MINUTE);
export const HISTORY_MINUTES = 48;

/** Numbers from 0 to 1, always the same ones for a seed. */
export function randomFrom(seed) {
  let state = seed >>> 0 || 1;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

export const decimal = (cents) => {
  const digits = String(Math.abs(cents)).padStart(3, '0');
  return `${cents < 0 ? '-' : ''}${digits.slice(0, -2)}.${digits.slice(-2)}`;
};

/** Yen have no hundredths. */
const whole = (currency, cents) => (currency === 'JPY' ? Math.round(cents / 100) * 100 : cents);

export const dayBefore = (day, days = 1) =>
  new Date(Date.parse(`${day}T12:00:00Z`) - days * 86_400_000).toISOString().slice(0, 10);

/** Winter time: the mock's days are all in it. */
export const startOf = (day) => Date.parse(`${day}T00:00:00+01:00`);

/** How much of a day's business is done at a share of the day: little at night, most around noon. */
const shape = (share) => 1 / (1 + Math.exp(-11 * (share - 0.52)));

export const AGGREGATIONS = [
  {
    name: 'daily_totals', group: 'account',
    columns: [['account', 'text'], ['currency', 'text'], ['total', 'decimal'], ['transactions', 'int']],
  },
  {
    name: 'daily_channels', group: 'channel',
    columns: [['channel', 'text'], ['currency', 'text'], ['total', 'decimal'], ['transactions', 'int']],
  },
];

export class World {
  constructor({ seed = 7, keys = 1_200, hostile = false, now = Date.parse('2026-11-23T14:32:10+01:00'), perStep = 24 } = {}) {
    this.random = randomFrom(seed);
    this.perStep = perStep;
    this.now = now;
    this.day = new Date(now + 3_600_000).toISOString().slice(0, 10);
    this.days = [dayBefore(this.day, 7), dayBefore(this.day, 2), dayBefore(this.day), this.day];
    this.tables = new Map();
    /** Rises with every change: the position. */
    this.changes = 0;
    this.begin(keys, hostile);
  }

  begin(keys, hostile) {
    const rows = [];
    for (let index = 0; index < keys; index += 1) {
      const pick = this.random();
      const currency = CURRENCIES[SHARES.findIndex((share) => pick < share)];
      const size = Math.exp(8 + 3.2 * this.random() + 1.5 * this.random());
      const count = 1 + Math.floor(size / 700);
      rows.push(this.row(`acct-${1000 + index}`, currency, Math.round(size * 100), count));
    }
    if (hostile) hostileNames().forEach((name, index) => rows.push(this.row(name, 'EUR', 90_000_000 - index * 1_000_000, 12)));
    this.tables.set('daily_totals', rows);
    const channels = [];
    for (const channel of CHANNELS) {
      for (const currency of CURRENCIES) {
        const size = Math.exp(12 + 2 * this.random());
        channels.push(this.row(channel, currency, Math.round(size * 100), Math.floor(size / 60)));
      }
    }
    this.tables.set('daily_channels', channels);
    this.curves = new Map(AGGREGATIONS.map(({ name }) => [name, this.firstCurve(name)]));
  }

  row(name, currency, amount, count) {
    const cents = whole(currency, amount);
    const key = [this.day, name, currency];
    return { id: JSON.stringify(key), key, name, currency, cents, count, generation: 1, sequence: count, at: this.changes, points: null };
  }

  /** Minutes until now, on the way to what the groups sum up to. */
  firstCurve(name) {
    const starts = startOf(this.day);
    const curves = new Map();
    for (const [currency, { cents, count }] of this.groups(this.tables.get(name))) {
      const points = [];
      const done = shape((this.now - starts) / 86_400_000);
      for (let at = starts; at <= this.now; at += 2 * MINUTE) {
        const part = (shape((at - starts) / 86_400_000) / done) * (1 - 0.02 * (1 + Math.sin(at / 3_100_000)) * ((this.now - at) / (this.now - starts)));
        points.push([at, Math.round(cents * Math.min(1, part)), Math.round(count * Math.min(1, part))]);
      }
      curves.set(currency, points);
    }
    return curves;
  }

  groups(rows) {
    const groups = new Map();
    for (const row of rows) {
      const group = groups.get(row.currency) ?? { rows: 0, cents: 0, count: 0 };
      group.rows += 1;
      group.cents += row.cents;
      group.count += row.count;
      groups.set(row.currency, group);
    }
    return groups;
  }

  /** Points of a row's history, made up backwards when first asked for. */
  history(row) {
    if (row.points) return row.points;
    const random = randomFrom(row.id.length * 7919 + row.cents);
    const points = [];
    let cents = row.cents;
    for (let index = 0; index < 48; index += 1) {
      points.unshift([minuteOf(this.now) - index * MINUTE, cents]);
      if (random() < 0.55) cents -= Math.round(cents * 0.004 * (random() - 0.25));
    }
    row.points = points;
    return points;
  }

  change(row, cents) {
    this.changes += 1;
    row.cents += whole(row.currency, cents);
    row.count += 1;
    row.sequence += 1;
    row.at = this.changes;
    if (!row.points) return;
    if (row.points.at(-1)[0] === minuteOf(this.now)) row.points.at(-1)[1] = row.cents;
    else row.points.push([minuteOf(this.now), row.cents]);
    if (row.points.length > POINTS_MAX) row.points.shift();
  }

  /** The clock goes on by so many milliseconds, and some totals move. */
  step(ms, changes = this.perStep) {
    this.now += ms;
    for (const [name, rows] of this.tables) {
      const many = name === 'daily_totals' ? changes : Math.ceil(changes / 8);
      for (let index = 0; index < many && rows.length > 0; index += 1) {
        // Some accounts are busier than others.
        const row = rows[Math.floor(rows.length * this.random() ** 3)];
        const cents = Math.round(Math.exp(3 + 6 * this.random()) * (this.random() < 0.12 ? -100 : 100));
        this.change(row, cents);
      }
    }
    this.curveOn();
  }

  /** A point of every curve, once a minute. */
  curveOn() {
    if (this.now - (this.curveAt ?? 0) < MINUTE) return;
    this.curveAt = this.now;
    for (const [name, rows] of this.tables) {
      const curves = this.curves.get(name);
      for (const [currency, { cents, count }] of this.groups(rows)) {
        curves.set(currency, [...(curves.get(currency) ?? []), [this.now, cents, count]]);
      }
    }
  }

  set(account, currency, cents) {
    const rows = this.tables.get('daily_totals');
    let row = rows.find((one) => one.name === account && one.currency === currency);
    if (!row) rows.push((row = this.row(account, currency, 0, 0)));
    this.change(row, cents - row.cents);
  }

  /** Midnight: the new day begins without rows; those of the old one stay where they are read as stored. */
  roll() {
    const previous = this.day;
    this.stored = new Map([...this.tables].map(([name, rows]) => [name, rows]));
    this.day = dayBefore(this.day, -1);
    this.now = startOf(this.day) + 2_000;
    this.days.push(this.day);
    this.tables = new Map(AGGREGATIONS.map(({ name }) => [name, []]));
    this.curves = new Map(AGGREGATIONS.map(({ name }) => [name, new Map()]));
    return { day: this.day, previous };
  }

  empty() {
    this.tables = new Map(AGGREGATIONS.map(({ name }) => [name, []]));
    this.curves = new Map(AGGREGATIONS.map(({ name }) => [name, new Map()]));
    this.days = [this.day];
  }

  /** Rows of a day; earlier ones are today's at other sizes. */
  rows(name, day) {
    if (day === this.day) return this.tables.get(name);
    if (this.stored && day === dayBefore(this.day)) return this.stored.get(name);
    if (!this.days.includes(day)) return [];
    const factor = day === dayBefore(this.day) ? 1.31 : 1.12;
    return this.tables.get(name).slice(0, 2_000).map((row) => {
      const key = [day, row.name, row.currency];
      return { ...row, key, id: JSON.stringify(key), cents: whole(row.currency, Math.round(row.cents * factor)), points: [] };
    });
  }

  curve(name, day) {
    const starts = startOf(day);
    const text = (points) => points.map(([at, cents, count]) => [at, decimal(cents), String(count)]);
    const answer = (groups) => ({ day, starts_at: starts * 1000, ends_at: (starts + 86_400_000) * 1000, columns: ['total', 'transactions'], groups });
    if (day === this.day) return answer([...this.curves.get(name)].map(([currency, points]) => ({ name: currency, points: text(points) })));
    if (!this.days.includes(day)) return answer([]);
    const factor = day === dayBefore(this.day) ? 1.31 : 1.12;
    const done = shape((this.now - startOf(this.day)) / 86_400_000) || 1;
    const groups = [...this.groups(this.tables.get(name))].map(([currency, { cents, count }]) => {
      const points = [];
      for (let minute = 0; minute < 1440; minute += 2) {
        const part = (factor * shape(minute / 1440) * (0.99 + 0.02 * Math.sin(minute / 55 + factor * 9))) / Math.max(done, 0.3);
        points.push([starts + minute * MINUTE, Math.round(cents * part), Math.round(count * part)]);
      }
      return { name: currency, points: text(points) };
    });
    return answer(groups);
  }

  movers(name, minutes, count) {
    const since = this.now - HISTORY_MINUTES * MINUTE;
    const moved = this.tables.get(name).slice(0, 400).map((row) => {
      const before = this.history(row).findLast(([at]) => at <= this.now - minutes * MINUTE) ?? this.history(row)[0];
      return { row, before: before[1], change: row.cents - before[1] };
    });
    moved.sort((a, b) => Math.abs(b.change) - Math.abs(a.change));
    const rows = moved.filter(({ change }) => change !== 0).slice(0, count).map(({ row, before, change }) =>
      ({ key: row.key, now: decimal(row.cents), before: decimal(before), change: decimal(change) }));
    return { minutes, column: 'total', since, rows };
  }
}
