import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FOR_A_PERSON } from './bindings/ForAPerson';
import { byHand, whyNotTyped } from './by-hand';
import { heedMoves, Hands, type Hand } from './hand';
import type { Transport } from './transport';
import type { Call } from './types';

const real = new WeakSet<Event>();
let page: Document;
let hands: Hands;

function element(selector: string): HTMLElement {
  const found = page.querySelector<HTMLElement>(selector);
  if (!found) throw new Error(`no ${selector}`);
  return found;
}

/** Sends an event as the system does, and returns whose work it was for those who hear it. */
function send(target: string, event: Event, isReal = true): Hand {
  if (isReal) real.add(event);
  let seen: Hand = 'none';
  const hear = (): void => {
    seen = hands.now;
  };
  element(target).addEventListener(event.type, hear, { once: true });
  element(target).dispatchEvent(event);
  return seen;
}

const bubbles = { bubbles: true, cancelable: true };
const down = (target: string): Hand => send(target, new MouseEvent('pointerdown', bubbles));
const up = (target: string): Hand => send(target, new MouseEvent('pointerup', bubbles));
const click = (target: string, isReal = true): Hand =>
  send(target, new MouseEvent('click', bubbles), isReal);
const key = (target: string, name: string, more: KeyboardEventInit = {}): Hand =>
  send(target, new KeyboardEvent('keydown', { key: name, ...bubbles, ...more }));
const keyUp = (target: string, name: string): Hand =>
  send(target, new KeyboardEvent('keyup', { key: name, ...bubbles }));
const focus = (target: string): Hand => send(target, new FocusEvent('focusin', bubbles));
const blur = (target: string): Hand => send(target, new FocusEvent('focusout', bubbles));
const write = (target: string, inputType = 'insertText'): Hand =>
  send(target, new InputEvent('input', { ...bubbles, inputType }));
const later = (): Promise<void> => new Promise((resolve) => setTimeout(resolve));

/** Goes somewhere with Tab, as a person does. */
async function tabTo(target: string): Promise<void> {
  key('#deny', 'Tab');
  focus(target);
  await later();
}

/** Gives something the focus, and presses Enter there at once. */
function enterOn(target: string): Hand {
  focus(target);
  return key(target, 'Enter');
}

beforeEach(() => {
  page = document.implementation.createHTMLDocument();
  page.body.innerHTML =
    '<label>Always <input type="checkbox" id="always"></label>' +
    '<form><input name="text"><textarea></textarea>' +
    '<input type="radio" name="then" id="ask"><input type="radio" name="then" id="pass">' +
    '<button type="button" id="allow">Allow and approve</button>' +
    '<button id="send">Send</button><button id="other">Other</button></form>' +
    '<input id="comment">' +
    '<button id="approve"><span>Approve</span></button><button id="deny">Deny</button>';
  hands = new Hands(page, (event) => real.has(event));
});

describe('a hand', () => {
  it('is at work in a click that the pointer has begun, once', async () => {
    down('#approve span');
    expect(click('#approve')).toBe('own');
    await later();
    expect(hands.now).toBe('none');
    expect(click('#approve')).toBe('program');
    await later();
    expect(hands.now).toBe('none');
  });

  it('is not at work in a click that nothing has begun, or that began elsewhere', async () => {
    expect(click('#approve')).toBe('program');
    down('#deny');
    expect(click('#approve')).toBe('program');
    await later();
    key('[name=text]', 'Enter');
    await later();
    expect(click('#approve')).toBe('program');
  });

  it('is not at work where a button of the mouse goes down without its pointer', () => {
    expect(send('#approve', new MouseEvent('mousedown', bubbles))).toBe('program');
    down('#approve');
    expect(send('#approve', new MouseEvent('mousedown', bubbles))).toBe('own');
  });

  it('is at work in what a click on a label clicks, and that gets the focus', async () => {
    down('label');
    up('label');
    expect(click('label')).toBe('own');
    expect(click('#always')).toBe('own');
    expect(write('#always')).toBe('own');
    focus('#always');
    await later();
    expect(key('#always', ' ')).toBe('own');
  });

  it('is not at work in what a script of the page sends', () => {
    send('#approve', new MouseEvent('pointerdown', bubbles), false);
    expect(click('#approve', false)).toBe('none');
  });
});

