/** Moving through a list with j, k and the arrows; Enter is the focused button's own. */
import type { Attachment } from 'svelte/attachments';

const ROW = '[data-row]';
const STEPS: Record<string, number> = { j: 1, ArrowDown: 1, k: -1, ArrowUp: -1 };

/** Returns whether what is typed now is meant for a field. */
export function isTyping(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false;
  // Most terminals only show; one that a task reads from takes every key.
  const terminal = target.closest('.xterm');
  if (terminal !== null) return terminal.closest('[data-typing]') !== null;
  return target.matches('input, textarea, select, [contenteditable]');
}

/** Moves the focus among the rows inside `list`, from anywhere in the window. */
export const listKeys: Attachment<HTMLElement> = (list) => {
  const move = (event: KeyboardEvent): void => {
    const step = STEPS[event.key];
    if (step === undefined || event.defaultPrevented || isTyping(event.target)) return;
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    if (document.querySelector('dialog[open]') !== null) return;
    const target = event.target as Element;
    if (target.closest('[data-own-keys]') !== null) return;
    const rows = [...list.querySelectorAll<HTMLElement>(ROW)];
    const current = rows.findIndex((row) => row.closest('[data-item]')?.contains(target));
    const next = current === -1 ? activeRow(rows) : rows[current + step];
    if (!next) return;
    event.preventDefault();
    next.focus();
    next.scrollIntoView({ block: 'nearest' });
  };
  window.addEventListener('keydown', move);
  return () => {
    window.removeEventListener('keydown', move);
  };
};

function activeRow(rows: HTMLElement[]): HTMLElement | undefined {
  return rows.find((row) => row.tabIndex === 0) ?? rows[0];
}
