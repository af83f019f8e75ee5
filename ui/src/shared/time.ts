/** Times as people read them. Nothing here reads a clock. */
import type { Task, Timestamp } from '../engine/types';

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** Returns a locale that Intl takes: under LANG=C the browser names one that it throws on. */
export function usableLocale(wanted: string): string {
  try {
    return new Intl.Locale(wanted).toString();
  } catch {
    return 'en';
  }
}

const locale = usableLocale(navigator.language);
const full = new Intl.DateTimeFormat(locale, { dateStyle: 'medium', timeStyle: 'medium' });
const timeOnly = new Intl.DateTimeFormat(locale, { hour: '2-digit', minute: '2-digit' });
const clockTime = new Intl.DateTimeFormat(locale, { timeStyle: 'medium' });
const withoutYear = new Intl.DateTimeFormat(locale, {
  month: 'short',
  day: 'numeric',
  hour: 'numeric',
  minute: '2-digit',
  second: '2-digit',
});
const toTheMinute = new Intl.DateTimeFormat(locale, { dateStyle: 'medium', timeStyle: 'short' });
const dayOnly = new Intl.DateTimeFormat(locale, { month: 'short', day: 'numeric' });
const yearToo = new Intl.DateTimeFormat(locale, { dateStyle: 'medium' });

export function dateTime(at: Timestamp): string {
  return full.format(at);
}

/** Returns day and time without the seconds, for what is days away. */
export function minuteTime(at: Timestamp): string {
  return toTheMinute.format(at);
}

/** Returns the last moment of a day such as `2030-12-31`; nothing for what is no day. */
export function endOfDay(text: string): Timestamp | null {
  const [, year, month, day] = /^(\d{4})-(\d{2})-(\d{2})$/.exec(text.trim()) ?? [];
  if (year === undefined || month === undefined || day === undefined) return null;
  const last = new Date(Number(year), Number(month) - 1, Number(day), 23, 59, 59, 999);
  // There is no 31st of June.
  return last.getMonth() === Number(month) - 1 ? last.getTime() : null;
}

export function timeOfDay(at: Timestamp): string {
  return clockTime.format(at);
}

/** Returns day and time; the year too where it is another one. */
export function shortDateTime(at: Timestamp, now: Timestamp): string {
  const sameYear = new Date(at).getFullYear() === new Date(now).getFullYear();
  return (sameYear ? withoutYear : full).format(at);
}

/** Returns the time for today, the day for this year, the date for before. */
export function shortDate(at: Timestamp, now: Timestamp): string {
  const [then, today] = [new Date(at), new Date(now)];
  if (then.toDateString() === today.toDateString()) return timeOnly.format(at);
  return then.getFullYear() === today.getFullYear() ? dayOnly.format(at) : yearToo.format(at);
}

/** Returns a length of time in its two largest units, such as `1h 02m`. */
export function duration(milliseconds: number): string {
  const span = Math.max(0, milliseconds);
  if (span >= DAY) return `${whole(span, DAY)}d ${whole(span % DAY, HOUR)}h`;
  if (span >= HOUR) return `${whole(span, HOUR)}h ${padded(whole(span % HOUR, MINUTE))}m`;
  if (span >= MINUTE) return `${whole(span, MINUTE)}m ${padded(whole(span % MINUTE, SECOND))}s`;
  return `${whole(span, SECOND)}s`;
}

/** Returns the length of time that is left, rounded up: `0s` only when it is over. */
export function remaining(milliseconds: number): string {
  return duration(Math.ceil(milliseconds / SECOND) * SECOND);
}

/** Returns how long the task ran, or has been running at `now`; nothing before its start. */
export function elapsed(
  task: Pick<Task, 'started_at' | 'ended_at'>,
  now: () => Timestamp,
): number | null {
  if (task.started_at === null) return null;
  return Math.max(0, (task.ended_at ?? now()) - task.started_at);
}

const UNITS: Record<string, number> = { d: DAY, h: HOUR, m: MINUTE, s: SECOND };

/** Returns the milliseconds of `10m`, `1h30m` or `90` (seconds); nothing for what is no time. */
export function parseDuration(text: string): number | null {
  const compact = text.trim().toLowerCase().replaceAll(/\s+/g, '');
  if (/^\d+$/.test(compact)) return positive(Number(compact) * SECOND);
  if (!/^(\d+(\.\d+)?[dhms])+$/.test(compact)) return null;
  let total = 0;
  for (const [, amount, unit] of compact.matchAll(/(\d+(?:\.\d+)?)([dhms])/g)) {
    total += Number(amount) * (UNITS[unit ?? ''] ?? 0);
  }
  return positive(Math.round(total));
}

function positive(milliseconds: number): number | null {
  return milliseconds > 0 && Number.isSafeInteger(milliseconds) ? milliseconds : null;
}

function whole(span: number, unit: number): number {
  return Math.floor(span / unit);
}

function padded(count: number): string {
  return String(count).padStart(2, '0');
}