describe('a key', () => {
  it('presses what a hand went to, and only lends itself to what it did not', async () => {
    await tabTo('#approve');
    expect(key('#approve', 'Enter')).toBe('own');
    expect(click('#approve')).toBe('own');
    expect(click('#approve')).toBe('program');
    await later();
    expect(enterOn('#send')).toBe('lent');
    expect(click('#send')).toBe('lent');
    await later();
    // A program had it elsewhere meanwhile: what is typed there must not press what it comes back to.
    focus('#approve');
    expect(key('#approve', ' ')).toBe('lent');
  });

  it('goes on pressing what had the focus when the window was left and comes back', async () => {
    await tabTo('#approve');
    blur('#approve');
    await later();
    expect(enterOn('#approve')).toBe('own');
  });

  it('sends the form that it types in, with the button that sends it and no other', async () => {
    await tabTo('[name=text]');
    for (const other of ['#allow', '#other', '#approve']) {
      expect(key('[name=text]', 'Enter')).toBe('own');
      expect(click(other), other).toBe('program');
      await later();
    }
    expect(key('[name=text]', 'Enter')).toBe('own');
    expect(click('#send')).toBe('own');
    await later();
    key('textarea', 'Enter');
    expect(click('#send')).toBe('program');
  });

  it('sends no form by the space bar, which presses what it is on when it comes up', async () => {
    await tabTo('[name=text]');
    for (const button of ['#allow', '#send']) {
      expect(key('[name=text]', ' ')).toBe('own');
      expect(click(button), button).toBe('program');
      await later();
      expect(click(button), `${button}, while it is held`).toBe('program');
      keyUp('[name=text]', ' ');
      expect(click(button), `${button}, as it comes up`).toBe('program');
      await later();
    }
    await tabTo('#allow');
    key('#allow', ' ');
    await later();
    expect(click('#allow')).toBe('program');
    await later();
    keyUp('#allow', ' ');
    expect(click('#allow')).toBe('own');
    // It came up somewhere else.
    await tabTo('#approve');
    key('#deny', ' ');
    keyUp('#approve', ' ');
    expect(click('#approve')).toBe('program');
  });

  it.each(['a', ' ', 'Enter', 'Shift', '1', 'ArrowDown'])(
    'that moves no focus, %s, gives it to nothing that a program gives it to',
    async (name) => {
      await tabTo('#comment');
      key('#comment', name);
      focus('#approve');
      await later();
      expect(key('#approve', ' ')).toBe('lent');
      await later();
      keyUp('#approve', ' ');
      expect(click('#approve')).toBe('lent');
    },
  );

  it('moves the focus once, and not where somebody else has taken the key', async () => {
    key('#comment', 'Tab');
    focus('#deny');
    expect(enterOn('#approve')).toBe('lent');
    await later();
    const take = (event: Event): void => {
      event.preventDefault();
    };
    element('#comment').addEventListener('keydown', take, { once: true });
    key('#comment', 'Tab');
    expect(enterOn('#approve')).toBe('lent');
    await later();
    key('#comment', 'Tab', { ctrlKey: true });
    expect(enterOn('#approve')).toBe('lent');
    await later();
    key('#comment', 'Unidentified', { code: 'Tab', shiftKey: true });
    expect(enterOn('#approve')).toBe('own');
  });

  it('moves it along the buttons of a choice, and chooses', async () => {
    await tabTo('#ask');
    key('#ask', 'ArrowDown');
    focus('#pass');
    expect(click('#pass')).toBe('own');
    expect(write('#pass')).toBe('own');
    await later();
    expect(key('#pass', 'ArrowUp')).toBe('own');
    expect(click('#allow')).toBe('program');
  });

  it('moves it where the page itself does, for a hand and for nobody else', async () => {
    key('#deny', 'n');
    hands.move(() => focus('#comment'));
    await later();
    expect(key('#comment', 'Enter')).toBe('own');
    await later();
    click('#send');
    hands.move(() => focus('[name=text]'));
    await later();
    expect(key('[name=text]', 'Enter')).toBe('lent');
    expect(click('#send')).toBe('lent');
    await later();
    hands.move(() => focus('#approve'));
    expect(key('#approve', 'Enter')).toBe('lent');
  });

  describe('in the page itself', () => {
    type Move = (this: Element) => void;
    const of = (its: object, name: string): Move => Reflect.get(its, name) as Move;
    const focusIt = of(HTMLElement.prototype, 'focus');
    const showModal = of(HTMLDialogElement.prototype, 'showModal');
    const close = of(HTMLDialogElement.prototype, 'close');

    beforeEach(() => {
      page = document;
      page.body.innerHTML =
        '<main id="view"></main><input id="field"><input id="other"><dialog id="box"></dialog>';
      hands = new Hands(page, (event) => real.has(event) || event.type.startsWith('focus'));
      heedMoves(hands);
    });

    afterEach(() => {
      HTMLElement.prototype.focus = focusIt;
      Object.assign(HTMLDialogElement.prototype, { showModal, close });
      page.body.innerHTML = '';
    });

    it('moves the focus by a call that goes on for no longer than the page’s own', async () => {
      key('#view', 'n');
      element('#field').focus();
      await later();
      expect(key('#field', 'Enter')).toBe('own');
      // As over the bus: nothing of the page is at work.
      await later();
      key('#view', 'n');
      focusIt.call(element('#other'));
      await later();
      expect(key('#other', 'Enter')).toBe('lent');
      await later();
      // Where it already is, the pointer takes it over, as a terminal's field from its screen.
      down('#view');
      element('#other').focus();
      up('#view');
      await later();
      expect(key('#other', 'Enter')).toBe('own');
      const box = element('#box') as HTMLDialogElement;
      box.showModal();
      expect(box.open).toBe(true);
      box.close();
      expect(box.open).toBe(false);
    });
  });

  it('does not have the page give the focus back to what a program gave it to', async () => {
    focus('#approve');
    await later();
    // A dialog opens and closes by the person's own keys.
    key('#approve', 'n');
    hands.move(() => focus('[name=text]'));
    await later();
    key('[name=text]', 'Escape');
    hands.move(() => focus('#approve'));
    await later();
    expect(key('#approve', 'Enter')).toBe('lent');
    expect(click('#approve')).toBe('lent');
    await tabTo('#approve');
    key('#approve', 'n');
    hands.move(() => focus('[name=text]'));
    await later();
    key('[name=text]', 'Escape');
    hands.move(() => focus('#approve'));
    await later();
    expect(key('#approve', 'Enter')).toBe('own');
  });

  it('lends itself to a field that a program gave the focus to', async () => {
    await tabTo('#comment');
    focus('[name=text]');
    expect(key('[name=text]', 'x')).toBe('lent');
    expect(write('[name=text]')).toBe('lent');
    await later();
    expect(key('[name=text]', 'Enter')).toBe('lent');
    expect(click('#send')).toBe('lent');
    await later();
    down('[name=text]');
    expect(enterOn('[name=text]')).toBe('own');
  });

  it('is lent again once a hand has left the field', async () => {
    await tabTo('#comment');
    key('#comment', 'Escape');
    blur('#comment');
    await later();
    expect(enterOn('#comment')).toBe('lent');
    await tabTo('#comment');
    down('label');
    blur('#comment');
    up('label');
    await later();
    expect(enterOn('#comment')).toBe('lent');
  });
});

