import { describe, expect, it } from 'vitest';
import { LINE_LIMIT, visible, visibleLine, visibleParts } from './visible';

describe('untrusted text', () => {
  it.each([
    ['a right-to-left override', 'a\u202Eb', 'a⟨U+202E⟩b'],
    ['an escape sequence', '\u001b[31mred', '⟨ESC⟩[31mred'],
    ['a carriage return that would overwrite', 'safe\revil', 'safe⟨CR⟩evil'],
    ['a backspace', 'ab\b', 'ab⟨BS⟩'],
    ['a zero width space', 'rm\u200bx', 'rm⟨U+200B⟩x'],
    ['a joiner hidden in plain letters', 'pro\u200dd', 'pro⟨U+200D⟩d'],
    ['a tag character', 'x\u{e0041}', 'x⟨U+E0041⟩'],
    ['a run of marks', '\u200e\u200e\u200e', '⟨U+200E⟩×3'],
    ['a C1 control', '\u009b1m', '⟨CSI⟩1m'],
    ['a line separator', 'a\u2028b', 'a⟨U+2028⟩b'],
    ['a blank letter', 'a\u3164b', 'a⟨U+3164⟩b'],
  ])('shows %s', (_name, text, expected) => {
    expect(visible(text)).toBe(expected);
  });

  it.each([
    ['Japanese', '画像を変換しています'],
    ['a family of emoji', '👩‍💻 ❤️ 🚀'],
    ['Persian with a non-joiner', 'می\u200cخواهم'],
    ['Hebrew', 'שלום'],
    ['lines and tabs', 'one\n\ttwo'],
  ])('leaves %s as it is', (_name, text) => {
    expect(visible(text)).toBe(text);
  });

  it('takes the line ends of Windows as line ends', () => {
    expect(visible('a\r\nb')).toBe('a\nb');
  });

  it('stays on one line where there is one line', () => {
    expect(visibleLine('a\nb\tc')).toBe('a⟨LF⟩b⟨TAB⟩c');
  });

  it('is cut where it stands on one line, and not within a character', () => {
    const whole = 'x'.repeat(LINE_LIMIT);
    expect(visibleLine(whole)).toBe(whole);
    expect(visibleLine(`${whole}y`)).toBe(`${whole}…`);
    const rocket = visibleLine(`${'x'.repeat(LINE_LIMIT - 1)}🚀🚀`);
    expect(rocket).toBe(`${'x'.repeat(LINE_LIMIT - 1)}…`);
  });

  it('tells a sign from the same text typed', () => {
    expect(visibleParts('⟨ESC⟩\u001b')).toEqual([
      { text: '⟨ESC⟩', sign: null },
      { text: '⟨ESC⟩', sign: 'U+001B escape' },
    ]);
  });

  it('is few parts, however many signs a megabyte holds', () => {
    const text = '\u202e\u001b'.repeat(500_000);
    const parts = visibleParts(text);
    expect(parts).toHaveLength(1);
    expect(parts[0]?.text.startsWith('⟨U+202E⟩⟨ESC⟩⟨U+202E⟩')).toBe(true);
    for (const unseen of ['\u202e', '\u001b']) expect(parts[0]?.text).not.toContain(unseen);
  });
});
