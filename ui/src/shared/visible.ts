/**
 * Makes untrusted text safe to look at: whatever would move, hide or reorder
 * what stands beside it becomes a visible sign. Nothing is left out, except from what stands on one
 * line: no line shows that much, and a web view needs half a minute to find out.
 */

/** A stretch of text, or the sign that stands for characters one cannot see. */
export interface Part {
  readonly text: string;
  /** What the sign stands for; nothing for text as it is. */
  readonly sign: string | null;
}

// Beyond this many signs a text is no text, and an element for each would freeze the window.
const SIGNS_AS_ELEMENTS = 500;

/** How many UTF-16 units of a text stand on one line. */
export const LINE_LIMIT = 300;

// Controls (but tab and newline), invisible and bidirectional formatting, line separators, blank
// letters. Scripts and emoji need U+200C, U+200D and variation selectors; plain ASCII does not.
const NEEDED = String.raw`\t|\n|(?<![ -~])[\u200c\u200d]|[\ufe00-\ufe0f]`;
const UNSEEN = String.raw`[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]`;
const RUN = new RegExp(String.raw`((?!${NEEDED})${UNSEEN})\1*`, 'gu');

// By name, since fonts for terminals lack the pictures that Unicode has for them.
const CONTROLS: Record<number, string> = {
  0x00: 'NUL',
  0x07: 'BEL',
  0x08: 'BS',
  0x0b: 'VT',
  0x0c: 'FF',
  0x0d: 'CR',
  0x1b: 'ESC',
  0x7f: 'DEL',
  0x9b: 'CSI',
};

const NAMES: Record<number, string> = {
  0x00: 'null',
  0x07: 'bell',
  0x08: 'backspace',
  0x0d: 'carriage return',
  0x1b: 'escape',
  0x7f: 'delete',
  0x00ad: 'soft hyphen',
  0x061c: 'Arabic letter mark',
  0x200b: 'zero width space',
  0x200e: 'left-to-right mark',
  0x200f: 'right-to-left mark',
  0x202a: 'left-to-right embedding',
  0x202b: 'right-to-left embedding',
  0x202c: 'end of a direction change',
  0x202d: 'left-to-right override',
  0x202e: 'right-to-left override',
  0x2066: 'left-to-right isolate',
  0x2067: 'right-to-left isolate',
  0x2068: 'first strong isolate',
  0x2069: 'end of an isolate',
  0xfeff: 'zero width no-break space',
};

/** Returns the beginning of `text` on one line, with a sign for each character that cannot be seen. */
export function visibleLine(text: string): string {
  return visible(beginning(text)).replaceAll('\n', '⟨LF⟩').replaceAll('\t', '⟨TAB⟩');
}

function beginning(text: string): string {
  if (text.length <= LINE_LIMIT) return text;
  // Not half of a character that takes two units.
  return `${text.slice(0, LINE_LIMIT).replace(/\p{Cs}$/u, '')}…`;
}

/** Returns `text` with a sign for each character that cannot be seen; lines stay. */
export function visible(text: string): string {
  return visibleParts(text)
    .map((part) => part.text)
    .join('');
}

/** Returns `text` in parts, so that a sign can look different from the same text typed. */
export function visibleParts(text: string): Part[] {
  const parts: Part[] = [];
  const lines = text.replaceAll('\r\n', '\n');
  let end = 0;
  for (const match of lines.matchAll(RUN)) {
    if (match.index > end) parts.push({ text: lines.slice(end, match.index), sign: null });
    parts.push(signFor(match[1] ?? '', match[0].length));
    end = match.index + match[0].length;
  }
  if (end < lines.length) parts.push({ text: lines.slice(end), sign: null });
  if (parts.length <= 2 * SIGNS_AS_ELEMENTS) return parts;
  return [{ text: parts.map((part) => part.text).join(''), sign: null }];
}

function signFor(character: string, length: number): Part {
  const code = character.codePointAt(0) ?? 0;
  const times = length / character.length;
  const hex = `U+${code.toString(16).toUpperCase().padStart(4, '0')}`;
  const count = times > 1 ? `×${times}` : '';
  const name = NAMES[code] ?? 'character that cannot be seen';
  return { text: `⟨${CONTROLS[code] ?? hex}⟩${count}`, sign: `${hex} ${name}` };
}
