/**
 * Keeps the focus in a view of cards: when the card that has it closes or goes, it moves on to the
 * next one that waits, or to the view. A key that is held down does nothing more on the way.
 */
import { untrack } from 'svelte';
import type { Attachment } from 'svelte/attachments';
import { isFocusLost } from '../focus';

const OPEN = '[data-item][data-open="true"]';

/** Keeps the focus in a view; `changes` reads what changes whenever a card closes or goes. */
export function keepingFocus(changes: () => unknown): Attachment<HTMLElement> {
  return (view) => {
    const cardOf = (target: EventTarget | null): HTMLElement | null =>
      target instanceof Element && view.contains(target) ? target.closest('[data-item]') : null;
    // A card may have taken it before this begins.
    let held = cardOf(document.activeElement);
    let hasKeyboard = false;
    // What had the focus when it went from the view is of no account any more.
    const onFocus = ({ target }: FocusEvent): void => {
      held = cardOf(target);
    };
    const onPointer = (): void => {
      hasKeyboard = false;
    };
    const onKey = (event: KeyboardEvent): void => {
      hasKeyboard = true;
      if (event.repeat && isPress(event) && view.contains(document.activeElement)) {
        event.preventDefault();
      }
    };
    document.addEventListener('focusin', onFocus);
    document.addEventListener('pointerdown', onPointer, true);
    document.addEventListener('keydown', onKey, true);
    $effect(() => {
      changes();
      untrack(() => {
        if (held !== null && isFocusLost() && !isOpen(held)) moveOn(view, held, hasKeyboard);
      });
    });
    return () => {
      document.removeEventListener('focusin', onFocus);
      document.removeEventListener('pointerdown', onPointer, true);
      document.removeEventListener('keydown', onKey, true);
    };
  };
}

/** Whether a key presses a button or sends a form; in a field of several lines it writes. */
function isPress({ key, ctrlKey, target }: KeyboardEvent): boolean {
  if (!(target instanceof HTMLElement)) return false;
  if (key === 'Enter') return ctrlKey || !target.matches('textarea');
  return key === ' ' && target.matches('button');
}

function isOpen(card: HTMLElement): boolean {
  return card.isConnected && card.matches(OPEN);
}

function moveOn(view: HTMLElement, from: HTMLElement, hasKeyboard: boolean): void {
  const open = [...view.querySelectorAll<HTMLElement>(OPEN)];
  const isAfter = (card: HTMLElement): boolean =>
    from.isConnected &&
    (from.compareDocumentPosition(card) & Node.DOCUMENT_POSITION_FOLLOWING) !== 0;
  const next = open.find(isAfter) ?? open[0];
  // Where the reason of a denial is being written, that.
  const target = next?.querySelector<HTMLElement>('[data-row], form input') ?? view;
  // What lies under a pointer stays there; without one, the card has to come into sight.
  target.focus({ preventScroll: true });
  if (hasKeyboard) next?.scrollIntoView({ block: 'nearest' });
}
