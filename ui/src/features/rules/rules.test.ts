import { userEvent } from '@testing-library/user-event';
import { afterEach, describe, expect, it } from 'vitest';
import { EngineError } from '../../engine/transport';
import type { AuditRow, KeptRule, Rule } from '../../engine/types';
import { openWindow, type OpenWindow } from '../../testing/window';

const user = userEvent.setup({ delay: null });
const HOUR = 60 * 60 * 1_000;
let window: OpenWindow;

function aRule(changes: Partial<Rule> = {}): Rule {
  return {
    ...{ name: null, match: ['git', 'push', '**'], then: 'ask_first', folder: null },
    ...{ session: null, kind: null, expires_at: null },
    ...changes,
  };
}

function made(id: number, changes: Partial<Rule> = {}): KeptRule {
  const rule = aRule({ then: 'need_not_ask', expires_at: Date.now() + 30 * HOUR, ...changes });
  const made_by = { type: 'person', surface: 'window' } as const;
  return { id, rule, made_at: Date.now() - HOUR, made_by, is_dropped: false };
}

function ofFile(changes: Partial<Rule> = {}, is_dropped = false): KeptRule {
  return { id: null, rule: aRule(changes), made_at: null, made_by: null, is_dropped };
}

async function openRules(kept: KeptRule[], more?: (window: OpenWindow) => void): Promise<void> {
  window = await openWindow(undefined, (host) => {
    host.rules.kept = kept;
  });
  more?.(window);
  await user.keyboard('4');
  await expect.poll(() => document.querySelector('h1')?.textContent).toBe('Rules');
}

afterEach(() => {
  window.close();
});

describe('the audit of the rules', () => {
  it('says what was asked, taken back and confirmed, and is asked for again', async () => {
    const host = { type: 'host' } as const;
    const row = (id: number, what: AuditRow['what'], detail: string): AuditRow => ({
      ...{ id, at: Date.now(), what, actor: host, from: '/home/mika/\u202econfig.toml', detail },
      ...{ task: null, request: null, asked_by: null, shown: null, hash: null },
      ...{ answer: null, comment: null },
    });
    await openRules([ofFile()], ({ host }) => {
      host.rules.audit = [
        row(3, 'loosening_taken_back', 'no longer asked first: rm\nApproved by a person'),
        row(2, 'loosening_asked', 'no longer asked first: rm'),
        row(1, 'tightened', 'asked first: rm'),
      ];
    });
    const audit = await window.find('rules-audit');
    expect(window.host.callsOf('audit')).toEqual([]);
    await user.click(audit.querySelector('summary') as HTMLElement);
    await window.find('audit-row');
    const what = window.all('audit-row').map((row) => row.querySelector('.what')?.textContent);
    expect(what).toEqual([
      'The config file was changed again before it was confirmed to ask for less',
      'The config file asks for less: the person was asked to confirm it',
      'The config file asks for more, which holds',
    ]);
    expect(window.get('audit-row').querySelector('.remark')?.textContent).toContain(
      'asked first: rm',
    );
    expect(window.get('audit-row').textContent).not.toContain('\u202e');
    const before = window.host.callsOf('audit').length;
    window.host.loosen(null);
    await expect.poll(() => window.host.callsOf('audit').length).toBeGreaterThan(before);
  });
});

