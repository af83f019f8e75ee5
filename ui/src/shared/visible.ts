/**
 * Makes untrusted text safe to look at: whatever would move, hide or reorder
 * what stands beside it becomes a visible sign. Nothing is left out.
 */

/** A stretch of text, or the sign that stands for characters one cannot see. */
export interface Part {
  readonly text: string;
  /** What the sign stands for; nothing for text as it is. */
  readonly sign: string | null;
}

// Beyond this many signs a text is no text, and an element for each would freeze the window.
const SIGNS_AS_ELEMENTS = 500;

// C0 (but tab and newline) and C1 controls, soft hyphen, invisible and bidirectional formatting,
// line separators, blank letters, interlinear and tag characters. U+200C and U+200D stay: scripts
// and emoji need them.
const UNSEEN =
  // eslint-disable-next-line no-control-regex, no-misleading-character-class -- they are looked for
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb\u{e0000}-\u{e0fff}]/u;

const NAMES: Record<number, string> = {
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

/** Returns `text` on one line, with a sign for each character that cannot be seen. */
export function visibleLine(text: string): string {
  return visible(text).replaceAll('\n', '␊').replaceAll('\t', '␉');
}

/** Returns `text` with a sign for each character that cannot be seen; lines stay. */
export function visible(text: string): string {
  return visibleParts(text)
    .map((part) => part.text)
    .join('');
}

/** Returns `text` in parts, so that a sign can look different from the same text typed. */
export function visibleParts(text: string): Part[] {
  const unseen = new RegExp(`(${UNSEEN.source})\\1*`, 'gu');
  const parts: Part[] = [];
  const lines = text.replaceAll('\r\n', '\n');
  let end = 0;
  for (const match of lines.matchAll(unseen)) {
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
  const text = code < 0x20 || code === 0x7f ? picture(code) : `⟨${hex}⟩`;
  const name = NAMES[code] ?? 'control character';
  return { text: `${text}${count}`, sign: `${hex} ${name}` };
}

/** Returns the picture that Unicode has for a control character, such as ␛. */
function picture(code: number): string {
  return code === 0x7f ? '␡' : String.fromCodePoint(0x2400 + code);
}
