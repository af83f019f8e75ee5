import { userEvent } from '@testing-library/user-event';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { EngineError } from '../../engine/transport';
import { ARMING_DELAY } from '../../shared/arming.svelte';
import { openWindow, type OpenWindow } from '../../testing/window';

const user = userEvent.setup({ delay: null });
let window: OpenWindow;

afterEach(() => {
  window.close();
});

async function openSettings(prepare?: Parameters<typeof openWindow>[1]): Promise<void> {
  window = await openWindow(undefined, prepare);
  await user.keyboard('5');
  await window.find('settings');
}

const allowed = (): unknown[] =>
  window.host.callsOf('allow_notification_approvals').map((call) => call.params.allowed);
const isOn = (): string | null => window.get('allow-approvals').getAttribute('aria-checked');

describe('the settings', () => {
  it('say what shows notifications and what is in force', async () => {
    await openSettings((host) => {
      host.settings.notifications = {
        ...{ type: 'server', name: 'notes\u202e', version: '2', actions: false },
      };
      host.settings.config.terminal_approvals = true;
    });
    const server = await window.find('notification-server');
    expect(server.textContent).toContain('It shows no buttons');
    expect(server.textContent).toContain('notes⟨U+202E⟩ 2');
    expect(window.get('config-file').textContent).toContain('/home/mika/.config/nod/config.toml');
    const facts = [...document.querySelectorAll('dd')].map((it) => it.textContent);
    expect(facts).toEqual(['On', '64', '5 s']);
  });

  it('are said anew when the config file changes, and lead to what waits', async () => {
    await openSettings();
    await window.find('config-facts');
    window.host.settings.config.default_slots = 3;
    window.host.loosen({ hash: 'x', changes: ['approvals in a terminal are turned on'] });
    await expect.poll(() => window.get('config-facts').textContent).toContain('3');
    expect(window.get('config-file').textContent).toContain('waits for you');
    await user.click(window.get('settings-review'));
    await window.find('loosening-card');
  });

  it('that cannot be had say why, and are asked for again', async () => {
    await openSettings((host) => {
      host.refusals.set('settings', new EngineError('storage', 'the database is locked'));
    });
    expect((await window.find('settings-error')).textContent).toContain('The database is locked');
    window.host.refusals.clear();
    await user.click(window.get('settings-retry'));
    await window.find('config-facts');
    expect(window.all('settings-error')).toEqual([]);
  });
});

describe('approve in notifications', () => {
  const pass = (milliseconds: number): Promise<unknown> =>
    vi.advanceTimersByTimeAsync(milliseconds);
  const confirm = (): HTMLButtonElement => window.get('allow-confirm') as HTMLButtonElement;

  beforeEach(() => {
    vi.useFakeTimers({ shouldAdvanceTime: true });
  });

  afterEach(() => {
    vi.useRealTimers();
  });

  it('is allowed only after its limit was in sight, by keyboard too', async () => {
    await openSettings();
    const toggle = await window.find('allow-approvals');
    expect(isOn()).toBe('false');
    toggle.focus();
    await user.keyboard(' ');
    const limit = await window.find('approvals-limit');
    expect(limit.textContent).toContain('dunstctl action');
    expect(document.activeElement?.tagName).toBe('H2');
    // What was on its way does nothing.
    confirm().click();
    document.querySelector<HTMLFormElement>('dialog form')?.requestSubmit();
    expect(confirm().disabled).toBe(true);
    await pass(ARMING_DELAY);
    expect(allowed()).toEqual([]);
    await user.dblClick(confirm());
    await pass(10);
    expect(allowed()).toEqual([true]);
    expect(isOn()).toBe('true');
    expect(window.all('approvals-limit')).toEqual([]);
    expect(document.activeElement).toBe(toggle);
  });

  it('stays as it is when the person thinks better of it', async () => {
    await openSettings();
    await user.click(await window.find('allow-approvals'));
    await user.click(await window.find('allow-cancel'));
    await pass(ARMING_DELAY);
    expect(window.all('approvals-limit')).toEqual([]);
    expect([allowed(), isOn()]).toEqual([[], 'false']);
  });

  it('is turned off at once', async () => {
    await openSettings((host) => {
      host.settings.notification_approvals = true;
    });
    await user.click(await window.find('allow-approvals'));
    await pass(10);
    expect([allowed(), isOn()]).toEqual([[false], 'false']);
  });

  it('that is refused says why, and shows what holds', async () => {
    await openSettings();
    window.host.refusals.set(
      'allow_notification_approvals',
      new EngineError('storage', 'the disk is full'),
    );
    await user.click(await window.find('allow-approvals'));
    await pass(ARMING_DELAY);
    await user.click(confirm());
    await pass(10);
    expect(document.querySelector('dialog [role=alert]')?.textContent).toBe('The disk is full');
    expect(isOn()).toBe('false');
    await user.click(window.get('allow-cancel'));
    expect(document.querySelector('[role=alert]')).toBeNull();
  });
});
