import { userEvent } from '@testing-library/user-event';
import { afterEach, describe, expect, it } from 'vitest';
import { EngineError } from '../../engine/transport';
import { openWindow, type OpenWindow } from '../../testing/window';

const user = userEvent.setup({ delay: null });
let window: OpenWindow;

afterEach(() => {
  window.close();
});

const field = (test: string): HTMLInputElement => window.get(test) as HTMLInputElement;
const submits = () => window.host.callsOf('submit').map((call) => call.params);

async function openForm(): Promise<void> {
  window = await openWindow();
  await user.click(window.get('new-task'));
  await window.find('submit-go');
}

describe('a new task', () => {
  it('is sent as it was typed, and selected', async () => {
    await openForm();
    expect(document.activeElement).toBe(field('submit-command'));
    expect(field('submit-folder').value).toBe('/home/mika');
    await user.type(field('submit-command'), 'make test && echo "done"');
    await user.type(field('submit-label'), '  Tests ');
    await user.type(field('submit-timeout'), '10m');
    await user.click(field('submit-ask-first'));
    await user.type(field('submit-command'), '{Enter}');
    await window.find('detail');
    expect(submits()).toEqual([
      {
        operation: expect.stringMatching(/^[0-9a-f-]{36}$/) as string,
        command: { type: 'shell', line: 'make test && echo "done"' },
        cwd: '/home/mika',
        environment: null,
        extra_environment: {},
        label: 'Tests',
        session: null,
        output: 'terminal',
        options: { grace_ms: null, keep_children: false, log_limit: null },
        timeout_ms: 600_000,
        ask_first: true,
        scheduling: {
          ...{ group: null, priority: null, after: [], uses: {}, not_before: null, delay_ms: null },
          ...{ retry: null, key: null, kind: null },
        },
      },
    ]);
    expect(window.get('detail').dataset.taskId).toBe('1');
    expect(window.all('submit-go')).toEqual([]);
  });

  it('is not sent just after a program wrote into it', async () => {
    await openForm();
    await user.type(field('submit-command'), 'make test');
    window.host.hand = () => 'program';
    field('submit-command').value = 'make evil';
    field('submit-command').dispatchEvent(new InputEvent('input', { bubbles: true }));
    await expect.poll(() => field('submit-go').disabled, { interval: 5 }).toBe(true);
    window.host.hand = () => 'own';
    await user.type(field('submit-command'), '{Enter}');
    expect(submits()).toEqual([]);
    await expect.poll(() => field('submit-go').disabled, { interval: 5 }).toBe(false);
    await user.type(field('submit-command'), ' now{Enter}');
    await window.find('detail');
    expect(submits()).toMatchObject([{ command: { type: 'shell', line: 'make evil now' } }]);
  });

  it('offers the groups where there are several', async () => {
    await openForm();
    expect(window.all('submit-group')).toEqual([]);
    const group = { slots: 2, paused: false, running: 0, queued: 0 };
    const groups = ['build', 'default'].map((name) => ({ ...group, name }));
    window.host.publish({ type: 'groups', groups });
    await window.find('submit-group');
    await user.selectOptions(window.get('submit-group'), 'build');
    await user.type(field('submit-command'), 'make{Enter}');
    await window.find('detail');
    expect(submits()[0]?.scheduling.group).toBe('build');
  });

  it('keeps what was typed when the engine refuses it', async () => {
    await openForm();
    window.host.refusals.set('submit', new EngineError('storage', 'the disk is full'));
    await user.type(field('submit-command'), 'make test');
    await user.click(window.get('submit-go'));
    await expect
      .poll(() => document.querySelector('dialog')?.textContent)
      .toContain('The disk is full');
    expect(field('submit-command').value).toBe('make test');
    window.host.refusals.clear();
    await user.click(window.get('submit-go'));
    await window.find('detail');
  });

  it('is sent once, however often the button is pressed', async () => {
    await openForm();
    await user.type(field('submit-command'), 'make');
    await user.dblClick(window.get('submit-go'));
    await window.find('detail');
    expect(submits()).toHaveLength(1);
  });

  it('is the same operation again when nobody knows whether it was taken', async () => {
    await openForm();
    window.host.refusals.set('submit', new EngineError('stopping', 'going'));
    await user.type(field('submit-command'), 'make');
    await user.click(window.get('submit-go'));
    await expect.poll(() => submits().length).toBe(1);
    window.host.refusals.clear();
    await user.click(window.get('submit-go'));
    await window.find('detail');
    expect(submits()[1]?.operation).toBe(submits()[0]?.operation);
  });

  it.each([
    ['submit-command', '', '', 'Write the command to run.'],
    ['submit-timeout', 'make', 'soon', 'Write a time such as 90s, 10m or 1h30m.'],
  ])('is not sent while %s is amiss', async (test, line, timeout, words) => {
    await openForm();
    if (line !== '') await user.type(field('submit-command'), line);
    if (timeout !== '') await user.type(field('submit-timeout'), timeout);
    await user.click(window.get('submit-go'));
    expect(document.querySelector('dialog [role=alert]')?.textContent).toBe(words);
    expect(field(test).getAttribute('aria-invalid')).toBe('true');
    expect(submits()).toEqual([]);
  });

  it('opens with N and with Control and N, and closes with Escape', async () => {
    window = await openWindow();
    await user.keyboard('n');
    expect(window.all('submit-go')).toHaveLength(1);
    document.querySelector('dialog')?.dispatchEvent(new Event('cancel', { cancelable: true }));
    await expect.poll(() => window.all('submit-go').length).toBe(0);
    await user.keyboard('{Control>}n{/Control}');
    expect(window.all('submit-go')).toHaveLength(1);
  });
});
