import { userEvent } from '@testing-library/user-event';
import { afterEach, describe, expect, it } from 'vitest';
import type { FakeScene } from '../../engine/fake';
import { aTask } from '../../engine/fake-scenes';
import { EngineError } from '../../engine/transport';
import { openView, type OpenWindow } from '../../testing/window';

const user = userEvent.setup({ delay: null });
let window: OpenWindow;

afterEach(() => {
  window.close();
});

function past(count: number): FakeScene {
  const outcome = { type: 'succeeded' } as const;
  const tasks = Array.from({ length: count }, (_, n) =>
    aTask(n + 1, { label: `task ${n + 1}`, state: { name: 'ended', outcome }, ended_at: n }),
  );
  return { tasks, requests: [] };
}

const queries = () => window.host.callsOf('list').map((call) => call.params);
const button = (text: string): HTMLElement => {
  const found = [...document.querySelectorAll('button')].find((item) =>
    item.textContent.includes(text),
  );
  if (!found) throw new Error(`no button says ${text}`);
  return found;
};

describe('the history', () => {
  it('pages by the last task, newest first', async () => {
    window = await openView('history', past(230));
    await window.find('history-row');
    expect(window.all('history-row')).toHaveLength(100);
    expect(window.get('history-row').dataset.taskId).toBe('230');
    await user.click(button('Load more'));
    await expect.poll(() => window.all('history-row').length).toBe(200);
    await user.click(button('Load more'));
    await expect.poll(() => window.all('history-row').length).toBe(230);
    expect(queries().map((query) => query.before)).toEqual([null, 131, 31]);
    expect(document.body.textContent).not.toContain('Load more');
    expect(new Set(window.all('history-row').map((row) => row.dataset.taskId)).size).toBe(230);
  });

  it('searches once after the typing', async () => {
    window = await openView('history', past(30));
    await window.find('history-row');
    await user.keyboard('/');
    expect(document.activeElement).toBe(window.get('history-search'));
    await user.keyboard('task 2');
    await expect.poll(() => window.all('history-row').length).toBe(11);
    expect(queries().map((query) => query.search)).toEqual([null, 'task 2']);
  });

  it('filters by several states', async () => {
    window = await openView('history', past(3));
    await window.find('history-row');
    const filter = window.get('history-state-filter');
    filter.querySelector<HTMLElement>('[data-state=failed]')?.click();
    await expect.poll(() => document.body.textContent).toContain('No tasks match');
    filter.querySelector<HTMLElement>('[data-state=succeeded]')?.click();
    await window.find('history-row');
    expect(queries().at(-1)?.states).toEqual(['failed', 'succeeded']);
    expect(filter.querySelectorAll('[aria-pressed=true]')).toHaveLength(2);
  });

  it('shows only the reply to the latest question', async () => {
    window = await openView('history', past(3));
    await window.find('history-row');
    let release = (): void => undefined;
    window.host.gates.set('list', new Promise((resolve) => (release = resolve)));
    const filter = window.get('history-state-filter');
    filter.querySelector<HTMLElement>('[data-state=failed]')?.click();
    await expect.poll(() => queries().length).toBe(2);
    window.host.gates.clear();
    filter.querySelector<HTMLElement>('[data-state=failed]')?.click();
    await expect.poll(() => queries().length).toBe(3);
    release();
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(window.all('history-row')).toHaveLength(3);
  });

  it('says what went wrong, and tries again', async () => {
    window = await openView('tasks', past(3));
    window.host.refusals.set('list', new EngineError('storage', 'the file is damaged'));
    await user.click(window.get('nav-history'));
    await expect.poll(() => document.body.textContent).toContain('The file is damaged');
    window.host.refusals.clear();
    await user.click(button('Try again'));
    await window.find('history-row');
    expect(document.body.textContent).not.toContain('The file is damaged');
  });

  it('shows a task as the engine last said it is', async () => {
    window = await openView('history', { tasks: [aTask(1)], requests: [] });
    const row = await window.find('history-row');
    window.host.setState(1, { name: 'ended', outcome: { type: 'timed_out' } });
    await expect.poll(() => row.dataset.state).toBe('timed_out');
  });

  it('takes in what is new, and keeps the pages after it', async () => {
    window = await openView('history', past(230));
    await window.find('history-row');
    await user.click(button('Load more'));
    await expect.poll(() => window.all('history-row').length).toBe(200);
    window.host.setTask(aTask(231, { label: 'a new one' }));
    await expect.poll(() => window.get('history-row').dataset.taskId).toBe('231');
    const ids = window.all('history-row').map((row) => Number(row.dataset.taskId));
    expect(ids).toEqual(Array.from({ length: 201 }, (_, n) => 231 - n));
    await user.click(button('Load more'));
    await expect.poll(() => window.all('history-row').length).toBe(231);
  });

  it('shows no gap where more is new than one page holds', async () => {
    window = await openView('history', past(3));
    await window.find('history-row');
    for (let id = 4; id <= 203; id += 1) window.host.setTask(aTask(id));
    await expect.poll(() => window.get('history-row').dataset.taskId).toBe('203');
    await user.click(button('Load more'));
    await user.click(button('Load more'));
    await expect.poll(() => window.all('history-row').length).toBe(203);
  });

  it('finds what comes to match the filter', async () => {
    window = await openView('history', { tasks: [aTask(1)], requests: [] });
    await window.find('history-row');
    window.get('history-state-filter').querySelector<HTMLElement>('[data-state=failed]')?.click();
    await expect.poll(() => document.body.textContent).toContain('No tasks match');
    const failure = { type: 'exit', code: 2 } as const;
    window.host.setState(1, { name: 'ended', outcome: { type: 'failed', failure } });
    await window.find('history-row');
  });

  it('runs a task again once, and shows the new one', async () => {
    window = await openView('history', past(2));
    await window.find('history-row');
    await user.dblClick(window.get('run-again'));
    expect((await window.find('detail')).dataset.taskId).toBe('3');
    expect(window.host.callsOf('run_again')).toHaveLength(1);
    expect(window.get('nav-tasks').getAttribute('aria-current')).toBe('page');
  });
});
