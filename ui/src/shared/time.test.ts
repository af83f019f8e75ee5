import { describe, expect, it } from 'vitest';
import { duration, elapsed, endOfDay, parseDuration, remaining, usableLocale } from './time';

describe('a length of time', () => {
  it.each([
    [-5, '0s'],
    [999, '0s'],
    [59_999, '59s'],
    [60_000, '1m 00s'],
    [3_599_000, '59m 59s'],
    [3_600_000, '1h 00m'],
    [86_399_000, '23h 59m'],
    [97_200_000, '1d 3h'],
  ])('of %i ms reads %s', (milliseconds, words) => {
    expect(duration(milliseconds)).toBe(words);
  });

  it('that is left is over only at zero', () => {
    expect(remaining(1)).toBe('1s');
    expect(remaining(60_000)).toBe('1m 00s');
    expect(remaining(0)).toBe('0s');
  });
});

describe('the elapsed time', () => {
  const never = (): number => {
    throw new Error('nobody needs to know what time it is');
  };

  it('stands still once the task ended, and reads no clock', () => {
    expect(elapsed({ started_at: 1_000, ended_at: 5_000 }, never)).toBe(4_000);
  });

  it('is none before the start, and reads no clock', () => {
    expect(elapsed({ started_at: null, ended_at: null }, never)).toBeNull();
  });

  it('runs with the clock, and never below zero', () => {
    expect(elapsed({ started_at: 1_000, ended_at: null }, () => 3_500)).toBe(2_500);
    expect(elapsed({ started_at: 1_000, ended_at: null }, () => 500)).toBe(0);
  });
});

describe('a typed time', () => {
  it.each([
    ['90', 90_000],
    ['10m', 600_000],
    ['1h30m', 5_400_000],
    [' 1.5H ', 5_400_000],
    ['2d 1s', 172_801_000],
    ['0', null],
    ['-5m', null],
    ['soon', null],
    ['10 minutes', null],
    ['9'.repeat(30), null],
  ])('%j is %s ms', (text, expected) => {
    expect(parseDuration(text)).toBe(expected);
  });
});

describe('the locale', () => {
  it('is one that Intl takes, whatever the system calls its own', () => {
    expect(usableLocale('C')).toBe('en');
    expect(usableLocale('')).toBe('en');
    expect(usableLocale('ja-JP')).toBe('ja-JP');
  });
});

describe('the end of a day', () => {
  it.each([
    ['2030-12-31', new Date(2030, 11, 31, 23, 59, 59, 999).getTime()],
    [' 2028-02-29 ', new Date(2028, 1, 29, 23, 59, 59, 999).getTime()],
    ['2030-06-31', null],
    ['2030-13-01', null],
    ['tomorrow', null],
    ['', null],
  ])('%s is %s', (text, expected) => {
    expect(endOfDay(text)).toBe(expected);
  });
});
