/** JSON as people read it. */

const TOKEN = /"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/gu;
const STEP = '  ';

/**
 * Returns JSON with a line for each value. The text is never made into values and back: a number
 * keeps every digit, where JavaScript would round it.
 */
export function prettyJson(text: string): string {
  const tokens = text.match(TOKEN) ?? [];
  let pretty = '';
  let depth = 0;
  const line = (): string => `\n${STEP.repeat(depth)}`;
  for (const [index, token] of tokens.entries()) {
    const before = tokens[index - 1];
    const opens = before === '{' || before === '[';
    if (token === '}' || token === ']') {
      depth -= 1;
      // Nothing is in it.
      pretty += opens ? token : `${line()}${token}`;
      continue;
    }
    if (opens) pretty += line();
    if (token === '{' || token === '[') depth += 1;
    if (token === ',') pretty += `,${line()}`;
    else pretty += token === ':' ? ': ' : token;
  }
  return pretty;
}
