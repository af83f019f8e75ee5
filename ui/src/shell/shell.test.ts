import { userEvent } from '@testing-library/user-event';
import { tick } from 'svelte';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { aRequest, aTask } from '../engine/fake-scenes';
import { EngineError } from '../engine/transport';
import { ARMING_DELAY } from '../shared/arming.svelte';
import { openView, openWindow, type OpenWindow } from '../testing/window';

const user = userEvent.setup({ delay: null });
const LOOSER = { hash: 'seen', changes: ['no longer asked first: touching <b>'] };
let window: OpenWindow;

afterEach(() => {
  window.close();
});

describe('the window', () => {
  it('names the key of each view as a key', async () => {
    window = await openWindow();
    const titles = ['inbox', 'tasks', 'history', 'rules', 'settings'].map(
      (view) => window.get(`nav-${view}`).title,
    );
    expect(titles).toEqual([
      ...['Needs you, key 1', 'Tasks, key 2', 'History, key 3', 'Rules, key 4'],
      'Settings, key 5',
    ]);
  });

  it('shows what waits when a notification is pressed, wherever the person is', async () => {
    window = await openWindow();
    await user.click(window.get('new-task'));
    dispatchEvent(new CustomEvent('nod:review', { detail: null }));
    await tick();
    expect(window.get('nav-inbox').getAttribute('aria-current')).toBe('page');
    expect(document.querySelector('dialog[open]')).toBeNull();
  });

  it('shows the question whose notification was pressed, with the focus on Deny', async () => {
    const task = aTask(5, { state: { name: 'waiting', open: [3, 4] } });
    window = await openView('settings', {
      tasks: [task],
      requests: [aRequest(3, 5), aRequest(4, 5)],
    });
    const review = async (detail: unknown): Promise<string | undefined> => {
      dispatchEvent(new CustomEvent('nod:review', { detail }));
      await tick();
      await tick();
      const card = document.activeElement?.closest<HTMLElement>('[data-request-id]');
      return card?.dataset.requestId;
    };
    expect(await review(4)).toBe('4');
    expect((document.activeElement as HTMLElement).dataset.test).toBe('deny');
    expect(await review(3)).toBe('3');
    // One that is answered by now is no reason to be elsewhere.
    expect(await review(77)).toBe('3');
  });

  it('shows what the host found, until it is dismissed; another finding is shown again', async () => {
    window = await openWindow(undefined, (host) => {
      host.findings = ['the history was damaged <b>'];
    });
    const banner = await window.find('findings');
    expect(banner.getAttribute('role')).toBe('alert');
    expect(banner.textContent).toContain('The history was damaged <b>');
    await user.click(window.get('dismiss-findings'));
    expect(window.all('findings')).toEqual([]);
    window.host.findings = [...window.host.findings, 'the history had lost task 3'];
    window.host.lag();
    const again = await window.find('findings');
    expect(again.textContent).toContain('task 3');
    expect(again.textContent).not.toContain('damaged');
  });

  it('says what is wrong with the config file for as long as it is, in every view', async () => {
    const error = '/home/mika/config.toml has an error at line 3\nexpected <b> `ask_first`\u202e';
    window = await openWindow(undefined, (host) => {
      host.config_error = error;
    });
    const notice = await window.find('config-error');
    expect(notice.getAttribute('role')).toBe('status');
    expect(notice.textContent).toBe(`${error.slice(0, -1)}⟨U+202E⟩`);
    await user.keyboard('4');
    expect(window.all('config-error')).toHaveLength(1);
    const say = (text: string | null): void => {
      window.host.send({ seq: 1, at: 1, change: { type: 'config', error: text } });
    };
    say(null);
    await expect.poll(() => window.all('config-error')).toEqual([]);
    say('another error');
    expect((await window.find('config-error')).textContent).toBe('another error');
  });

  it('leaves a field with Escape, so that its keys work again', async () => {
    const task = aTask(5, { state: { name: 'waiting', open: [3] } });
    window = await openView('inbox', { tasks: [task], requests: [aRequest(3, 5)] });
    await user.type(await window.find('comment'), 'n2');
    expect((window.get('comment') as HTMLInputElement).value).toBe('n2');
    await user.keyboard('{Escape}2');
    await window.find('task-row');
  });

  it('empties the search with one Escape and leaves it with the next', async () => {
    window = await openView('history', { tasks: [aTask(1)], requests: [] });
    const field = (await window.find('history-search')) as HTMLInputElement;
    const hint = (): string | undefined =>
      field.parentElement?.querySelector('kbd')?.textContent.trim();
    expect(hint()).toBe('/');
    await user.keyboard('/task');
    expect(field.value).toBe('task');
    expect(hint()).toBe('Esc');
    await user.keyboard('{Escape}');
    expect(field.value).toBe('');
    expect(document.activeElement).toBe(field);
    expect(hint()).toBe('Esc');
    await user.keyboard('{Escape}n');
    expect(field.value).toBe('');
    expect(window.all('submit-go')).toHaveLength(1);
  });
});

describe('a looser configuration', () => {
  const confirms = () => window.host.callsOf('confirm_loosening').map((call) => call.params);
  const button = (): HTMLButtonElement => window.get('confirm-loosening') as HTMLButtonElement;
  const pass = (milliseconds: number): Promise<unknown> =>
    vi.advanceTimersByTimeAsync(milliseconds);

  beforeEach(() => {
    vi.useFakeTimers();
  });

  afterEach(() => {
    vi.useRealTimers();
  });

  it('needs the person, and holds after one click on what was shown', async () => {
    window = await openWindow(undefined, (host) => {
      host.loosening = LOOSER;
    });
    const card = await window.find('loosening-card');
    expect(card.textContent).toContain('no longer asked first: touching <b>');
    expect(window.get('nav-inbox').textContent).toContain('1');
    button().click();
    expect(confirms()).toEqual([]);
    await pass(ARMING_DELAY);
    await user.dblClick(button());
    await pass(10);
    expect(confirms()).toMatchObject([{ shown: 'seen' }]);
    expect(window.all('loosening-card')).toEqual([]);
  });

  it('that changed meanwhile is looked at again', async () => {
    window = await openView('inbox');
    window.host.loosen(LOOSER);
    await window.find('loosening-card');
    await pass(ARMING_DELAY);
    window.host.loosen({ hash: 'another', changes: ['approvals in a terminal are turned on'] });
    await pass(10);
    expect(button().disabled).toBe(true);
    await pass(ARMING_DELAY);
    window.host.refusals.set('confirm_loosening', new EngineError('conflict', 'it changed'));
    await user.click(button());
    await pass(10);
    expect(window.get('loosening-card').querySelector('[role=alert]')?.textContent).toBe(
      'It changed',
    );
    expect(confirms()).toMatchObject([{ shown: 'another' }]);
  });
});
