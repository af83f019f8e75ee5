import { userEvent } from '@testing-library/user-event';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { aRequest, aTask } from '../../engine/fake-scenes';
import { EngineError } from '../../engine/transport';
import type { Shown, Wants } from '../../engine/types';
import { openView, type OpenWindow } from '../../testing/window';
import { ARMING_DELAY } from '../arming.svelte';
import { SETTLE_DELAY } from './settling';

const user = userEvent.setup({ delay: null });

describe('a card that wants more than yes or no', () => {
  let window: OpenWindow;
  const answers = () => window.host.callsOf('answer').map((call) => call.params);
  const button = (): HTMLButtonElement => window.get('answer') as HTMLButtonElement;
  const arm = (): Promise<unknown> => vi.advanceTimersByTimeAsync(ARMING_DELAY);
  const settle = (): Promise<unknown> => vi.advanceTimersByTimeAsync(10);

  async function open(wants: Wants, shown: Partial<Shown> = {}): Promise<HTMLElement> {
    const request = aRequest(3, 5, { shown: { ...aRequest(3, 5).shown, ...shown, wants } });
    window = await openView('inbox', {
      tasks: [aTask(5, { state: { name: 'waiting', open: [3] } })],
      requests: [request],
    });
    return window.find('request-card');
  }

  /** Returns a field of the form by its place. */
  const inForm = (n: number): HTMLElement =>
    window.get('answer-fields').querySelectorAll('input')[n] as HTMLElement;

  /** Writes into a field as a program does over the accessibility bus. */
  function write(field: HTMLElement, text: string): void {
    (field as HTMLInputElement).value = text;
    field.dispatchEvent(new InputEvent('input', { bubbles: true }));
  }

  beforeEach(() => {
    vi.useFakeTimers();
  });

  afterEach(() => {
    window.close();
    vi.useRealTimers();
  });

  it('takes one of its choices, with a comment, and shows it afterwards', async () => {
    await open({ type: 'choice', choices: ['eu', 'us'], default: null });
    expect(document.activeElement).toBe(window.get('deny'));
    await arm();
    expect(button().disabled).toBe(true);
    await user.click(window.all('choice')[1] as HTMLElement);
    await user.type(window.get('comment'), 'Nearer');
    await user.click(button());
    await settle();
    expect(answers()).toMatchObject([
      { answer: { type: 'choice', choice: 'us' }, comment: 'Nearer', shown: 'hash-of-3' },
    ]);
    const card = window.get('request-card');
    expect(card.textContent).toContain('Answered by a person in the window');
    expect(card.textContent).toContain('Nearer');
    const [eu, us] = window.all('choice') as HTMLInputElement[];
    expect([eu?.checked, us?.checked]).toEqual([false, true]);
    expect(us?.matches(':disabled')).toBe(true);
  });

  it('begins with the default, and cannot be answered by what was on its way', async () => {
    await open({ type: 'text', default: 'main' });
    expect((window.get('answer-text') as HTMLTextAreaElement).value).toBe('main');
    await user.click(button());
    window.get('answer-text').focus();
    await user.keyboard('{Control>}{Enter}{/Control}');
    await settle();
    expect(answers()).toEqual([]);
    await arm();
    await user.clear(window.get('answer-text'));
    await user.type(window.get('answer-text'), 'release{Enter}2{Control>}{Enter}{/Control}');
    await settle();
    expect(answers()[0]?.answer).toEqual({ type: 'text', text: 'release\n2' });
  });

  it('keeps what was written when the engine reminds of it', async () => {
    await open({ type: 'text', default: null });
    await user.type(window.get('answer-text'), 'half');
    const request = window.host.requests.get(3);
    if (request) window.host.open({ ...request, remind_ms: 1_000 });
    await settle();
    expect((window.get('answer-text') as HTMLTextAreaElement).value).toBe('half');
    expect(window.all('changed')).toEqual([]);
  });

  it('says that it changed, and is armed anew', async () => {
    await open({ type: 'text', default: 'main' });
    await arm();
    expect(button().disabled).toBe(false);
    const request = window.host.requests.get(3);
    if (!request) throw new Error();
    const shown = { ...request.shown, question: 'Which branch, really?' };
    window.host.open({ ...request, hash: 'another', shown });
    await settle();
    expect(window.get('changed').textContent).toContain('has changed');
    expect(button().disabled).toBe(true);
    await arm();
    await user.click(button());
    await settle();
    expect(answers()).toMatchObject([{ shown: 'another' }]);
  });

  const schema = {
    properties: { name: { type: 'string' }, many: { type: 'integer' }, sure: { type: 'boolean' } },
  };

  it.each<[string, Wants, () => void]>([
    [
      'choice',
      { type: 'choice', choices: ['eu', 'us'], default: 'eu' },
      () => window.all('choice')[1]?.click(),
    ],
    [
      'text',
      { type: 'text', default: 'main' },
      () => {
        write(window.get('answer-text'), 'evil');
      },
    ],
    [
      'field',
      { type: 'form', schema, initial: null },
      () => {
        write(inForm(0), 'evil');
      },
    ],
    [
      'number',
      { type: 'form', schema, initial: null },
      () => {
        write(inForm(1), '7');
      },
    ],
    [
      'yes',
      { type: 'form', schema, initial: null },
      () => {
        inForm(2).click();
      },
    ],
    [
      'comment',
      { type: 'choice', choices: ['eu'], default: 'eu' },
      () => {
        write(window.get('comment'), 'evil');
      },
    ],
  ])('is armed anew when a program makes its %s another one', async (_, wants, change) => {
    await open(wants);
    await arm();
    window.host.hand = () => 'program';
    change();
    await settle();
    window.host.hand = () => 'own';
    expect(button().disabled).toBe(true);
    window.all('choice')[0]?.focus();
    await user.keyboard('{Control>}{Enter}{/Control}');
    await user.click(button());
    await settle();
    expect(answers()).toEqual([]);
    await arm();
    await user.click(button());
    await settle();
    expect(answers()).toHaveLength(1);
  });

  it('is armed no later because the person writes', async () => {
    await open({ type: 'form', schema, initial: null });
    await vi.advanceTimersByTimeAsync(ARMING_DELAY - 50);
    await user.type(inForm(0), 'ミカ');
    await vi.advanceTimersByTimeAsync(60);
    expect(button().disabled).toBe(false);
    // Not for a moment: a screen reader would say so at each key.
    const changes = vi.fn();
    const observer = new MutationObserver(changes);
    observer.observe(button(), { attributeFilter: ['disabled'] });
    await user.type(inForm(0), 'さん');
    expect(changes).not.toHaveBeenCalled();
    observer.disconnect();
    await user.click(inForm(2));
    await user.type(window.get('comment'), 'quick');
    await user.click(button());
    await settle();
    expect(answers()).toMatchObject([
      { answer: { type: 'form', data: { name: 'ミカさん', sure: true } }, comment: 'quick' },
    ]);
  });

  it('has the errors of the engine at the fields, and the focus on the first', async () => {
    const schema = {
      required: ['mail'],
      properties: { name: { type: 'string' }, mail: { type: 'string' } },
    };
    await open({ type: 'form', schema, initial: null });
    await arm();
    const fields = [{ field: '/mail', message: 'this is required' }];
    window.host.refusals.set(
      'answer',
      new EngineError('invalid', 'the answer does not fit', fields),
    );
    await user.click(button());
    await settle();
    const mail = document.querySelector<HTMLInputElement>('[data-field="/mail"] input');
    expect(mail?.getAttribute('aria-invalid')).toBe('true');
    expect(window.get('field-error').textContent).toBe('This is required.');
    expect(document.activeElement).toBe(mail);
    window.host.refusals.clear();
    await user.keyboard('a@b');
    await user.click(button());
    await settle();
    expect(answers().at(-1)?.answer).toEqual({ type: 'form', data: { mail: 'a@b' } });
  });

  it('says what the engine refused where no field is to blame', async () => {
    await open({ type: 'text', default: 'x' });
    await arm();
    window.host.refusals.set('answer', new EngineError('invalid', 'the text is too long'));
    await user.click(button());
    await settle();
    expect(window.get('request-card').querySelector('[role=alert]')?.textContent).toBe(
      'The text is too long',
    );
  });

  it('denies with what was written as the comment', async () => {
    await open({ type: 'text', default: null });
    await user.type(window.get('comment'), 'No idea');
    await user.click(window.get('deny'));
    await user.click(window.get('deny-confirm'));
    await settle();
    expect(answers()).toMatchObject([
      { answer: { type: 'deny', reason: 'No idea' }, comment: null },
    ]);
  });

  it('shows a diff as text', async () => {
    const card = await open(
      { type: 'text', default: null },
      { diff: '--- a\n+++ b\n@@ -1 +1 @@\n-\u001b[2J<b>old</b>\n+new\n' },
    );
    expect(window.get('diff').textContent).toContain('-⟨ESC⟩[2J<b>old</b>');
    expect(card.querySelector('b')).toBeNull();
    expect(card.querySelector('.added')?.textContent).toBe('+new');
  });
});

