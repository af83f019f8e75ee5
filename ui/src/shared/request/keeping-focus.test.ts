import { userEvent } from '@testing-library/user-event';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { aRequest, aTask, everyQuestion } from '../../engine/fake-scenes';
import { EngineError } from '../../engine/transport';
import { openView, openWindow, type OpenWindow } from '../../testing/window';
import { ARMING_DELAY } from '../arming.svelte';

const user = userEvent.setup({ delay: null });
let window: OpenWindow;

const pass = (milliseconds: number): Promise<unknown> => vi.advanceTimersByTimeAsync(milliseconds);
const focused = (): string => {
  const active = document.activeElement as HTMLElement;
  const card = active.closest<HTMLElement>('[data-request-id]');
  return [card?.dataset.requestId, active.dataset.test].filter(Boolean).join(' ');
};

/** Questions of one task: what was approved lets it wait for the others. */
function three(): Parameters<typeof openView>[1] {
  const state = { name: 'waiting', open: [1, 2, 3] } as const;
  return {
    tasks: [aTask(5, { state: { ...state, open: [...state.open] } })],
    requests: [1, 2, 3].map((id) => aRequest(id, 5, { created_at: id })),
  };
}

beforeEach(() => {
  vi.useFakeTimers();
});

afterEach(() => {
  window.close();
  vi.useRealTimers();
});

describe('the focus', () => {
  it('moves on to the next question, and at last to the view, whatever answers by keyboard', async () => {
    window = await openView('inbox', three());
    await window.find('request-card');
    await pass(ARMING_DELAY);
    expect(focused()).toBe('1 deny');
    await user.keyboard('{Tab}{Enter}');
    await pass(10);
    expect(focused()).toBe('2 deny');
    await user.keyboard('{Enter}');
    await pass(10);
    await user.keyboard('not now{Enter}');
    await pass(10);
    expect(focused()).toBe('3 deny');
    await user.keyboard('{Tab}{Tab}ok');
    expect(focused()).toBe('3 comment');
    await user.keyboard('{Shift>}{Tab}{/Shift} ');
    await pass(10);
    expect(focused()).toBe('inbox');
    // The keys of the window work from there.
    await user.keyboard('2');
    await window.find('task-row');
  });

  it('goes back to the first question that waits, from the last one', async () => {
    window = await openView('inbox', three());
    await window.find('request-card');
    await pass(ARMING_DELAY);
    await user.keyboard('jj{Tab}{Enter}');
    await pass(10);
    expect(focused()).toBe('1 deny');
  });

  it('moves on from a choice, a text and a form', async () => {
    window = await openView('inbox', everyQuestion());
    await window.find('request-card');
    await pass(ARMING_DELAY);
    const chosen = document.querySelector<HTMLElement>('input[type=radio]:checked');
    chosen?.focus();
    await user.keyboard('{Control>}{Enter}{/Control}');
    await pass(10);
    expect(focused()).toBe('2 deny');
    await user.keyboard('{Shift>}{Tab}{/Shift}done{Control>}{Enter}{/Control}');
    await pass(10);
    expect(focused()).toBe('3 deny');
    await user.keyboard('{Tab}{Enter}');
    await pass(10);
    expect(window.host.callsOf('answer')).toHaveLength(3);
    expect(focused()).toBe('inbox');
  });

  it('moves on from a configuration that was confirmed', async () => {
    window = await openWindow(three(), (host) => {
      host.loosening = { hash: 'seen', changes: ['less'] };
    });
    await window.find('loosening-card');
    await pass(ARMING_DELAY);
    window.get('confirm-loosening').focus();
    await user.keyboard('{Enter}');
    await pass(10);
    expect(window.all('loosening-card')).toEqual([]);
    expect(focused()).toBe('1 deny');
  });

  it('moves on where a question closes by itself, and stays where the person went meanwhile', async () => {
    window = await openView('inbox', three());
    await window.find('request-card');
    window.host.close(1, { type: 'expired', at: 1 });
    await pass(10);
    expect(focused()).toBe('2 deny');
    window.get('nav-history').focus();
    window.host.close(2, { type: 'expired', at: 1 });
    await pass(10);
    expect(focused()).toBe('nav-history');
  });

  it('stays in the view of a task', async () => {
    window = await openView('tasks', three());
    await user.click((await window.find('task-row')).querySelector('[data-row]') as HTMLElement);
    await window.find('request-card');
    await pass(ARMING_DELAY);
    for (const next of ['2 deny', '3 deny', 'detail']) {
      expect(focused()).toMatch(/deny/);
      await user.keyboard('{Tab}{Enter}');
      await pass(10);
      expect(focused()).toBe(next);
    }
  });

  it('comes back to what was pressed where the engine refuses it', async () => {
    window = await openView('inbox', three());
    await window.find('request-card');
    await pass(ARMING_DELAY);
    window.host.refusals.set('answer', new EngineError('storage', 'the disk is full'));
    await user.keyboard('{Tab}{Enter}');
    await pass(10);
    expect(focused()).toBe('1 approve');
    await user.keyboard('{Shift>}{Tab}{/Shift}{Enter}');
    await pass(10);
    await user.keyboard('why{Enter}');
    await pass(10);
    expect(focused()).toBe('1 deny-reason');
  });

  it('takes no key that is held down, which would answer what it moves to', async () => {
    window = await openView('inbox', three());
    await window.find('request-card');
    const held = (key: string): boolean | undefined =>
      document.activeElement?.dispatchEvent(
        new KeyboardEvent('keydown', { key, repeat: true, bubbles: true, cancelable: true }),
      );
    expect([held('Enter'), held(' '), held('x')]).toEqual([false, false, true]);
    await user.keyboard('{Enter}');
    await pass(10);
    expect(focused()).toBe('1 deny-reason');
    expect([held('Enter'), held(' ')]).toEqual([false, true]);
  });
});
