/**
 * Tells what stands in a list when something other than the person's own scrolling has moved it: a
 * click that was on its way to one thing must not meet another.
 */

/** What is less than this far away has not moved, in pixels. */
const STILL = 1;

interface Place {
  /** Where it stands on the screen, and in what scrolls. */
  readonly screen: number;
  readonly content: number;
}

interface Watched {
  place: Place;
  readonly scroller: Element | null;
  readonly onMove: () => void;
}

const watched = new Map<Element, Watched>();
const uses = new Map<Element, number>();
// Whatever grows, comes or goes changes the size of one of these, before it is painted.
const observer = new ResizeObserver(look);

/** Calls `onMove` whenever the element was moved. Returns how to stop that. */
export function watchPlace(element: HTMLElement, onMove: () => void): () => void {
  const observed = [...upToScroller(element)];
  const last = observed.at(-1);
  const scroller = last !== undefined && scrolls(last) ? last : null;
  watched.set(element, { place: placeOf(element, scroller), scroller, onMove });
  observed.forEach(observe);
  scroller?.addEventListener('scroll', look);
  return () => {
    watched.delete(element);
    observed.forEach(forget);
    if (scroller !== null && !uses.has(scroller)) scroller.removeEventListener('scroll', look);
  };
}

/** Compares where everything stands with where it stood. */
export function look(): void {
  for (const [element, it] of watched) {
    const before = it.place;
    const now = placeOf(element, it.scroller);
    it.place = now;
    // Scrolling moves it on the screen only; what is made up for by scrolling, in the list only.
    const isElsewhere =
      Math.abs(now.screen - before.screen) > STILL &&
      Math.abs(now.content - before.content) > STILL;
    if (isElsewhere) it.onMove();
  }
}

/** The element and what it stands in, up to what scrolls: whatever moves it changes one's size. */
function* upToScroller(element: Element): Generator<Element> {
  for (let it: Element | null = element; it !== null; it = it.parentElement) {
    yield it;
    if (it !== element && scrolls(it)) return;
  }
}

function scrolls(element: Element): boolean {
  return ['auto', 'scroll'].includes(getComputedStyle(element).overflowY);
}

function placeOf(element: Element, scroller: Element | null): Place {
  const screen = element.getBoundingClientRect().top;
  return { screen, content: screen + (scroller?.scrollTop ?? 0) };
}

function observe(element: Element): void {
  uses.set(element, (uses.get(element) ?? 0) + 1);
  observer.observe(element);
}

function forget(element: Element): void {
  const left = (uses.get(element) ?? 1) - 1;
  if (left > 0) {
    uses.set(element, left);
  } else {
    uses.delete(element);
    observer.unobserve(element);
  }
}
