/**
 * Makes lines of closed cards, so that the open ones are in sight. A card under the pointer or
 * with the focus stays as it is, and nothing moves under the pointer: what cannot be made up for
 * by scrolling waits until the pointer is elsewhere.
 */
import { flushSync } from 'svelte';
import type { Attachment } from 'svelte/attachments';
import type { RequestId } from '../../engine/types';
import type { RequestCards } from './request-cards.svelte';

/** How long a closed card stays as it is, in milliseconds. */
export const SETTLE_DELAY = 5_000;
/** How long pointer, focus and scrolling have to rest before it is tried again. */
const REST = 300;
const DISTURBANCES = ['pointerover', 'pointerleave', 'focusin', 'focusout', 'scroll'] as const;

/** Settles the closed cards among `cards`, which stand in the element that scrolls. */
export function settling(cards: RequestCards): Attachment<HTMLElement> {
  return (scroller) => {
    // Begun anew whenever another card closes.
    if (cards.closing.length === 0) return;
    let timer = setTimeout(attempt, SETTLE_DELAY);
    let isDue = false;

    function attempt(): void {
      isDue = true;
      const ready = cards.closing.filter((id) => !isInUse(scroller, id));
      if (ready.length > 0) settleInPlace(scroller, cards, ready);
    }

    const onDisturbance = (): void => {
      if (!isDue) return;
      clearTimeout(timer);
      timer = setTimeout(attempt, REST);
    };
    for (const name of DISTURBANCES) scroller.addEventListener(name, onDisturbance);
    return () => {
      clearTimeout(timer);
      for (const name of DISTURBANCES) scroller.removeEventListener(name, onDisturbance);
    };
  };
}

function isInUse(scroller: HTMLElement, id: RequestId): boolean {
  const card = scroller.querySelector(`[data-request-id="${id}"]`);
  return card !== null && (card.matches(':hover') || card.contains(document.activeElement));
}

/** Settles the cards if what is under the pointer can stay there, else leaves all as it was. */
function settleInPlace(scroller: HTMLElement, cards: RequestCards, ids: RequestId[]): void {
  const isHovered = scroller.matches(':hover');
  const anchor = [...scroller.querySelectorAll(':hover')].at(-1);
  // Between two cards: the next click might meet what came there.
  if (isHovered && (anchor === undefined || anchor.matches('.cards'))) return;
  const [top, scrolled] = [topOf(anchor), scroller.scrollTop];
  cards.settle(ids);
  flushSync();
  scroller.scrollTop += topOf(anchor) - top;
  if (Math.abs(topOf(anchor) - top) <= 1) return;
  cards.unsettle(ids);
  flushSync();
  scroller.scrollTop = scrolled;
}

function topOf(element: Element | undefined): number {
  return element?.getBoundingClientRect().top ?? 0;
}
