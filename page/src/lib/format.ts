/** Numbers and times as people read them. */
import { grouped, numberStyle, type NumberStyle } from './decimal';

export const style: NumberStyle = numberStyle();

const whole = new Intl.NumberFormat(undefined, { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat(undefined, { maximumSignificantDigits: 3 });
const oneDigit = new Intl.NumberFormat(undefined, { maximumFractionDigits: 1 });

export const count = (value: number): string => whole.format(value);

export const exact = (text: string): string => grouped(text, style);

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
export function dayName(day: string): string {
  const date = new Date(`${day}T12:00:00Z`);
  if (Number.isNaN(date.getTime())) return day;
  const form = { weekday: 'long', day: 'numeric', month: 'long', year: 'numeric', timeZone: 'UTC' } as const;
  return new Intl.DateTimeFormat(undefined, form).format(date);
}

/** `late_corrected` as words. */
export const words = (name: string): string => name.replaceAll('_', ' ');