describe('closed cards', () => {
  let window: OpenWindow;
  const pass = (milliseconds: number): Promise<unknown> =>
    vi.advanceTimersByTimeAsync(milliseconds);
  const order = (): (string | undefined)[] =>
    window.all('request-card').map((card) => card.dataset.requestId);

  beforeEach(async () => {
    vi.useFakeTimers();
    const ids = [1, 2, 3];
    window = await openView('inbox', {
      tasks: ids.map((id) => aTask(id, { state: { name: 'waiting', open: [id] } })),
      requests: ids.map((id) => aRequest(id, id)),
    });
    await window.find('request-card');
  });

  afterEach(() => {
    window.close();
    vi.useRealTimers();
  });

  it('stay in their places for a while, then are lines below the open ones', async () => {
    window.host.close(2, { type: 'withdrawn', why: 'the task ended', at: 1 });
    await pass(SETTLE_DELAY - 100);
    expect(order()).toEqual(['1', '2', '3']);
    await pass(200);
    expect(order()).toEqual(['1', '3', '2']);
    const line = window.all('request-card')[2];
    expect(line?.querySelector('button')?.textContent).toContain('Withdrawn: the task ended');
    expect(window.all('deny')).toHaveLength(2);
  });

  it('are not lines while they have the focus', async () => {
    window.host.close(1, { type: 'expired', at: 1 });
    await pass(10);
    document.querySelector<HTMLElement>('[data-request-id="1"] summary')?.focus();
    await pass(2 * SETTLE_DELAY);
    expect(order()).toEqual(['1', '2', '3']);
    window.all('deny')[0]?.focus();
    await pass(1_000);
    expect(order()).toEqual(['2', '3', '1']);
    expect(document.activeElement).toBe(window.all('deny')[0]);
  });
});
