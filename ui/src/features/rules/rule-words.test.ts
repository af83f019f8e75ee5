import { describe, expect, it } from 'vitest';
import { endWords, isOver } from './rule-words';

const HOUR = 60 * 60 * 1_000;

describe('the end of a rule', () => {
  it.each([
    [1_000 + 26 * HOUR, 'ends in 1d 2h', false],
    [1_000, 'ended 0s ago', true],
    [0, 'ended 1s ago', true],
  ])('at %i, seen at 1000, is %s', (at, words, over) => {
    expect(endWords(at, 1_000)).toBe(words);
    expect(isOver({ expires_at: at }, 1_000)).toBe(over);
  });
});
