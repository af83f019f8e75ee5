/**
 * Tells what a hand does in this page from what a program does to it.
 *
 * Over the accessibility bus every program of the user can press a button here: the page sees a
 * click like any other, but no pointer went down on the button before it, and no key. It can give
 * a button the focus, too, and have the next key that the person types press that.
 */

/**
 * Whether a hand is at work just now; `'lent'` where its key went to a button that no hand had
 * given the focus to.
 */
export type Hand = 'none' | 'lent' | 'own';

/** What a key presses, other than by sending the form that it is in. */
const PRESSABLE = 'button, a[href], [role="button"], [role="switch"]';

const PRESSING_KEYS = new Set(['Enter', ' ']);

export class Hands {
  #now: Hand = 'none';
  /** Whether what gets the focus gets it from a hand. */
  #isMoving = false;
  #focused: EventTarget | null = null;
  /** Where the pointer, or a key that presses, went down and no click has come yet. */
  #pointed: Node | null = null;
  /** What the last click of just now was on. */
  #clicked: Node | null = null;
  #keyed: { target: Node; hand: Hand } | null = null;
  readonly #isReal: (event: Event) => boolean;

  constructor(page: Document, isReal = (event: Event): boolean => event.isTrusted) {
    this.#isReal = isReal;
    const hear = <Name extends keyof DocumentEventMap>(
      name: Name,
      hear: (event: DocumentEventMap[Name]) => void,
    ): void => {
      page.addEventListener(name, hear, { capture: true });
    };
    hear('pointerdown', (event) => {
      this.#point(event);
    });
    hear('keydown', (event) => {
      this.#press(event);
    });
    hear('focusin', (event) => {
      if (this.#isMoving) this.#focused = event.target;
    });
    hear('click', (event) => {
      this.#click(event);
    });
    for (const name of ['pointerup', 'pointercancel'] as const) {
      hear(name, () => {
        after(() => (this.#pointed = null));
      });
    }
    hear('keyup', () => {
      after(() => (this.#keyed = null));
    });
  }

  /** Whose work goes on just now: for as long as what an event has set off runs. */
  get now(): Hand {
    return this.#now;
  }

  /** Goes on with what a hand has set off, when the host has replied. */
  goOn(): void {
    this.#work('own');
  }

  #point(event: Event): void {
    if (!this.#isReal(event) || !(event.target instanceof Node)) return;
    this.#pointed = event.target;
    this.#move();
  }

  #press(event: KeyboardEvent): void {
    if (!this.#isReal(event) || !(event.target instanceof Node)) return;
    const { target } = event;
    const presses = PRESSING_KEYS.has(event.key);
    const isPressable = target instanceof Element && target.matches(PRESSABLE);
    const isLent = presses && isPressable && target !== this.#focused;
    const hand = isLent ? 'lent' : 'own';
    if (presses) this.#keyed = { target, hand };
    this.#work(hand);
    this.#move();
  }

  #click(event: Event): void {
    if (!this.#isReal(event) || !(event.target instanceof Node)) return;
    const { target } = event;
    if (this.#pointed !== null && target.contains(this.#pointed)) {
      this.#work('own');
    } else if (this.#keyed !== null && isPressedFrom(this.#keyed.target, target)) {
      this.#work(this.#keyed.hand);
    } else if (!isLabelled(target, this.#clicked)) {
      // It may come while what another one has set off still runs.
      this.#now = 'none';
    }
    this.#clicked = target;
    after(() => {
      this.#clicked = null;
    });
    // One press, one click.
    this.#pointed = null;
  }

  #work(hand: Hand): void {
    this.#now = hand;
    after(() => (this.#now = 'none'));
  }

  #move(): void {
    this.#isMoving = true;
    after(() => (this.#isMoving = false));
  }
}

/** Whether a key at `from` clicks `target`: on that itself, or as what sends its form. */
function isPressedFrom(from: Node, target: Node): boolean {
  if (from === target) return true;
  const form = from instanceof HTMLInputElement ? from.form : null;
  return form !== null && target instanceof HTMLButtonElement && target.form === form;
}

/** Whether a click on a label also clicks `target`. */
function isLabelled(target: Node, clicked: Node | null): boolean {
  if (!(target instanceof HTMLInputElement) || target.labels === null) return false;
  return Array.from(target.labels).some((label) => label.contains(clicked));
}

/** Does something when all that the event of now has set off is done. */
function after(work: () => void): void {
  setTimeout(work);
}