describe('the rules', () => {
  it('stand in the order in which they are looked at, with all that they mean', async () => {
    await openRules([
      made(2, { match: ['make', '<b>', ''], folder: '/srv/app', session: 's1', kind: 'deploy' }),
      made(1, { expires_at: Date.now() - HOUR, name: 'old \u202e one' }),
      ofFile({ name: 'no pushes' }),
    ]);
    await window.find('rule');
    const parts = (row: HTMLElement): string[] =>
      [...row.querySelectorAll('.place, .then, code, .name, .facts span')].map((part) =>
        part.textContent.trim().replaceAll(/\s+/g, ' '),
      );
    const rows = window.all('rule').map(parts);
    expect(rows[0]?.slice(0, -1)).toEqual([
      ...['1', 'Need not ask', 'make', '<b>', '(empty)', 'in /srv/app', 'for the session s1'],
      ...['of kind deploy', 'ends in 1d 5h'],
    ]);
    expect(rows[0]?.at(-1)).toMatch(/^made .+ by a person in the window$/);
    expect(rows[1]?.slice(0, -1)).toEqual([
      ...['2', 'Expired', 'git', 'push', '**', 'old ⟨U+202E⟩ one', 'ended 1h 00m ago'],
    ]);
    expect(rows[2]).toEqual([
      ...['3', 'Ask first', 'git', 'push', '**', 'no pushes', 'holds for good'],
    ]);
    expect(document.body.textContent).toContain('/home/mika/.config/nod/config.toml');
    // The file's are changed in the file.
    expect(window.all('revoke-rule')).toHaveLength(2);
    expect(window.get('rule-end').title).not.toBe('');
  });

  it('are revoked in two steps, by keyboard too, and the focus stays with them', async () => {
    await openRules([made(3), made(2), made(1)]);
    await window.find('rule');
    await user.keyboard('jj');
    expect(document.activeElement).toBe(window.all('revoke-rule')[1]);
    await user.keyboard('{Enter}');
    expect((document.activeElement as HTMLElement).dataset.test).toBe('keep-rule');
    await user.keyboard('{Escape}');
    expect(document.activeElement).toBe(window.all('revoke-rule')[1]);
    expect(window.host.callsOf('revoke_rule')).toEqual([]);
    await user.keyboard('{Enter}{Tab}{Enter}');
    await expect.poll(() => window.all('rule')).toHaveLength(2);
    expect(window.host.callsOf('revoke_rule').map((call) => call.params.id)).toEqual([2]);
    await expect.poll(() => document.activeElement).toBe(window.all('revoke-rule')[1]);
    await user.keyboard('{Enter}{Tab}{Enter}');
    await expect.poll(() => window.all('rule')).toHaveLength(1);
    await expect.poll(() => document.activeElement).toBe(window.get('revoke-rule'));
    await user.keyboard('{Enter}{Tab}{Enter}');
    await expect.poll(() => document.body.textContent).toContain('No rules');
    await expect.poll(() => document.activeElement).toBe(window.get('new-rule'));
  });

  it('stay where the engine does not revoke one, and say why', async () => {
    await openRules([made(1)]);
    await user.click(await window.find('revoke-rule'));
    window.host.refusals.set('revoke_rule', new EngineError('storage', 'the disk is full'));
    await user.click(window.get('revoke-confirm'));
    await expect.poll(() => window.get('rule').textContent).toContain('The disk is full');
    expect(document.activeElement).toBe(window.get('revoke-confirm'));
  });

  it('are listed anew when they change elsewhere', async () => {
    await openRules([]);
    await expect.poll(() => document.body.textContent).toContain('No rules');
    window.host.rules.kept = [made(1)];
    window.host.loosen(null);
    await window.find('rule');
  });

  it('that were dropped from the file say that they hold, and what waits is shown', async () => {
    await openRules([ofFile({ name: 'no pushes' }, true)], ({ host }) => {
      host.loosen({ hash: 'x', changes: ['no longer asked first: no pushes <b>'] });
    });
    await window.find('rule-dropped');
    expect(window.get('rules-wait').textContent).toContain('no longer asked first: no pushes <b>');
    expect(window.get('rule').textContent).toContain('Ask first');
    await user.click(window.get('review-loosening'));
    await window.find('loosening-card');
  });

  it('that do not do what they seem to are told of', async () => {
    await openRules([made(1)], ({ host }) => {
      host.rules.notes = ['ls: there is no folder /srv/\u202eco', 'the file has an error'];
      host.config_error = 'the file has an error';
    });
    expect((await window.find('rule-notes')).textContent).toContain(
      'ls: there is no folder /srv/⟨U+202E⟩co',
    );
    window.host.lag();
    await expect.poll(() => window.get('rule-notes').querySelectorAll('li')).toHaveLength(1);
    window.host.rules.notes = [];
    window.host.loosen(null);
    await expect.poll(() => window.all('rule-notes')).toEqual([]);
  });

  it('that cannot be listed say why, and are asked for again', async () => {
    await openRules([made(1)], ({ host }) => {
      host.refusals.set('rules', new EngineError('storage', 'the database is locked'));
    });
    const problem = await window.find('rules-error');
    expect(problem.textContent).toContain('The database is locked');
    window.host.refusals.clear();
    await user.click(window.get('rules-retry'));
    await window.find('rule');
    expect(window.all('rules-error')).toEqual([]);
  });
});

describe('a new rule', () => {
  const added = () => window.host.callsOf('add_rule').map((call) => call.params.rule);
  const save = async (): Promise<void> => {
    await expect.poll(() => (window.get('save-rule') as HTMLButtonElement).disabled).toBe(false);
    await user.click(window.get('save-rule'));
  };

  it('asks first for good unless it is told otherwise', async () => {
    await openRules([]);
    await user.click(window.get('new-rule'));
    await user.type(window.get('rule-word').querySelector('input') as HTMLElement, 'rm');
    await user.click(window.get('add-words'));
    await user.type(window.get('rule-session'), 's1');
    await save();
    await window.find('rule');
    expect(added()).toEqual([aRule({ match: ['rm', '**'], session: 's1' })]);
    expect(document.activeElement).toBe(window.get('new-rule'));
  });

  it('that lets pass must end', async () => {
    await openRules([]);
    await user.click(window.get('new-rule'));
    expect((window.get('ending-never') as HTMLInputElement).checked).toBe(true);
    await user.click(window.get('then-need_not_ask'));
    expect(window.all('ending-never')).toEqual([]);
    expect((window.get('ending-7') as HTMLInputElement).checked).toBe(true);
    await user.type(window.get('rule-word').querySelector('input') as HTMLElement, 'ls');
    await save();
    await window.find('rule');
    expect(added()).toMatchObject([{ match: ['ls'], then: 'need_not_ask' }]);
    expect(added()[0]?.expires_at).toBeGreaterThan(Date.now());
  });

  it('is closed with Escape, which makes none, and the keys of the window rest meanwhile', async () => {
    await openRules([]);
    await user.click(window.get('new-rule'));
    await user.keyboard('2n');
    expect(window.all('submit-go')).toEqual([]);
    expect(window.get('new-rule')).toBeDefined();
    // jsdom knows no Escape for a dialog: the event that it brings.
    document.querySelector('dialog')?.dispatchEvent(new Event('cancel', { cancelable: true }));
    await expect.poll(() => window.all('save-rule')).toEqual([]);
    expect(document.activeElement).toBe(window.get('new-rule'));
    expect(added()).toEqual([]);
  });
});
