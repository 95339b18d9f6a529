/** What is looked at, as the address says it: every view can be sent to somebody else. */

export type Page = 'totals' | 'key' | 'pipeline' | 'quarantine';
export type Theme = 'auto' | 'light' | 'dark';
export const MOVER_MINUTES = [1, 5, 15] as const;
/** Pinned rows: as many as a server takes. */
export const PINS_MAX = 50;

export interface View {
  page: Page;
  aggregation: string;
  /** Empty: the day it is. */
  day: string;
  search: string;
  where: string[];
  /** Empty: the largest total first. */
  sort: string;
  hidden: string[];
  pins: string[];
  key: string;
  /** Group whose curve is drawn; `null`: the largest. */
  group: string | null;
  measure: 'total' | 'rate';
  chartTable: boolean;
  movers: number;
  hop: string;
  record: string;
  source: string;
  reason: string;
  kiosk: boolean;
  theme: Theme;
}

const PAGES: readonly string[] = ['totals', 'key', 'pipeline', 'quarantine'];

export function readView(address: string): View {
  const query = new URLSearchParams(address);
  const text = (name: string) => query.get(name) ?? '';
  const page = text('view');
  const day = text('day');
  const theme = text('theme');
  const movers = Number(text('movers'));
  return {
    page: PAGES.includes(page) ? (page as Page) : 'totals',
    aggregation: text('a'),
    day: /^\d{4}-\d\d-\d\d$/.test(day) ? day : '',
    search: text('q'),
    where: query.getAll('where').filter((one) => one.includes(':')),
    sort: text('sort'),
    hidden: text('hide').split(',').filter(Boolean),
    pins: [...new Set(query.getAll('pin'))].filter(isKey).slice(0, PINS_MAX),
    key: isKey(text('key')) ? text('key') : '',
    group: query.get('group'),
    measure: text('measure') === 'rate' ? 'rate' : 'total',
    chartTable: text('chart') === 'table',
    movers: (MOVER_MINUTES as readonly number[]).includes(movers) ? movers : 1,
    hop: text('hop'),
    record: text('record'),
    source: text('source'),
    reason: text('reason'),
    kiosk: text('kiosk') === '1',
    theme: theme === 'light' || theme === 'dark' ? theme : 'auto',
  };
}

/** The shortest address that reads as this view. */
export function writeView(view: View): string {
  const query = new URLSearchParams();
  const set = (name: string, value: string) => {
    if (value !== '') query.set(name, value);
  };
  if (view.page !== 'totals') set('view', view.page);
  set('a', view.aggregation);
  set('day', view.day);
  set('q', view.search);
  for (const one of view.where) query.append('where', one);
  set('sort', view.sort);
  set('hide', view.hidden.join(','));
  for (const one of view.pins) query.append('pin', one);
  if (view.page === 'key') set('key', view.key);
  if (view.group !== null) query.set('group', view.group);
  if (view.measure === 'rate') query.set('measure', 'rate');
  if (view.chartTable) query.set('chart', 'table');
  if (view.movers !== 1) query.set('movers', String(view.movers));
  if (view.page === 'pipeline') set('hop', view.hop);
  if (view.page === 'quarantine') {
    set('record', view.record);
    set('source', view.source);
    set('reason', view.reason);
  }
  if (view.kiosk) query.set('kiosk', '1');
  if (view.theme !== 'auto') query.set('theme', view.theme);
  return query.toString();
}

/** Pinned keys name a day: those of another day are the same accounts on it. */
export function onDay(pin: string, day: string): string {
  const [, ...rest] = JSON.parse(pin) as unknown[];
  return JSON.stringify([day, ...rest]);
}

function isKey(text: string): boolean {
  try {
    const key: unknown = JSON.parse(text);
    return Array.isArray(key) && key.length > 0 && key.every((part) => part === null || typeof part === 'string');
  } catch {
    return false;
  }
}
