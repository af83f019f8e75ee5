/**
 * Tells what a hand does in this page from what a program does to it.
 *
 * Over the accessibility bus every program of the user can press a button here, move the focus,
 * and write into a field: the page sees a click, a focus and an input like any other, but no
 * pointer went down on the button before it, and no key in the field. So what counts is the
 * pointer and the keys, which the bus does not have, each for just what it does by itself: a key
 * that only writes moves no focus, and one in a field presses no button but that which sends it.
 */

/**
 * Whose work goes on just now: a hand's own; `'lent'` where its key went to something that no hand
 * had given the focus to; a program's over the bus; or nobody's, as when the host has said something.
 */
export type Hand = 'none' | 'program' | 'lent' | 'own';

/** What a key presses, other than by sending the form that it is in. */
const PRESSABLE = 'button, a[href], summary, [role="button"], [role="switch"]';
/** What a key writes or chooses in. */
const FIELD = 'input, textarea, select, [contenteditable]';

const PRESSING_KEYS = new Set(['Enter', ' ']);
const ARROWS = new Set(['ArrowUp', 'ArrowDown', 'ArrowLeft', 'ArrowRight']);
/** What stands for a key that an input method takes. */
const TAKEN_BY_INPUT_METHOD = new Set(['Process', 'Unidentified']);

/** A key that has just gone down; the space bar also when it has just come up, which presses. */
interface Key {
  readonly event: KeyboardEvent;
  readonly target: Element;
  readonly hand: Hand;
  /** One key, one click, and one move of the focus. */
  hasClicked: boolean;
  hasMoved: boolean;
}

export class Hands {
  #now: Hand = 'none';
  #works = 0;
  /** What a hand has given the focus to; nothing since a program gave it to something else. */
  #focused: EventTarget | null = null;
  /** What a program gave the focus to, and no hand since: the page does not give it back there. */
  readonly #lent = new WeakSet<Element>();
  /** How many calls of the page itself are just now moving the focus. */
  #moves = 0;
  /** Where the pointer went down and no click has come yet. */
  #pointed: Node | null = null;
  /** What the last click of just now was on. */
  #clicked: Node | null = null;
  #key: Key | null = null;
  /** Where the space bar went down and has not come up. */
  #space: { target: Element; hand: Hand } | null = null;
  /** Where an input method takes the keys: what it writes comes when it likes. */
  #composed: Node | null = null;
  /** Where the menu was opened that can also paste. */
  #menu: Node | null = null;
  readonly #page: Document;
  readonly #isReal: (event: Event) => boolean;

