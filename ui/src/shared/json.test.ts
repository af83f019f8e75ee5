import { describe, expect, it } from 'vitest';
import { prettyJson } from './json';

describe('JSON for people', () => {
  it('stands as JSON.stringify would indent it', () => {
    const values: unknown[] = [
      ...[
        null,
        true,
        0,
        -1.5e300,
        '',
        'a "b" \\ {[,:]} 完了\n\u2028',
        [],
        {},
        [[]],
        [{}],
        { a: {} },
      ],
      { url: 'https://x', list: [1, [2, { three: [] }], 'x'], nested: { deep: { deeper: null } } },
    ];
    for (const value of values) {
      expect(prettyJson(JSON.stringify(value))).toBe(JSON.stringify(value, null, 2));
    }
  });

  it('keeps every digit', () => {
    const text = '{"id":12345678901234567890,"small":1e-400}';
    expect(prettyJson(text)).toBe('{\n  "id": 12345678901234567890,\n  "small": 1e-400\n}');
  });
});
