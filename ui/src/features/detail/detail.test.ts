import { userEvent } from '@testing-library/user-event';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { FakeScene } from '../../engine/fake';
import { aRequest, aSchedule, aTask, everyState } from '../../engine/fake-scenes';
import { EngineError } from '../../engine/transport';
import type { Attempt } from '../../engine/types';
import { openView, type OpenWindow } from '../../testing/window';

const user = userEvent.setup({ delay: null });
let window: OpenWindow;
const written: string[] = [];

vi.mock('./terminal', () => ({
  openTerminal: () => ({
    write: (bytes: Uint8Array, done: () => void) => {
      written.push(new TextDecoder().decode(bytes));
      done();
    },
    clear: () => undefined,
    dispose: () => undefined,
  }),
}));

beforeEach(() => {
  written.length = 0;
});

afterEach(() => {
  window.close();
});

async function openTask(id: number, scene: FakeScene): Promise<HTMLElement> {
  window = await openView('tasks', scene);
  await window.find('task-row');
  const row = window.all('task-row').find((item) => item.dataset.taskId === String(id));
  row?.querySelector<HTMLElement>('[data-row]')?.click();
  return window.find('detail');
}

describe('the detail of a task', () => {
  it('says what it is, where it stands and why', async () => {
    const detail = await openTask(4, everyState());
    expect(window.get('detail-state').textContent.trim()).toBe('Denied');
    expect(window.get('detail-why').textContent).toContain('Not before the backup is verified.');
    expect(detail.textContent).toContain('/home/mika/work/harbour');
    expect(window.all('detail-cancel')).toEqual([]);
    expect(window.get('run-again')).toBeDefined();
  });

  it('says when the task may start and what came of its earlier tries', async () => {
    const schedule = aSchedule({
      ...{ group: 'build', priority: 5, after: [{ task: 7, any: false }], key: 'nightly' },
      ...{ not_before: Date.UTC(2031, 0, 2, 12), uses: { gpu: 2 } },
      retry: { retries: 3, left: 1, backoff_ms: 1000 },
    });
    const attempt = {
      ...{ number: 1, process: 1, started_at: 1, exited_at: 2, ended_at: 2, exit: null },
      ...{ peak_memory: null, cpu_ms: null, left: [], log_path: '/x/1-1/out.log' },
      outcome: { type: 'failed' as const, failure: { type: 'exit' as const, code: 3 } },
    };
    const detail = await openTask(1, {
      tasks: [aTask(1, { schedule, attempt: 2 })],
      requests: [],
      details: new Map([[1, { attempts: [attempt] }]]),
    });
    await user.click((await window.find('attempts')).querySelector('summary') as HTMLElement);
    await expect.poll(() => detail.textContent).toContain('Failed (exit 3)');
    for (const words of ['build', '5', 'task 7', 'nightly', '2 of gpu', '1 of 3', '2031']) {
      expect(detail.textContent).toContain(words);
    }
  });

  it('says what a stopping task waits for, and what follows', async () => {
    const detail = await openTask(12, everyState());
    const words = detail.textContent.replaceAll(/\s+/g, ' ');
    expect(words).toMatch(/SIGINT was sent, SIGTERM in [45]s/);
    expect(words).toContain('Waits for node (4711), esbuild (4712)');
    expect(words).toContain('cannot kill pid 4713 of root');
  });

  it('pauses and resumes, each click once', async () => {
    await openTask(1, { tasks: [aTask(1)], requests: [] });
    await user.click(window.get('detail-pause'));
    await expect.poll(() => window.get('detail-state').textContent.trim()).toBe('Paused');
    expect(window.get('detail-pause').textContent.trim()).toBe('Resume');
    await user.click(window.get('detail-pause'));
    await expect.poll(() => window.get('detail-state').textContent.trim()).toBe('Running');
    const calls = (['pause', 'resume'] as const).flatMap((verb) => window.host.callsOf(verb));
    expect(calls.map((call) => call.params.id)).toEqual([1, 1]);
  });

  it('says that the disk is full, and what the task seems to ask', async () => {
    const condition = {
      paused: false,
      disk_full: true,
      unbounded_log: true,
      wants_input: false,
      prompt: 'Overwrite? (y/n)',
    };
    await openTask(1, { tasks: [aTask(1, { condition })], requests: [] });
    expect(window.get('detail-state').textContent.trim()).toBe('Needs input');
    expect(window.get('detail-why').textContent).toContain('The disk is full');
    expect(window.get('detail-why').textContent).toContain('grows past its bound');
    expect(window.get('detail-why').textContent).toContain('Overwrite? (y/n)');
    window.host.setState(1, { name: 'ended', outcome: { type: 'succeeded' } });
  });

  it('asks again whenever the engine says that the task changed', async () => {
    await openTask(1, { tasks: [aTask(1), aTask(2)], requests: [] });
    const shows = (): number => window.host.callsOf('show').length;
    await expect.poll(shows).toBe(1);
    window.host.setState(1, { name: 'ended', outcome: { type: 'succeeded' } });
    await expect.poll(shows).toBe(2);
    window.host.setState(2, { name: 'ended', outcome: { type: 'succeeded' } });
    window.host.progress(1, null);
    await new Promise((resolve) => setTimeout(resolve, 60));
    expect(shows()).toBe(2);
    expect(window.get('detail-state').textContent.trim()).toBe('Succeeded');
  });

  it('shows the output as it is written', async () => {
    await openTask(1, { tasks: [aTask(1)], requests: [], logs: new Map([[1, 'one\r\n']]) });
    await expect.poll(() => written.join('')).toBe('one\r\n');
    window.host.print(1, 'two\r\n');
    expect(written.join('')).toBe('one\r\ntwo\r\n');
  });

  it('shows the end of a long log, from a whole line on, and where all of it is', async () => {
    const log = 'x'.repeat(99).concat('\n').repeat(10_000);
    const detail = await openTask(1, {
      tasks: [aTask(1)],
      requests: [],
      logs: new Map([[1, log]]),
    });
    await expect.poll(() => written.length).toBe(1);
    expect(written[0]?.length).toBeLessThanOrEqual(256 * 1024);
    expect(written[0]?.length).toBeGreaterThan(256 * 1024 - 100);
    expect(written[0]?.startsWith('x'.repeat(99))).toBe(true);
    await expect.poll(() => detail.textContent).toContain('Earlier output is not shown');
    expect(detail.textContent).toContain('/home/mika/.local/share/nod/tasks/1-1/out.log');
  });

  it('says that a task printed nothing only once that is known', async () => {
    let look = (): void => undefined;
    const looking = new Promise<void>((resolve) => (look = resolve));
    const state = { name: 'ended' as const, outcome: { type: 'succeeded' as const } };
    const tasks = [aTask(1, { ended_at: 2, state })];
    window = await openView('tasks', { tasks, requests: [] });
    window.host.gates.set('read_log', looking);
    (await window.find('task-row')).querySelector<HTMLElement>('[data-row]')?.click();
    const detail = await window.find('detail');
    await expect.poll(() => window.host.callsOf('read_log').length).toBe(1);
    expect(detail.textContent).not.toContain('printed nothing');
    look();
    await expect.poll(() => detail.textContent).toContain('It printed nothing.');
  });

  it('asks for no log of a task that never ran', async () => {
    const detail = await openTask(4, everyState());
    expect(detail.textContent).toContain('It never ran.');
    expect(window.host.callsOf('read_log')).toEqual([]);
  });

  it('shows the output of another task when another is opened', async () => {
    const logs = new Map([
      [1, 'first'],
      [2, 'second'],
    ]);
    await openTask(1, { tasks: [aTask(1), aTask(2)], requests: [], logs });
    await expect.poll(() => written.join('')).toBe('first');
    window.all('task-row')[0]?.querySelector<HTMLElement>('[data-row]')?.click();
    await expect.poll(() => written.join('')).toBe('firstsecond');
    window.host.print(1, 'late');
    expect(written.join('')).toBe('firstsecond');
  });

  it('carries the open request, and among the closed ones who answered', async () => {
    const closure = {
      type: 'answered',
      answer: { type: 'deny', reason: 'Wrong database' },
      comment: null,
      by: { type: 'person', surface: 'window' },
      at: 1_000,
    } as const;
    const task = aTask(5, { state: { name: 'waiting', open: [3] } });
    const requests = [aRequest(2, 5, { closure }), aRequest(3, 5)];
    const detail = await openTask(5, { tasks: [task], requests });
    expect(window.get('request-card').dataset.requestId).toBe('3');
    await expect.poll(() => window.get('tab-audit').textContent).toContain('1');
    await user.click(window.get('tab-audit'));
    await window.find('audit-row');
    expect(detail.textContent).toContain('Denied by a person in the window');
    expect(detail.textContent).toContain('Wrong database');
  });

  it('shows a refused cancel beside the button', async () => {
    const detail = await openTask(1, { tasks: [aTask(1)], requests: [] });
    window.host.refusals.set('cancel', new EngineError('conflict', 'task 1 has ended'));
    await user.click(window.get('detail-cancel'));
    await expect
      .poll(() => detail.querySelector('[role=alert]')?.textContent)
      .toBe('Task 1 has ended');
  });

  it('shows what the task gave as its result, with every digit', async () => {
    const data = { id: 12_345_678_901_234_567_000, list: ['二\u202e'] };
    const condition = { ...aTask(1).condition, said: { type: 'result' as const, data } };
    await openTask(1, { tasks: [aTask(1, { condition })], requests: [] });
    expect(window.get('task-says').textContent).toContain('⟨U+202E⟩');
    window.host.details.set(1, { result_text: '{"id":12345678901234567890}' });
    window.host.setState(1, { name: 'ended', outcome: { type: 'succeeded' } });
    await expect
      .poll(() => window.get('task-says').textContent)
      .toContain('"id": 12345678901234567890');
  });

  it('shows why a task fails once, in its own words', async () => {
    const message = 'no disk\u001b[2J';
    const condition = { ...aTask(1).condition, said: { type: 'failed' as const, message } };
    const outcome = { type: 'failed' as const, failure: { type: 'said' as const, message } };
    const state = { name: 'ended' as const, outcome };
    const detail = await openTask(1, { tasks: [aTask(1, { condition, state })], requests: [] });
    expect(window.get('task-says').textContent).toContain('no disk⟨ESC⟩[2J');
    expect(detail.textContent.split('no disk').length).toBe(2);
  });

  it.each([
    ['reported', 40, 'Reported by the task'],
    ['output', 40, 'Read from the output'],
    ['terminal', null, 'Told by the program to its terminal'],
  ] as const)('says where a bar comes from: %s', async (source, percent, words) => {
    const progress = { percent, message: 'compiling', phase: 0, phase_name: null, source };
    const task = aTask(1, { state: { name: 'running' }, progress });
    const detail = await openTask(1, { tasks: [task], requests: [] });
    const bar = detail.querySelector<HTMLElement>('[role=progressbar]');
    const beside = detail.querySelector<HTMLElement>('.message');
    expect([bar?.title, beside?.title]).toEqual([words, words]);
    expect(beside?.textContent).toContain(percent === null ? 'compiling' : '40 %');
  });

  it('names the tries before this one, and says of what there is more', async () => {
    const attempt = (number: number): Attempt => ({
      ...{ number, process: 1, started_at: 1, exited_at: 2, ended_at: 2, exit: null, left: [] },
      ...{ outcome: { type: 'lost', why: 'no shim\u202e' }, peak_memory: null, cpu_ms: null },
      ...{ log_path: `/tasks/1-${number}/\u202eout.log` },
    });
    const left_out = { attempts: 7, tails: 0, requests: 0, events: 1, variables: 2, argv: false };
    const events = [{ seq: 1, at: 1, what: 'started', detail: null }];
    const attempts = [8, 9, 10].map(attempt);
    const detail = await openTask(1, {
      ...{ tasks: [aTask(1, { attempt: 10 })], requests: [] },
      details: new Map([[1, { attempts, events, left_out }]]),
    });
    const its = await window.find('attempts');
    expect(its.textContent.trim()).toBe('9 earlier attempts');
    await user.click(its.querySelector('summary') as HTMLElement);
    const all = (): HTMLElement[] => [...its.querySelectorAll('li')];
    await expect.poll(all).toHaveLength(2);
    const rows = all();
    expect(rows.map((row) => row.querySelector('.number')?.textContent)).toEqual(['9', '8']);
    expect(rows[0]?.textContent).toContain('Lost');
    expect(rows[0]?.title).toBe('/tasks/1-9/⟨U+202E⟩out.log');
    expect(its.textContent).toContain('7 older attempts are not shown');
    await user.click(window.get('tab-events'));
    expect(detail.textContent).toContain('1 earlier event is not shown');
    expect(window.get('tab-environment').textContent).toContain('2');
    await user.click(window.get('tab-environment'));
    expect(detail.textContent).toContain('2 more variables are not shown');
  });

  it('says nothing of tries where there was but one', async () => {
    const detail = await openTask(1, { tasks: [aTask(1)], requests: [] });
    await expect.poll(() => window.host.callsOf('show').length).toBeGreaterThan(0);
    expect(window.all('attempts')).toEqual([]);
    expect(detail.textContent).not.toContain('not shown');
  });

  it('moves between its tabs with the arrows', async () => {
    const detail = await openTask(17, everyState());
    window.get('tab-output').focus();
    await user.keyboard('{ArrowRight}');
    expect(document.activeElement).toBe(window.get('tab-events'));
    expect(detail.textContent).toContain('process 48213');
    await user.keyboard('{ArrowLeft}{ArrowLeft}');
    expect(document.activeElement).toBe(window.get('tab-environment'));
    expect(detail.textContent).toContain('GITHUB_TOKEN');
    expect(detail.textContent).toContain('•••• hidden');
  });
});