  constructor(page: Document, isReal = (event: Event): boolean => event.isTrusted) {
    this.#page = page;
    this.#isReal = isReal;
    const hear = <Name extends keyof DocumentEventMap>(
      name: Name,
      hear: (event: DocumentEventMap[Name], target: Element) => void,
    ): void => {
      const listen = (event: DocumentEventMap[Name]): void => {
        if (this.#isReal(event) && event.target instanceof Element) hear(event, event.target);
      };
      page.addEventListener(name, listen, { capture: true });
    };
    hear('pointerdown', (_, target) => {
      this.#point(target);
    });
    hear('mousedown', () => {
      if (this.#pointed === null) this.#work('program');
    });
    hear('keydown', (event, target) => {
      this.#press(event, target);
    });
    hear('keyup', (event, target) => {
      this.#release(event, target);
    });
    hear('focusin', (_, target) => {
      if (target !== this.#focused) this.#focus(target, this.#isMovedTo(target));
    });
    hear('focusout', ({ relatedTarget }, target) => {
      if (relatedTarget === null && this.#isLeft(target)) this.#focused = null;
    });
    hear('click', (_, target) => {
      this.#click(target);
    });
    hear('input', (event, target) => {
      this.#write(event, target);
    });
    hear('contextmenu', (_, target) => {
      this.#menu = target;
    });
    for (const name of ['pointerup', 'pointercancel'] as const) {
      hear(name, () => {
        after(() => (this.#pointed = null));
      });
    }
  }

  /** Whose work goes on just now: for as long as what an event has set off runs. */
  get now(): Hand {
    return this.#now;
  }

  /** Goes on with what a hand has set off, when the host has replied. */
  goOn(): void {
    this.#work('own');
  }

  /** Does what moves the focus by the page's own will, to `target`: no program comes in between. */
  move(work: () => void, target: Element | null = null): void {
    this.#moves += 1;
    try {
      work();
      // What had the focus already hears of no move.
      const isThere = target !== null && this.#page.activeElement === target;
      if (isThere && this.#isGivenTo(target)) this.#focus(target, true);
    } finally {
      this.#moves -= 1;
    }
  }

  #point(target: Element): void {
    this.#pointed = target;
    this.#space = null;
    this.#composed = null;
    this.#menu = null;
    // What has the focus already hears no more of it.
    const active = this.#page.activeElement;
    if (active !== this.#page.body && active?.contains(target) === true) this.#focus(active, true);
    this.#work('own');
  }

  #press(event: KeyboardEvent, target: Element): void {
    const presses = PRESSING_KEYS.has(event.key);
    const takes = target.matches(FIELD) || (presses && target.matches(PRESSABLE));
    const hand = takes && target !== this.#focused ? 'lent' : 'own';
    const isTaken = event.isComposing || (TAKEN_BY_INPUT_METHOD.has(event.key) && !isTab(event));
    this.#composed = isTaken && hand === 'own' ? target : null;
    this.#menu = null;
    if (event.key === ' ') this.#space = { target, hand };
    this.#heed({ event, target, hand, hasClicked: false, hasMoved: false });
  }

  /** The space bar presses when it comes up, and only what it went down on. */
  #release(event: KeyboardEvent, target: Element): void {
    if (event.key !== ' ') return;
    const space = this.#space;
    this.#space = null;
    if (space?.target !== target) return;
    this.#heed({ event, target, hand: space.hand, hasClicked: false, hasMoved: true });
  }

  #heed(key: Key): void {
    this.#key = key;
    this.#work(key.hand);
    after(() => {
      if (this.#key === key) this.#key = null;
    });
  }

  /** Whether a hand takes the focus from what has it, and gives it to nothing. */
  #isLeft(target: Element): boolean {
    if (this.#pointed === null) return this.#key?.event.key === 'Escape';
    return !target.contains(this.#pointed);
  }

  #focus(target: Element, isByHand: boolean): void {
    this.#focused = isByHand ? target : null;
    if (isByHand) this.#lent.delete(target);
    else if (this.#moves === 0) this.#lent.add(target);
  }

  /** Whether the page gives the focus to `target` for a hand: where the pointer is, or it was before. */
  #isGivenTo(target: Element): boolean {
    return this.#now === 'own' && (this.#pointed !== null || !this.#lent.has(target));
  }

  /** Whether it is a hand that gives the focus to `target`. */
  #isMovedTo(target: Element): boolean {
    if (this.#moves > 0) return this.#isGivenTo(target);
    if (this.#pointed !== null && target.contains(this.#pointed)) return true;
    // A click on a label gives it to what that is the label of.
    if (this.#now === 'own' && this.#clicked !== null) {
      if (target.contains(this.#clicked) || isLabelled(target, this.#clicked)) return true;
    }
    const key = this.#key;
    if (key === null || key.hasMoved || !movesTo(key, target)) return false;
    key.hasMoved = true;
    return true;
  }

  #click(target: Element): void {
    if (this.#pointed !== null && target.contains(this.#pointed)) {
      this.#work('own');
    } else if (this.#key !== null && !this.#key.hasClicked && presses(this.#key, target)) {
      this.#key.hasClicked = true;
      this.#work(this.#key.hand);
    } else if (!isLabelled(target, this.#clicked)) {
      // It may come while what another one has set off still runs.
      this.#work('program');
    }
    this.#clicked = target;
    after(() => {
      this.#clicked = null;
    });
    // One press, one click.
    this.#pointed = null;
  }

  #write(event: Event, target: Element): void {
    // What a click has changed is whose the click was.
    if (target === this.#clicked) return;
    if (this.#key?.event.type === 'keydown' && this.#key.target === target) {
      this.#work(this.#key.hand);
    } else if (target === this.#focused && this.#isWrittenByHand(event, target)) {
      this.#work('own');
    } else {
      this.#work('program');
    }
  }

  /** Whether what comes without a key comes of a hand: through an input method, or its menu. */
  #isWrittenByHand(event: Event, target: Node): boolean {
    if (this.#composed === target) return true;
    const kind = 'inputType' in event ? String(event.inputType) : '';
    if (/Composition/.test(kind)) return true;
    return this.#menu === target && !kind.startsWith('insertText');
  }

  #work(hand: Hand): void {
    this.#now = hand;
    const work = ++this.#works;
    after(() => {
      if (this.#works === work) this.#now = 'none';
    });
  }
}

/** Has `hands` know when the page itself moves the focus. */
export function heedMoves(hands: Hands): void {
  around(HTMLElement.prototype, 'focus', hands);
  around(HTMLDialogElement.prototype, 'showModal', hands);
  around(HTMLDialogElement.prototype, 'close', hands);
}

function around(its: Element, name: 'focus' | 'showModal' | 'close', hands: Hands): void {
  const original = Reflect.get(its, name) as (...given: unknown[]) => void;
  const heeded = function (this: Element, ...given: unknown[]): void {
    hands.move(() => {
      original.apply(this, given);
    }, this);
  };
  Reflect.set(its, name, heeded);
}

/** Whether a key by itself clicks `target`. */
function presses({ event, target: from }: Key, target: Element): boolean {
  if (event.key === ' ') return event.type === 'keyup' && from === target;
  if (ARROWS.has(event.key)) return areOfOneChoice(from, target);
  return event.key === 'Enter' && (from === target || target === sendsFor(from));
}

/** Whether a key by itself gives the focus to `target`. */
function movesTo({ event, target: from }: Key, target: Element): boolean {
  if (event.defaultPrevented || event.ctrlKey || event.altKey || event.metaKey) return false;
  return isTab(event) || (ARROWS.has(event.key) && areOfOneChoice(from, target));
}

/** Whether it is Tab, which has no name of its own where Shift is held. */
function isTab({ key, code }: KeyboardEvent): boolean {
  return key === 'Tab' || code === 'Tab';
}

/** Returns the button that Enter in a field presses: the first one that sends its form. */
function sendsFor(field: Element): Element | undefined {
  if (!(field instanceof HTMLInputElement) || field.form === null) return undefined;
  return [...field.form.elements].find(
    (it) =>
      (it instanceof HTMLButtonElement || it instanceof HTMLInputElement) && it.type === 'submit',
  );
}

/** Whether both are buttons of one choice, along which the arrows go. */
function areOfOneChoice(from: Element, target: Element): boolean {
  if (!(from instanceof HTMLInputElement && target instanceof HTMLInputElement)) return false;
  const areRadios = from.type === 'radio' && target.type === 'radio';
  return areRadios && from.name === target.name && from.form === target.form;
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
