import { userEvent } from '@testing-library/user-event';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { FakeScene } from '../../engine/fake';
import { aRequest, aTask } from '../../engine/fake-scenes';
import { EngineError } from '../../engine/transport';
import type { Request, Task } from '../../engine/types';
import { openView, type OpenWindow } from '../../testing/window';
import { ARMING_DELAY } from '../arming.svelte';
import { patternOf } from './pattern';
import { PREVIEW_DELAY } from './rule-draft.svelte';

const user = userEvent.setup({ delay: null });
const ARGV = ['make', 'deploy', '*.rs'];
const DAY = 24 * 60 * 60 * 1_000;

function gate(argv: readonly string[] = ARGV, changes: Partial<Task> = {}): FakeScene {
  const command = { type: 'argv' as const, argv: [...argv] };
  const task = aTask(5, {
    ...{ command, cwd: '/srv/app', started_at: null },
    state: { name: 'queued', reason: { type: 'gate', request: 3 } },
    ...changes,
  });
  const shown: Request['shown'] = { ...aRequest(3, 5).shown, argv: [...argv], cwd: '/srv/app' };
  const earlier = aTask(2, { command, cwd: '/srv/app' });
  return { tasks: [task, earlier], requests: [aRequest(3, 5, { origin: 'gate', shown })] };
}

describe('the pattern of a word', () => {
  it.each([
    ['plain', 'plain'],
    ['*.rs', '[*].rs'],
    ['a?b', 'a[?]b'],
    ['[a]', '[a]'],
    ['[*]', '[[][*]]'],
    ['**', '[*][*]'],
  ])('of %s is %s', (word, pattern) => {
    expect(patternOf(word)).toBe(pattern);
  });
});

