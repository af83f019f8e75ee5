import { userEvent } from '@testing-library/user-event';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { aTask, everyState, progress } from '../../engine/fake-scenes';
import type { QueueReason, TaskState } from '../../engine/types';
import { EngineError } from '../../engine/transport';
import { openView, type OpenWindow } from '../../testing/window';

const user = userEvent.setup({ delay: null });
let window: OpenWindow;

afterEach(() => {
  window.close();
});

function row(id: number): HTMLElement {
  const found = window.all('task-row').find((item) => item.dataset.taskId === String(id));
  if (!found) throw new Error(`task ${id} has no row`);
  return found;
}

function part(id: number, test: string): HTMLElement | null {
  return row(id).querySelector(`[data-test="${test}"]`);
}

describe('the tasks', () => {
  it('are all there, in the words of the design', async () => {
    window = await openView('tasks', everyState());
    await window.find('task-row');
    expect(window.all('task-row')).toHaveLength(20);
    expect(row(9).textContent).toContain('Failed (exit 2)');
    expect(row(9).dataset.state).toBe('failed');
    expect(row(19).textContent).toContain('Needs approval');
  });

  it('say what a queued task waits for', async () => {
    const queued = (reason: QueueReason): TaskState => ({ name: 'queued', reason });
    window = await openView('tasks', {
      tasks: [
        aTask(1, { state: queued({ type: 'dependency', tasks: [7] }) }),
        aTask(2, { state: queued({ type: 'paused' }) }),
        aTask(3, { state: queued({ type: 'resource', name: 'gpu' }) }),
      ],
      requests: [],
    });
    await window.find('task-row');
    const words = [1, 2, 3].map((id) => part(id, 'row-message')?.textContent);
    expect(words).toEqual([
      'It starts after task 7.',
      'Its group is paused.',
      'It starts when gpu is free.',
    ]);
  });

  it('show a bar only as far as the engine said', async () => {
    window = await openView('tasks', {
      tasks: [aTask(1), aTask(2, { progress: progress(42.7) })],
      requests: [],
    });
    await window.find('task-row');
    const bar = (id: number): Element | null => row(id).querySelector('[role=progressbar]');
    expect(bar(1)?.hasAttribute('aria-valuenow')).toBe(false);
    expect(bar(2)?.getAttribute('aria-valuenow')).toBe('42');
    window.host.progress(2, progress(60, 'linking'));
    await expect.poll(() => bar(2)?.getAttribute('aria-valuenow')).toBe('60');
    expect(row(2).textContent).toContain('linking');
  });

  it('do not change by a click, only when the engine says so', async () => {
    window = await openView('tasks', { tasks: [aTask(1)], requests: [] });
    let release = (): void => undefined;
    window.host.gates.set('cancel', new Promise((resolve) => (release = resolve)));
    await window.find('task-row');
    const cancel = part(1, 'task-cancel');
    cancel?.click();
    cancel?.click();
    await expect.poll(() => cancel?.getAttribute('aria-busy')).toBe('true');
    expect(row(1).dataset.state).toBe('running');
    release();
    await expect.poll(() => row(1).dataset.state).toBe('stopping');
    expect(window.host.callsOf('cancel')).toHaveLength(1);
    expect(part(1, 'task-cancel')).toBeNull();
  });

  it('say what the engine refused', async () => {
    window = await openView('tasks', { tasks: [aTask(1)], requests: [] });
    window.host.refusals.set('cancel', new EngineError('storage', 'the disk is full'));
    await window.find('task-row');
    part(1, 'task-cancel')?.click();
    await expect
      .poll(() => document.querySelector('.toast')?.textContent)
      .toContain('Task 1 was not cancelled: The disk is full');
    expect(document.querySelector('.toast')?.getAttribute('role')).toBe('alert');
    expect(row(1).dataset.state).toBe('running');
  });

  it('are moved through with j and k, opened with Enter, and left with Escape', async () => {
    window = await openView('tasks', { tasks: [aTask(1), aTask(2), aTask(3)], requests: [] });
    await window.find('task-row');
    const focused = (): string | undefined =>
      document.activeElement?.closest<HTMLElement>('[data-test="task-row"]')?.dataset.taskId;
    await user.keyboard('j');
    expect(focused()).toBe('3');
    await user.keyboard('j{ArrowDown}');
    expect(focused()).toBe('1');
    await user.keyboard('k');
    expect(focused()).toBe('2');
    await user.tab();
    expect(document.activeElement).toBe(part(2, 'task-cancel'));
    await user.tab({ shift: true });
    await user.keyboard('{Enter}');
    expect((await window.find('detail')).dataset.taskId).toBe('2');
    await user.keyboard('{Escape}');
    expect(window.all('detail')).toEqual([]);
  });

  it('leave the keys alone while somebody types', async () => {
    window = await openView('history', { tasks: [aTask(1)], requests: [] });
    await user.click(await window.find('history-search'));
    await user.keyboard('n1j');
    expect(window.all('submit-go')).toEqual([]);
    expect((window.get('history-search') as HTMLInputElement).value).toBe('n1j');
    expect(window.all('history-search')).toHaveLength(1);
  });

  it('run a clock only while something runs', async () => {
    vi.useFakeTimers();
    try {
      const now = Date.now();
      const started_at = now - 60_000;
      window = await openView('tasks', { tasks: [aTask(1, { started_at })], requests: [] });
      await window.find('task-row');
      expect(row(1).textContent).toMatch(/1m 0\ds/);
      await vi.advanceTimersByTimeAsync(60_000);
      expect(row(1).textContent).toMatch(/2m 0\ds/);
      window.host.setState(1, { name: 'ended', outcome: { type: 'succeeded' } });
      await vi.advanceTimersByTimeAsync(100);
      expect(vi.getTimerCount()).toBe(0);
    } finally {
      vi.useRealTimers();
    }
  });
});
