/** Numbers and times as people read them. */
import { grouped, numberStyle, type NumberStyle } from './decimal';

export const style: NumberStyle = numberStyle();

const whole = new Intl.NumberFormat(undefined, { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat(undefined, { maximumSignificantDigits: 3 });
const oneDigit = new Intl.NumberFormat(undefined, { maximumFractionDigits: 1 });
const compact = new Intl.NumberFormat(undefined, { notation: 'compact', maximumFractionDigits: 1 });

export const count = (value: number): string => whole.format(value);

/** For an axis: not exact. */
export const roughly = (value: number): string => compact.format(value).replace('-', style.minus);

export const exact = (text: string): string => grouped(text, style);

const digitsOf = new Map<string, number | null>();

/** Digits that a currency is written with; `null` for what is no currency. */
export function currencyDigits(currency: string): number | null {
  const known = digitsOf.get(currency);
  if (known !== undefined) return known;
  let digits: number | null = null;
  try {
    digits = new Intl.NumberFormat(undefined, { style: 'currency', currency }).resolvedOptions().maximumFractionDigits ?? null;
  } catch {
    // Not three letters.
  }
  digitsOf.set(currency, digits);
  return digits;
}

/** With the currency's digits; more only where the amount has them. */
export function money(text: string, currency: string | null): string {
  const digits = currency === null ? null : currencyDigits(currency);
  if (digits === null || !/^-?\d+(\.\d+)?$/.test(text)) return exact(text);
  const [before = '', after = ''] = text.split('.');
  const needed = after.replace(/0+$/, '').padEnd(digits, '0');
  return exact(needed ? `${before}.${needed}` : before);
}

/** A plus in front of what is not negative. */
export const signed = (formatted: string): string => (formatted.startsWith(style.minus) ? formatted : `+${formatted}`);

export function rate(perSecond: number): string {
  return perSecond >= 100 ? whole.format(Math.round(perSecond)) : oneDigit.format(perSecond);
}

export function duration(ms: number): string {
  if (ms < 1000) return `${short.format(ms)} ms`;
  if (ms < 60_000) return `${short.format(ms / 1000)} s`;
  return `${short.format(ms / 60_000)} min`;
}

/** Whole seconds, minutes or hours. */
export function ago(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)} min`;
  return `${Math.floor(seconds / 3600)} h`;
}

/** `2026-11-23` as a person of this locale writes it, with the weekday. */
export function dayName(day: string, length: 'long' | 'short' = 'long'): string {
  const date = new Date(`${day}T12:00:00Z`);
  if (Number.isNaN(date.getTime())) return day;
  const form: Intl.DateTimeFormatOptions = { weekday: length, day: 'numeric', month: length, timeZone: 'UTC' };
  if (length === 'long') form.year = 'numeric';
  return new Intl.DateTimeFormat(undefined, form).format(date);
}

export function dayBefore(day: string, days: number): string {
  return new Date(Date.parse(`${day}T12:00:00Z`) - days * 86_400_000).toISOString().slice(0, 10);
}

const clocks = new Map<string, Intl.DateTimeFormat>();

function formatter(zone: string, form: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
  const name = zone + JSON.stringify(form);
  let found = clocks.get(name);
  if (!found) {
    try {
      found = new Intl.DateTimeFormat(undefined, { ...form, timeZone: zone || undefined });
    } catch {
      // A zone this browser does not know.
      found = new Intl.DateTimeFormat(undefined, { ...form, timeZone: 'UTC', timeZoneName: 'short' });
    }
    clocks.set(name, found);
  }
  return found;
}

/** Hours and minutes of the business day's zone. */
export const clockTime = (ms: number, zone: string): string => formatter(zone, { hour: '2-digit', minute: '2-digit' }).format(ms);

/** The hour alone, for an axis. */
export const hourOf = (ms: number, zone: string): string => formatter(zone, { hour: 'numeric' }).format(ms);

export const dateTime = (ms: number, zone: string): string =>
  formatter(zone, { month: 'short', day: 'numeric', hour: '2-digit', minute: '2-digit', second: '2-digit' }).format(ms);

/** `late_corrected` as words. */
export const words = (name: string): string => name.replaceAll('_', ' ');

export const plural = (many: number, one: string, more = `${one}s`): string => `${count(many)} ${many === 1 ? one : more}`;