describe('always allowing', () => {
  let window: OpenWindow;
  const added = () => window.host.callsOf('add_rule').map((call) => call.params);
  const answers = () => window.host.callsOf('answer').map((call) => call.params);
  const wait = (milliseconds: number): Promise<unknown> =>
    vi.advanceTimersByTimeAsync(milliseconds);
  const words = (): HTMLInputElement[] =>
    window.all('rule-word').flatMap((word) => [...word.querySelectorAll('input')]);
  const isDisabled = (test: string): boolean => (window.get(test) as HTMLButtonElement).disabled;

  async function open(scene: FakeScene = gate(), prepare?: () => void): Promise<void> {
    window = await openView('inbox', scene);
    prepare?.();
    await window.find('request-card');
    await wait(ARMING_DELAY);
    await user.click(window.get('always-allow'));
    await wait(PREVIEW_DELAY + 10);
  }

  async function armed(): Promise<void> {
    await wait(ARMING_DELAY);
  }

  beforeEach(() => {
    vi.useFakeTimers();
  });

  afterEach(() => {
    window.close();
    vi.useRealTimers();
  });

  it('is offered where a rule could have let it pass, and after everything that answers', async () => {
    window = await openView('inbox', {
      tasks: [aTask(5, { state: { name: 'waiting', open: [3] } })],
      requests: [aRequest(3, 5)],
    });
    await window.find('request-card');
    expect(window.all('always-allow')).toEqual([]);
    window.close();
    window = await openView('inbox', gate());
    await window.find('request-card');
    await wait(ARMING_DELAY);
    const order: (string | undefined)[] = [];
    for (let n = 0; n < 4; n += 1) {
      order.push((document.activeElement as HTMLElement).dataset.test);
      await user.tab();
    }
    expect(order).toEqual(['deny', 'approve', 'comment', 'always-allow']);
  });

  it('begins as narrow as what was asked about', async () => {
    await open();
    expect(words().map((word) => word.value)).toEqual(['make', 'deploy', '[*].rs']);
    expect((window.get('rule-folder') as HTMLInputElement).value).toBe('/srv/app');
    expect((window.get('ending-7') as HTMLInputElement).checked).toBe(true);
    expect(window.all('ending-never')).toEqual([]);
    await armed();
    await user.click(window.get('save-rule'));
    await wait(10);
    expect(added()).toHaveLength(1);
    const { rule } = added()[0] ?? {};
    expect(rule).toMatchObject({
      ...{ match: ['make', 'deploy', '[*].rs'], then: 'need_not_ask', folder: '/srv/app' },
      ...{ session: null, kind: null, name: null },
    });
    const left = (rule?.expires_at ?? 0) - Date.now();
    expect(Math.abs(left - 7 * DAY)).toBeLessThan(1_000);
  });

  it('makes the rule and answers nothing, and gives the focus back', async () => {
    await open();
    await armed();
    await user.click(window.get('save-rule'));
    await wait(10);
    expect(window.all('save-rule')).toEqual([]);
    expect(answers()).toEqual([]);
    expect(window.get('request-card').dataset.open).toBe('true');
    expect(document.activeElement).toBe(window.get('always-allow'));
    expect(window.get('always-allow').textContent).toContain('Rule saved');
  });

  it('approves what is open only where the person says so', async () => {
    await open();
    await armed();
    await user.click(window.get('allow-and-approve'));
    await wait(10);
    expect(added()).toHaveLength(1);
    expect(answers()).toMatchObject([{ request: 3, answer: { type: 'approve' } }]);
    expect(window.get('request-card').dataset.open).toBe('false');
  });

  it('approves nothing where the rule is refused', async () => {
    await open();
    await armed();
    window.host.refusals.set('add_rule', new EngineError('storage', 'the disk is full'));
    await user.click(window.get('allow-and-approve'));
    await wait(10);
    expect(answers()).toEqual([]);
    expect(document.querySelector('dialog [role=alert]')?.textContent).toBe('The disk is full');
  });

  it('takes no key that was on its way when it opened', async () => {
    await open();
    expect(document.activeElement?.tagName).toBe('H2');
    expect(isDisabled('save-rule')).toBe(true);
    expect(isDisabled('allow-and-approve')).toBe(true);
    await user.keyboard('{Enter} y');
    await user.click(words()[0] as HTMLInputElement);
    await user.keyboard('{Enter}');
    await wait(10);
    expect([...added(), ...answers()]).toEqual([]);
    // Enter in a field saves, and never approves.
    await armed();
    await user.keyboard('{Enter}');
    await wait(10);
    expect([added().length, answers().length]).toEqual([1, 0]);
  });

  it('says while one writes what the rule would have matched, and that less is asked', async () => {
    await open();
    const preview = (): string => window.get('rule-preview').textContent.replaceAll(/\s+/g, ' ');
    expect(preview()).toContain('It would have matched 2 of the last 2 tasks.');
    expect(preview()).toContain('#2');
    expect(window.get('rule-loosens').textContent).toContain('Less is asked');
    await user.clear(words()[1] as HTMLInputElement);
    await user.type(words()[1] as HTMLInputElement, 'test');
    await wait(PREVIEW_DELAY + 10);
    expect(preview()).toContain('matched 0 of the last 2 tasks');
    expect(preview()).toContain('It does not speak of the task at hand.');
    // One call for what was typed in one go.
    expect(window.host.callsOf('preview_rule').length).toBeLessThan(5);
  });

  it('says that the task at hand is not let pass where its environment forbids it', async () => {
    await open(gate(), () => (window.host.rules.redirected = [5]));
    expect(window.get('rule-preview').textContent).toContain('would still be asked about');
  });

  it('widens a word to any, and makes it again what it was', async () => {
    await open();
    const any = window.all('any-word')[1] as HTMLElement;
    await user.click(any);
    expect(words()[1]?.value).toBe('*');
    expect(any.getAttribute('aria-pressed')).toBe('true');
    await user.click(any);
    expect(words()[1]?.value).toBe('deploy');
    await user.click(window.get('add-words'));
    await user.click(window.all('remove-word')[2] as HTMLElement);
    expect(words().map((word) => word.value)).toEqual(['make', 'deploy', '**']);
    expect(document.activeElement).toBe(window.get('add-word'));
  });

  it('says in the words of the engine, at the word, what is too wide', async () => {
    await open(gate(['/bin/sh', '-c', 'make *']));
    expect(words()[2]?.value).toBe('make [*]');
    expect(window.all('word-error')).toEqual([]);
    await user.click(window.all('any-word')[2] as HTMLElement);
    await wait(PREVIEW_DELAY + 10);
    expect(window.get('word-error').textContent.trim()).toBe('`/bin/sh` runs what it is told.');
    expect(words()[2]?.getAttribute('aria-invalid')).toBe('true');
    await user.click(window.all('any-word')[2] as HTMLElement);
    await user.clear(window.get('rule-folder'));
    await user.type(window.get('rule-folder'), 'srv');
    await wait(PREVIEW_DELAY + 10);
    const field = window.get('rule-folder').parentElement;
    expect(field?.querySelector('[role=alert]')?.textContent).toContain('absolute path, not `srv`');
  });

  it('holds for a session and a kind only where the person wants that, and until a day', async () => {
    await open(gate(ARGV, { session: 'claude-7', kind: 'deploy' }));
    expect((window.get('rule-kind') as HTMLInputElement).checked).toBe(true);
    expect((window.get('rule-session') as HTMLInputElement).checked).toBe(false);
    await user.click(window.get('rule-session'));
    await user.click(window.get('ending-day'));
    await user.type(window.get('ending-date'), '2001-02-03');
    await user.type(window.get('rule-name'), 'for now');
    await armed();
    await user.click(window.get('save-rule'));
    await wait(10);
    expect(added()).toEqual([]);
    expect(document.querySelector('dialog [role=alert]')?.textContent).toContain('a day to come');
    await user.clear(window.get('ending-date'));
    await user.type(window.get('ending-date'), '2999-02-03{Enter}');
    await wait(10);
    const expires_at = new Date(2999, 1, 3, 23, 59, 59, 999).getTime();
    const { rule } = added()[0] ?? {};
    expect(rule).toMatchObject({
      session: 'claude-7',
      kind: 'deploy',
      name: 'for now',
      expires_at,
    });
  });

  it('shows what cannot be seen, and puts it into no field', async () => {
    const evil = 'rm\u202e <b>';
    const scene = gate(['make', evil, 'two\nlines', ''], { session: 's\u200b<i>' });
    await open(scene);
    expect(words().map((word) => word.value)).toEqual(['make', '']);
    const dialog = document.querySelector('dialog');
    expect(dialog?.textContent).toContain('rm⟨U+202E⟩ <b>');
    expect(dialog?.textContent).toContain('s⟨U+200B⟩<i>');
    expect(dialog?.querySelector('b, i')).toBeNull();
    await armed();
    await user.click(window.get('save-rule'));
    await wait(10);
    expect(added()[0]?.rule.match).toEqual(['make', evil, 'two\nlines', '']);
  });

  /** Writes into a field as a program does over the accessibility bus. */
  function write(field: HTMLElement, text: string): void {
    (field as HTMLInputElement).value = text;
    field.dispatchEvent(new InputEvent('input', { bubbles: true }));
  }

  it.each<[string, () => void]>([
    [
      'any more words',
      () => {
        window.get('add-words').click();
      },
    ],
    ['any word in place of one', () => window.all('any-word')[1]?.click()],
    ['a word less', () => window.all('remove-word')[1]?.click()],
    [
      'another word',
      () => {
        write(words()[0] as HTMLElement, 'rm');
      },
    ],
    [
      'another folder',
      () => {
        write(window.get('rule-folder'), '');
      },
    ],
    [
      'no session',
      () => {
        window.get('rule-session').click();
      },
    ],
    [
      'another end',
      () => {
        window.get('ending-30').click();
      },
    ],
    [
      'another name',
      () => {
        write(window.get('rule-name'), 'mine');
      },
    ],
  ])('is waited for again when a program makes %s of it', async (_, change) => {
    await open(gate(ARGV, { session: 'claude-7' }));
    await armed();
    window.host.hand = () => 'program';
    change();
    await wait(10);
    window.host.hand = () => 'own';
    expect([isDisabled('save-rule'), isDisabled('allow-and-approve')]).toEqual([true, true]);
    await user.click(window.get('save-rule'));
    await user.click(window.get('rule-name'));
    await user.keyboard('{Enter}');
    await wait(ARMING_DELAY - 100);
    expect(added()).toEqual([]);
    await armed();
    await user.click(window.get('save-rule'));
    await wait(10);
    expect(added()).toHaveLength(1);
  });

  it('is not held up by what the person writes and chooses', async () => {
    await open();
    // Not even before it is armed for the first time.
    await wait(ARMING_DELAY - PREVIEW_DELAY - 110);
    await user.type(window.get('rule-name'), 'for now');
    await wait(100);
    expect(isDisabled('save-rule')).toBe(false);
    await user.click(window.all('any-word')[1] as HTMLElement);
    await user.click(window.get('ending-1'));
    await user.type(window.get('rule-name'), ' and here');
    expect(isDisabled('save-rule')).toBe(false);
    await user.keyboard('{Enter}');
    await wait(10);
    expect(added()[0]?.rule).toMatchObject({
      match: ['make', '*', '[*].rs'],
      name: 'for now and here',
    });
  });

  it('does not offer to approve a question that was closed meanwhile', async () => {
    await open();
    await armed();
    window.host.close(3, { type: 'expired', at: 1 });
    await wait(10);
    expect(window.all('allow-and-approve')).toEqual([]);
    expect(isDisabled('save-rule')).toBe(false);
  });
});
