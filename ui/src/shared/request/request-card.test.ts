import { userEvent } from '@testing-library/user-event';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { FakeScene } from '../../engine/fake';
import { aRequest, aTask } from '../../engine/fake-scenes';
import { EngineError } from '../../engine/transport';
import type { Request } from '../../engine/types';
import { openView, type OpenWindow } from '../../testing/window';
import { ARMING_DELAY } from '../arming.svelte';

const user = userEvent.setup({ delay: null });

function asking(changes: Partial<Request> = {}): FakeScene {
  return {
    tasks: [aTask(5, { state: { name: 'waiting', open: [3] } })],
    requests: [aRequest(3, 5, changes)],
  };
}

function withQuestion(question: string, detail: string | null = null): FakeScene {
  return asking({ shown: { ...aRequest(3, 5).shown, question, detail } });
}

describe('a request card', () => {
  let window: OpenWindow;
  const answers = () => window.host.callsOf('answer').map((call) => call.params);
  const isDisabled = (test: string): boolean => (window.get(test) as HTMLButtonElement).disabled;
  const arm = (): Promise<unknown> => vi.advanceTimersByTimeAsync(ARMING_DELAY);

  beforeEach(() => {
    vi.useFakeTimers();
  });

  afterEach(() => {
    window.close();
    vi.useRealTimers();
  });

  it('cannot be approved by a click that was already on its way', async () => {
    window = await openView('inbox', asking());
    await window.find('request-card');
    expect(isDisabled('approve')).toBe(true);
    window.get('approve').click();
    await vi.advanceTimersByTimeAsync(ARMING_DELAY - 100);
    window.get('approve').click();
    expect(answers()).toEqual([]);
    await arm();
    expect(isDisabled('approve')).toBe(false);
  });

  it('is one of those that are shown, and the others are counted', async () => {
    const held = aTask(6, { state: { name: 'queued', reason: { type: 'gate', request: 9 } } });
    window = await openView('inbox', { ...asking(), tasks: [...asking().tasks, held] });
    await window.find('request-card');
    expect(window.get('held-back').textContent).toBe('1 more after these');
    window.host.open(aRequest(9, 6));
    await vi.advanceTimersByTimeAsync(10);
    expect(window.all('held-back')).toEqual([]);
  });

  it('is one of a hundred at the most, however many wait', async () => {
    const requests = Array.from({ length: 10_000 }, (_, n) => aRequest(n + 1, 5));
    window = await openView('inbox', { ...asking(), requests });
    await window.find('request-card');
    expect(window.all('request-card')).toHaveLength(100);
    expect(window.get('held-back').textContent).toBe('9900 more after these');
    // Each that is answered makes room for the next, and none moves up by itself.
    const last = (): string | undefined => window.all('request-card').at(-1)?.dataset.requestId;
    expect(last()).toBe('100');
    const first = window.host.requests.get(1) ?? aRequest(1, 5);
    window.host.open({ ...first, closure: { type: 'expired', at: Date.now() } });
    await vi.advanceTimersByTimeAsync(60_000);
    expect(window.all('request-card').length).toBeLessThanOrEqual(101);
    expect(document.querySelectorAll('*').length).toBeLessThan(10_000);
  });

  it('names all who ask the same, a few on its first line and the rest with its facts', async () => {
    const peer = (pid: number) => ({ type: 'peer', uid: 1000, pid }) as const;
    const also = [8, 9, 10, 11].map((pid) => ({ by: peer(pid), at: Date.now() }));
    const gone = { by: peer(12), at: Date.now(), gone: true };
    window = await openView('inbox', asking({ asked_by: peer(7), also_asked_by: [...also, gone] }));
    await window.find('request-card');
    expect(window.get('also-asked').textContent).toBe(
      'and 4 more: process 8, process 9, process 10, …',
    );
    const names = [...window.get('askers').querySelectorAll('li')].map((li) => li.textContent);
    const line = (pid: number): string => `the command line (process ${pid})`;
    expect(names).toEqual([...[7, 8, 9, 10, 11].map(line), `${line(12)}, who asks no longer`]);
    // One more changes neither what is asked nor how long it is in sight.
    await arm();
    const more = [...also, { by: peer(13), at: Date.now() }];
    const request = window.host.requests.get(3);
    if (request) window.host.open({ ...request, also_asked_by: more });
    await vi.advanceTimersByTimeAsync(0);
    expect(window.get('also-asked').textContent).toContain('and 5 more');
    expect(isDisabled('approve')).toBe(false);
  });

  it('says how often one task asks the same', async () => {
    const by = { type: 'task', id: 5 } as const;
    const also = [1, 2].map((at) => ({ by, at }));
    window = await openView('inbox', asking({ also_asked_by: also }));
    await window.find('request-card');
    expect(window.get('also-asked').textContent).toBe('asked 3 times');
    expect(window.get('askers').textContent.trim()).toBe('task 5, 3 times');
  });

  it('is disarmed anew when the window comes back into sight', async () => {
    window = await openView('inbox', asking());
    await window.find('request-card');
    await arm();
    document.dispatchEvent(new Event('visibilitychange'));
    await vi.advanceTimersByTimeAsync(0);
    expect(isDisabled('approve')).toBe(true);
    await arm();
    expect(isDisabled('approve')).toBe(false);
  });

  it('has its focus on Deny, which answers nothing by itself', async () => {
    window = await openView('inbox', asking());
    await window.find('request-card');
    expect(document.activeElement).toBe(window.get('deny'));
    await user.keyboard('{Enter}');
    await arm();
    expect(answers()).toEqual([]);
    expect(document.activeElement).toBe(window.get('deny-reason'));
  });

  it('approves exactly what was shown, once', async () => {
    window = await openView('inbox', asking());
    await window.find('request-card');
    await arm();
    const approve = window.get('approve');
    approve.click();
    approve.click();
    await user.dblClick(approve);
    await vi.advanceTimersByTimeAsync(10);
    expect(answers()).toHaveLength(1);
    expect(answers()[0]).toMatchObject({
      request: 3,
      answer: { type: 'approve' },
      shown: 'hash-of-3',
    });
    expect(answers()[0]?.operation).toMatch(/^[0-9a-f-]{36}$/);
  });

  it('shows that the answer is on its way, and no new state before the engine said it', async () => {
    let release = (): void => undefined;
    window = await openView('inbox', asking());
    window.host.gates.set('answer', new Promise((resolve) => (release = resolve)));
    await window.find('request-card');
    await arm();
    window.get('approve').click();
    await vi.advanceTimersByTimeAsync(50);
    expect(window.get('approve').getAttribute('aria-busy')).toBe('true');
    expect(isDisabled('deny')).toBe(true);
    expect(window.get('request-card').dataset.open).toBe('true');
    release();
    await vi.advanceTimersByTimeAsync(50);
    expect(window.get('request-card').dataset.open).toBe('false');
    expect(window.get('request-card').textContent).toContain('Approved by a person in the window');
  });

  it('denies with the reason and what was shown, once', async () => {
    window = await openView('inbox', asking());
    await window.find('request-card');
    await user.click(window.get('deny'));
    await user.type(window.get('deny-reason'), 'Not on a Friday');
    await user.dblClick(window.get('deny-confirm'));
    await vi.advanceTimersByTimeAsync(10);
    expect(answers()).toHaveLength(1);
    expect(answers()[0]).toMatchObject({
      answer: { type: 'deny', reason: 'Not on a Friday' },
      shown: 'hash-of-3',
    });
  });

  it('denies without a reason where none was written', async () => {
    window = await openView('inbox', asking());
    await window.find('request-card');
    await user.click(window.get('deny'));
    await user.keyboard('{Enter}');
    await vi.advanceTimersByTimeAsync(10);
    expect(answers()[0]?.answer).toEqual({ type: 'deny', reason: null });
  });

  it('lets go of a denial with Escape', async () => {
    window = await openView('inbox', asking());
    await window.find('request-card');
    await user.click(window.get('deny'));
    await user.keyboard('{Escape}');
    expect(window.all('deny-reason')).toEqual([]);
    expect(document.activeElement).toBe(window.get('deny'));
    expect(answers()).toEqual([]);
  });

  it.each([
    ['expired', { type: 'expired', at: 1 }, 'Expired'],
    ['was withdrawn', { type: 'withdrawn', why: 'the task ended', at: 1 }, 'the task ended'],
  ] as const)('says in its place that the request %s', async (_name, closure, words) => {
    window = await openView('inbox', asking());
    await window.find('request-card');
    await arm();
    window.host.close(3, closure);
    await vi.advanceTimersByTimeAsync(10);
    const card = window.get('request-card');
    expect(card.dataset.open).toBe('false');
    expect(card.textContent).toContain(words);
    expect(window.all('approve')).toEqual([]);
    expect(window.all('deny')).toEqual([]);
  });

  it('stays for as long as the view is open, and is gone the next time', async () => {
    window = await openView('inbox', asking());
    await window.find('request-card');
    window.host.close(3, { type: 'expired', at: 1 });
    await vi.advanceTimersByTimeAsync(10);
    expect(window.all('request-card')).toHaveLength(1);
    await user.click(window.get('nav-tasks'));
    await user.click(window.get('nav-inbox'));
    expect(window.all('request-card')).toEqual([]);
    expect(document.body.textContent).toContain('Nothing needs you');
  });

  it('is closed when a later snapshot no longer holds it', async () => {
    window = await openView('inbox', asking());
    await window.find('request-card');
    window.host.requests.clear();
    window.host.lag();
    await vi.advanceTimersByTimeAsync(10);
    expect(window.get('request-card').dataset.open).toBe('false');
    expect(window.get('request-card').textContent).toContain('No longer open');
  });

  it('shows what the engine refused, and can be answered again', async () => {
    window = await openView('inbox', asking());
    window.host.refusals.set('answer', new EngineError('too_early', 'too early: shown 0.2 s ago'));
    await window.find('request-card');
    await arm();
    window.get('approve').click();
    await vi.advanceTimersByTimeAsync(10);
    const alert = window.get('request-card').querySelector('[role=alert]');
    expect(alert?.textContent).toBe('Too early: shown 0.2 s ago');
    expect(isDisabled('approve')).toBe(false);
    window.host.refusals.delete('answer');
    window.get('approve').click();
    await vi.advanceTimersByTimeAsync(10);
    expect(window.get('request-card').dataset.open).toBe('false');
    expect(answers()[0]?.operation).not.toBe(answers()[1]?.operation);
  });

  it('counts down by the clock of the host', async () => {
    const expires_at = Date.now() + 3_600_000 + 90_000;
    const scene = asking({ expires_at });
    const { openWindow } = await import('../../testing/window');
    window = await openWindow(scene, (host) => {
      host.clockAhead = 3_600_000;
    });
    const expiry = await window.find('expiry');
    expect(expiry.textContent).toMatch(/Expires in 1m (29|30)s/);
    await vi.advanceTimersByTimeAsync(61_000);
    expect(expiry.textContent).toMatch(/Expires in 2[89]s/);
  });

  it('neutralises what the task wrote', async () => {
    const scene = withQuestion(
      'Delete \u202Egpj.sotohp?',
      '\u001b[2Jok <img src=x onerror=alert(1)>',
    );
    window = await openView('inbox', scene);
    const card = await window.find('request-card');
    expect(card.textContent).toContain('Delete ⟨U+202E⟩gpj.sotohp?');
    expect(card.textContent).toContain('⟨ESC⟩[2Jok <img src=x onerror=alert(1)>');
    for (const unseen of ['\u202e', '\u001b']) expect(card.textContent).not.toContain(unseen);
    expect(card.querySelector('img')).toBeNull();
  });

  it('holds a question of a megabyte', async () => {
    window = await openView('inbox', withQuestion('\u202e?'.repeat(500_000)));
    const card = await window.find('request-card');
    expect(card.querySelectorAll('*').length).toBeLessThan(200);
    expect(card.textContent).not.toContain('\u202e');
    expect(window.get('deny')).toBeDefined();
  });

  it('shows each word of a gate, its folder, and the environment without secrets', async () => {
    const shown = {
      ...aRequest(3, 5).shown,
      argv: ['echo', 'two words', ''],
      environment: [
        { name: 'TOKEN', change: 'added', value: null, masked: true },
        { name: 'LANG', change: 'changed', value: 'C', masked: false },
        { name: 'GONE', change: 'removed', value: null, masked: false },
      ] as Request['shown']['environment'],
    };
    window = await openView('inbox', asking({ origin: 'gate', shown }));
    const card = await window.find('request-card');
    const words = [...card.querySelectorAll('.word')].map((word) => word.textContent);
    expect(words).toEqual(['echo', 'two words', '(empty)']);
    const rows = [...card.querySelectorAll('[aria-label="Environment changes"] li')].map((row) =>
      row.textContent.trim().replaceAll(/\s+/g, ' '),
    );
    expect(rows).toEqual(['Added TOKEN •••• hidden', 'Changed LANG C', 'Removed GONE']);
    expect(card.textContent).toContain('/home/mika/work/harbour');
    expect(card.textContent).toContain('before it starts');
  });
});
