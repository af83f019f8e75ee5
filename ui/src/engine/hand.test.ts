import { beforeEach, describe, expect, it } from 'vitest';
import { byHand } from './by-hand';
import { Hands, type Hand } from './hand';
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

const down = (target: string): Hand =>
  send(target, new MouseEvent('pointerdown', { bubbles: true }));
const click = (target: string, isReal = true): Hand =>
  send(target, new MouseEvent('click', { bubbles: true }), isReal);
const key = (target: string, name: string): Hand =>
  send(target, new KeyboardEvent('keydown', { key: name, bubbles: true }));
const focus = (target: string): Hand => send(target, new FocusEvent('focusin', { bubbles: true }));
const later = (): Promise<void> => new Promise((resolve) => setTimeout(resolve));

beforeEach(() => {
  page = document.implementation.createHTMLDocument();
  page.body.innerHTML =
    '<label>Always <input type="checkbox" id="always"></label>' +
    '<form><input name="text"><button id="send">Send</button></form>' +
    '<button id="approve"><span>Approve</span></button><button id="deny">Deny</button>';
  hands = new Hands(page, (event) => real.has(event));
});

describe('a hand', () => {
  it('is at work in a click that the pointer has begun, once', async () => {
    down('#approve span');
    expect(click('#approve')).toBe('own');
    await later();
    expect(hands.now).toBe('none');
    expect(click('#approve')).toBe('none');
  });

  it('is not at work in a click that nothing has begun, or that began elsewhere', async () => {
    expect(click('#approve')).toBe('none');
    down('#deny');
    expect(click('#approve')).toBe('none');
    await later();
    key('[name=text]', 'Enter');
    await later();
    expect(click('#approve')).toBe('none');
  });

  it('is at work in what a click on a label clicks', () => {
    down('label');
    let seen: Hand = 'none';
    element('#always').addEventListener('click', (event) => {
      seen = hands.now;
      real.add(event);
    });
    const event = new MouseEvent('click', { bubbles: true });
    real.add(event);
    element('label').dispatchEvent(event);
    expect(seen).toBe('own');
  });

  it('is not at work in what a script of the page sends', () => {
    send('#approve', new MouseEvent('pointerdown', { bubbles: true }), false);
    expect(click('#approve', false)).toBe('none');
  });

  it('presses by a key what a hand went to, and only lends itself to what it did not', async () => {
    key('#deny', 'Tab');
    focus('#approve');
    await later();
    expect(key('#approve', 'Enter')).toBe('own');
    expect(click('#approve')).toBe('own');
    await later();
    focus('#send');
    expect(key('#send', 'Enter')).toBe('lent');
    expect(click('#send')).toBe('lent');
    await later();
    // It never left, as far as hands go.
    expect(key('#approve', ' ')).toBe('own');
    await later();
    expect(click('#approve')).toBe('own');
  });

  it('sends the form that it types in', async () => {
    focus('[name=text]');
    expect(key('[name=text]', 'Enter')).toBe('own');
    expect(click('#send')).toBe('own');
    await later();
    expect(click('#approve')).toBe('none');
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
    ['none', 'approve', false],
    ['none', 'deny', false],
  ])('by a hand that is %s, %s: %s', async (hand, type, goes) => {
    said.length = 0;
    const sent = byHand(transport, fixed(hand)).rpc(answer(type));
    if (goes) await sent;
    else await expect(sent).rejects.toMatchObject({ code: 'forbidden' });
    expect(said).toHaveLength(goes ? 1 : 0);
  });

  it.each<Call['method']>(['confirm_loosening', 'allow_notification_approvals', 'add_rule'])(
    'is %s, too',
    async (method) => {
      said.length = 0;
      const call = { method, params: {} } as unknown as Call;
      for (const hand of ['none', 'lent'] as const) {
        const sent = byHand(transport, fixed(hand)).rpc(call);
        await expect(sent).rejects.toMatchObject({ code: 'forbidden' });
      }
      expect(said).toEqual([]);
      await byHand(transport, fixed('own')).rpc(call);
      expect(said).toEqual([call]);
    },
  );

  it('goes on when the host has replied, until a program presses something', async () => {
    const guarded = byHand(transport, hands);
    down('#approve');
    click('#approve');
    await guarded.rpc(answer('approve'));
    expect(hands.now).toBe('own');
    expect(click('#approve')).toBe('none');
    await expect(guarded.rpc(answer('approve'))).rejects.toMatchObject({ code: 'forbidden' });
  });

  it('does not concern what any program may do', async () => {
    const list = { method: 'list', params: {} } as unknown as Call;
    await byHand(transport, fixed('none')).rpc(list);
    expect(said.at(-1)).toBe(list);
  });
});