describe('what is written', () => {
  it('is a hand’s by a key in that very field', async () => {
    await tabTo('#comment');
    expect(write('#comment')).toBe('program');
    await later();
    key('#comment', 'x');
    expect(write('[name=text]')).toBe('program');
    await later();
    key('#comment', 'x');
    expect(write('#comment')).toBe('own');
  });

  it('is a hand’s by an input method, or by the menu of the field', async () => {
    await tabTo('#comment');
    key('#comment', 'Process');
    await later();
    expect(write('#comment')).toBe('own');
    expect(write('[name=text]')).toBe('program');
    await later();
    key('#comment', 'Unidentified', { code: 'Tab', shiftKey: true });
    await later();
    expect(write('#comment')).toBe('program');
    expect(write('#comment')).toBe('program');
    expect(write('#comment', 'insertFromComposition')).toBe('own');
    expect(write('#comment', 'insertFromPaste')).toBe('program');
    send('#comment', new MouseEvent('contextmenu', bubbles));
    expect(write('#comment', 'insertFromPaste')).toBe('own');
    expect(write('#comment')).toBe('program');
  });

  it('is typed into a task but where a program wrote it, or moved the focus', () => {
    expect(whyNotTyped('own')).toBeNull();
    // As a terminal's own answers, and what an input method brings.
    expect(whyNotTyped('none')).toBeNull();
    expect(whyNotTyped('program')).toContain('A program wrote this');
    expect(whyNotTyped('lent')).toContain('A program moved the focus');
  });
});

