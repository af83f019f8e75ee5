import { expect, it } from 'vitest';
import { diffBlocks } from './diff';

it('a diff has its lines in blocks, none of them lost', () => {
  const diff = [
    'diff --git a/x b/x',
    '--- a/x',
    '+++ b/x',
    '@@ -1,3 +1,3 @@ fn',
    ' same',
    // Looks like the name of a file, and is a removed line.
    '--- removed',
    '+added',
    '+added too',
    '-last',
    '\\ No newline at end of file',
    '--- a/y',
    '@@ -1 +0,0 @@',
    '-y',
  ].join('\n');
  const blocks = diffBlocks(`${diff}\n`);
  expect(blocks.map((block) => block.text).join('\n')).toBe(diff);
  expect(blocks.map((block) => block.kind)).toEqual([
    ...['file', 'hunk', 'same', 'removed', 'added', 'removed', 'file', 'hunk', 'removed'],
  ]);
});
