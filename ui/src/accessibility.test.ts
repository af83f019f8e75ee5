import { userEvent } from '@testing-library/user-event';
import { afterEach, describe, expect, it } from 'vitest';
import { aRequest, aTask, everyQuestion, everyState } from './engine/fake-scenes';
import { EngineError } from './engine/transport';
import type { KeptRule } from './engine/types';
import { accessibilityFaults, openView, openWindow, type OpenWindow } from './testing/window';

let window: OpenWindow;

afterEach(() => {
  window.close();
});

async function openTask(id: number): Promise<void> {
  window = await openView('tasks', everyState());
  await window.find('task-row');
  document.querySelector<HTMLElement>(`[data-task-id="${id}"] [data-row]`)?.click();
  await window.find('detail');
  await expect.poll(() => window.host.callsOf('show').length).toBeGreaterThan(0);
}

const VIEWS: Record<string, () => Promise<unknown>> = {
  'Needs you': async () => {
    window = await openView('inbox', everyState());
    await window.find('request-card');
  },
  'a denial with a reason': async () => {
    window = await openView('inbox', everyState());
    (await window.find('deny')).click();
    await window.find('deny-reason');
  },
  'questions of every sort': async () => {
    window = await openView('inbox', everyQuestion());
    (await window.find('add-item')).click();
    await window.find('remove-item');
  },
  'a form with places and alternatives': async () => {
    const schema = {
      properties: {
        range: { prefixItems: [{ type: 'integer', title: 'From' }, { type: 'boolean' }] },
        speed: { oneOf: [{ const: 1, title: 'Slow' }, { const: 2 }] },
      },
    };
    const wants = { type: 'form' as const, schema, initial: {} };
    const request = aRequest(3, 5);
    window = await openView('inbox', {
      tasks: [aTask(5, { state: { name: 'waiting', open: [3] } })],
      requests: [{ ...request, shown: { ...request.shown, wants } }],
    });
    await window.find('form-field');
  },
  'Needs you without a request': async () => {
    window = await openView('inbox');
    await expect.poll(() => document.body.textContent).toContain('Nothing needs you');
  },
  Tasks: async () => {
    window = await openView('tasks', everyState());
    await window.find('task-row');
  },
  History: async () => {
    window = await openView('history', everyState());
    await window.find('history-row');
  },
  'a running task': () => openTask(17),
  'a stopping task': () => openTask(12),
  'a task behind a gate': () => openTask(19),
  'the events of a task': async () => {
    await openTask(17);
    window.get('tab-events').click();
  },
  'the audit of a task': async () => {
    await openTask(4);
    window.get('tab-audit').click();
    await expect.poll(() => window.host.callsOf('audit').length).toBeGreaterThan(0);
  },
  'what the host found, and a looser configuration': async () => {
    window = await openWindow(undefined, (host) => {
      host.findings = ['the history was damaged'];
      host.loosening = { hash: 'x', changes: ['approvals in a terminal are turned on'] };
    });
    await window.find('loosening-card');
  },
  'the environment of a task': async () => {
    await openTask(17);
    window.get('tab-environment').click();
  },
  'the form of a new task': async () => {
    window = await openWindow();
    await userEvent.keyboard('n');
    window.get('submit-go').click();
    await expect.poll(() => document.querySelector('dialog [role=alert]')).not.toBeNull();
  },
  'the rules': async () => {
    window = await openWindow(undefined, (host) => {
      host.loosening = { hash: 'x', changes: ['no longer asked first: pushes'] };
      const rule: KeptRule['rule'] = {
        ...{ name: 'pushes', match: ['git', 'push', ''], then: 'ask_first', folder: '/srv' },
        ...{ session: 's', kind: 'deploy', expires_at: Date.now() + 1_000_000 },
      };
      host.rules.notes = ['git **: there is no folder /srv'];
      host.rules.kept = [
        { id: 1, rule, made_at: 1, made_by: { type: 'host' }, is_dropped: false },
        { id: null, rule, made_at: null, made_by: null, is_dropped: true },
      ];
    });
    window.get('nav-rules').click();
    (await window.find('revoke-rule')).click();
    await window.find('revoke-confirm');
  },
  'the settings': async () => {
    window = await openWindow(undefined, (host) => {
      host.loosening = { hash: 'x', changes: ['no longer asked first: pushes'] };
    });
    window.get('nav-settings').click();
    await window.find('config-facts');
  },
  'the limit of approvals in notifications': async () => {
    window = await openView('settings');
    (await window.find('allow-approvals')).click();
    await window.find('approvals-limit');
  },
  'settings that cannot be had': async () => {
    window = await openWindow(undefined, (host) => {
      host.refusals.set('settings', new EngineError('storage', 'the disk is full'));
    });
    window.get('nav-settings').click();
    await window.find('settings-error');
  },
  'no rules': async () => {
    window = await openView('rules');
    await expect.poll(() => document.body.textContent).toContain('No rules');
  },
  'a new rule': async () => {
    window = await openView('rules');
    window.get('new-rule').click();
    (await window.find('then-need_not_ask')).click();
    (await window.find('ending-day')).click();
    await expect.poll(() => window.get('rule-preview').textContent).toContain('It would have');
  },
  'a rule from a question': async () => {
    window = await openView('inbox', everyState());
    (await window.find('always-allow')).click();
    await expect.poll(() => window.get('rule-preview').textContent).toContain('It would have');
  },
  'a host that cannot be reached': async () => {
    window = await openWindow(undefined, (host) => {
      host.refusals.set('subscribe', new EngineError('internal', 'no such directory'));
    });
    await window.find('retry');
  },
};

describe('axe finds nothing wrong with', () => {
  it.each(Object.entries(VIEWS))('%s', async (_name, open) => {
    await open();
    expect(await accessibilityFaults()).toEqual([]);
  });
});

describe('those who cannot see the window', () => {
  it('hear how many requests need them', async () => {
    window = await openView('tasks', everyState());
    const spoken = (): string =>
      document.querySelector('aside [aria-live]')?.textContent.trim() ?? '';
    await expect.poll(spoken).toBe('2 requests need you');
    window.host.close(1, { type: 'expired', at: 1 });
    await expect.poll(spoken).toBe('1 request needs you');
  });
});

describe('a host that cannot be reached', () => {
  it('has the whole page, and another try', async () => {
    window = await openWindow(everyState(), (host) => {
      host.refusals.set('subscribe', new EngineError('internal', 'no such directory'));
    });
    const retry = await window.find('retry');
    expect(document.body.textContent).toContain('No such directory');
    expect(document.querySelector('nav')).toBeNull();
    window.host.refusals.clear();
    retry.click();
    await window.find('request-card');
  });

  it('is said at the edge while the window reconnects', async () => {
    window = await openView('tasks', everyState());
    await window.find('task-row');
    window.host.refusals.set('snapshot', new EngineError('stopping', 'going'));
    window.host.lag();
    await expect
      .poll(() => document.querySelector('aside')?.textContent)
      .toContain('Reconnecting…');
    expect(window.all('task-row')).toHaveLength(20);
  });
});
