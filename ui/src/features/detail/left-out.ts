/** Returns that there is more than one message of the engine holds; nothing where there is not. */
export function leftOutWords(count: number | undefined, what: string): string | null {
  if (count === undefined || count === 0) return null;
  return count === 1 ? `1 ${what} is not shown` : `${count} ${what}s are not shown`;
}
