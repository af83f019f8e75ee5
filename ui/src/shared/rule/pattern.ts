/** The patterns of a rule, one for each word of a command. */

/** Any number of words. */
export const ANY_WORDS = '**';
/** One word, whatever it is. */
export const ANY_WORD = '*';

/** Returns the pattern that means `word` and nothing else. */
export function patternOf(word: string): string {
  // A bracket stands for itself, unless what follows would make it a sign in brackets.
  return word.replaceAll(/[*?]|\[(?=[*?[])/g, '[$&]');
}
