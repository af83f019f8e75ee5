/** Which lines of a diff are which. Only for their colours: every line is shown as it is. */

export type DiffKind = 'file' | 'hunk' | 'added' | 'removed' | 'same';

export interface DiffBlock {
  readonly kind: DiffKind;
  /** One line or several, without the last line end. */
  readonly text: string;
}

const HUNK = /^@@ -\d+(?:,(\d+))? \+\d+(?:,(\d+))? @@/;

/** Returns the diff, as `diff -u` or git writes it, in blocks of lines of a kind. */
export function diffBlocks(diff: string): DiffBlock[] {
  const blocks: { kind: DiffKind; lines: string[] }[] = [];
  for (const [kind, line] of kinds(diff.replace(/\n$/, '').split('\n'))) {
    const last = blocks.at(-1);
    if (last?.kind === kind) last.lines.push(line);
    else blocks.push({ kind, lines: [line] });
  }
  return blocks.map(({ kind, lines }) => ({ kind, text: lines.join('\n') }));
}

function* kinds(lines: readonly string[]): Generator<[DiffKind, string]> {
  // How many lines the hunk still has of each side: within it, `--- a` is a removed line.
  let [removed, added] = [0, 0];
  for (const line of lines) {
    const hunk = HUNK.exec(line);
    if (removed <= 0 && added <= 0 && hunk !== null) {
      [removed, added] = [Number(hunk[1] ?? 1), Number(hunk[2] ?? 1)];
      yield ['hunk', line];
    } else if (removed <= 0 && added <= 0) {
      yield ['file', line];
    } else if (line.startsWith('+')) {
      added -= 1;
      yield ['added', line];
    } else if (line.startsWith('-')) {
      removed -= 1;
      yield ['removed', line];
    } else {
      if (!line.startsWith('\\')) [removed, added] = [removed - 1, added - 1];
      yield ['same', line];
    }
  }
}