describe('what only a person may say', () => {
  const said: Call[] = [];
  const transport = {
    rpc: async (call: Call) => {
      said.push(call);
      return await Promise.resolve({ type: 'done' });
    },
  } as unknown as Transport;
  const fixed = (now: Hand): Pick<Hands, 'now' | 'goOn'> => ({ now, goOn: () => undefined });
  const answer = (type: 'approve' | 'deny'): Call =>
    ({ method: 'answer', params: { answer: { type } } }) as unknown as Call;

  it.each<[Hand, 'approve' | 'deny', boolean]>([
    ['own', 'approve', true],
    ['own', 'deny', true],
    ['lent', 'approve', false],
    ['lent', 'deny', true],
    ['program', 'approve', false],
    ['program', 'deny', false],
    ['none', 'approve', false],
    ['none', 'deny', false],
  ])('by a hand that is %s, %s: %s', async (hand, type, goes) => {
    said.length = 0;
    const sent = byHand(transport, fixed(hand)).rpc(answer(type));
    if (goes) await sent;
    else await expect(sent).rejects.toMatchObject({ code: 'forbidden' });
    expect(said).toHaveLength(goes ? 1 : 0);
  });

  it.each(FOR_A_PERSON)('is %s, by the access table', async (method) => {
    said.length = 0;
    const call = { method, params: { answer: { type: 'approve' } } } as unknown as Call;
    for (const hand of ['none', 'program', 'lent'] as const) {
      const sent = byHand(transport, fixed(hand)).rpc(call);
      await expect(sent).rejects.toMatchObject({ code: 'forbidden' });
    }
    expect(said).toEqual([]);
    await byHand(transport, fixed('own')).rpc(call);
    expect(said).toEqual([call]);
  });

  it('goes on when the host has replied, until a program presses something', async () => {
    const guarded = byHand(transport, hands);
    down('#approve');
    click('#approve');
    await guarded.rpc(answer('approve'));
    expect(hands.now).toBe('own');
    expect(click('#approve')).toBe('program');
    await expect(guarded.rpc(answer('approve'))).rejects.toMatchObject({ code: 'forbidden' });
  });

  it('goes on when the host has refused, so that the focus can go to what is wrong', async () => {
    const refusing = { rpc: () => Promise.reject(new Error('no')) } as unknown as Transport;
    let goes = 0;
    const its = { now: 'own' as const, goOn: () => (goes += 1) };
    await expect(byHand(refusing, its).rpc(answer('approve'))).rejects.toThrow('no');
    expect(goes).toBe(1);
  });

  it('does not concern what any program may do', async () => {
    const list = { method: 'list', params: {} } as unknown as Call;
    await byHand(transport, fixed('none')).rpc(list);
    expect(said.at(-1)).toBe(list);
  });
});
