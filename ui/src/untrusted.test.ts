/** Texts of others, in every place of the window where they are shown: text, and nothing unseen. */
import { userEvent } from '@testing-library/user-event';
import { afterEach, expect, it } from 'vitest';
import { aRequest, aTask } from './engine/fake-scenes';
import { EngineError } from './engine/transport';
import type { AuditRow, KeptRule, Request, Task } from './engine/types';
import { openWindow, type OpenWindow } from './testing/window';

const user = userEvent.setup({ delay: null });
const EVIL = 'evil\u001b[2J\u0007\u202edlo\u2066\u009b31m\u200b <img src=x>';
const UNSEEN = ['\u0007', '\u001b', '\u009b', '\u200b', '\u202e', '\u2066'];
let window: OpenWindow;

afterEach(() => {
  window.close();
});

/** Fails where something unseen stands in the window, be it in a hint or a label of a control. */
function expectVisible(where: string): void {
  const faults = [...document.body.querySelectorAll('*')].flatMap((element) => {
    const texts = [...element.childNodes]
      .filter((node) => node.nodeType === Node.TEXT_NODE)
      .map((node) => node.nodeValue ?? '');
    const hints = ['title', 'aria-label', 'placeholder'].map((name) => element.getAttribute(name));
    const found = [...texts, ...hints].find((text) => UNSEEN.some((sign) => text?.includes(sign)));
    return found === undefined ? [] : [`${element.outerHTML.slice(0, 80)}: ${found}`];
  });
  expect(faults, where).toEqual([]);
  expect(document.querySelectorAll('img'), where).toHaveLength(0);
}

const task = (id: number, changes: Partial<Task> = {}): Task =>
  aTask(id, {
    ...{ label: EVIL, cwd: `/srv/${EVIL}`, session: EVIL, kind: EVIL },
    command: { type: 'argv', argv: [EVIL, EVIL] },
    ...changes,
  });

function request(id: number, changes: Partial<Request> = {}): Request {
  const shown = {
    ...aRequest(id, 1).shown,
    ...{ task_name: EVIL, question: EVIL, detail: EVIL, diff: `+${EVIL}`, cwd: EVIL },
    ...{ argv: [EVIL], terms: [EVIL] },
    environment: [{ name: EVIL, change: 'added', value: EVIL, masked: false } as const],
    wants: { type: 'choice' as const, choices: [EVIL, 'b'], default: null },
  };
  return aRequest(id, 1, { shown, ...changes });
}

const auditRow: AuditRow = {
  ...{ id: 1, at: 1, what: 'answered', actor: { type: 'host' }, from: EVIL, task: 1, request: 1 },
  ...{ asked_by: null, shown: request(1).shown, hash: 'f00d', comment: EVIL, detail: EVIL },
  answer: { type: 'text', text: EVIL },
};

const rule: KeptRule = {
  ...{ id: 1, made_at: 1, made_by: { type: 'person', surface: 'window' }, is_dropped: false },
  rule: {
    ...{ name: EVIL, match: [EVIL, '**'], then: 'ask_first', folder: `/${EVIL}` },
    ...{ session: EVIL, kind: EVIL, expires_at: null },
  },
};

async function open(): Promise<void> {
  const running = task(1, {
    state: { name: 'waiting', open: [1, 2] },
    progress: { percent: 3, message: EVIL, source: 'reported', phase: 0, phase_name: EVIL },
  });
  running.condition.prompt = EVIL;
  const failed = task(2, {
    ended_at: 2,
    state: {
      name: 'ended',
      outcome: { type: 'failed', failure: { type: 'said', message: EVIL } },
    },
  });
  const lost = task(3, {
    ended_at: 2,
    state: { name: 'ended', outcome: { type: 'lost', why: EVIL } },
  });
  const attempt = {
    ...{ number: 1, process: 1, started_at: 1, exited_at: 2, ended_at: 2, exit: null },
    ...{ outcome: null, peak_memory: null, cpu_ms: null, left: [EVIL], tail: EVIL },
    log_path: EVIL,
  };
  const detail = {
    argv: [EVIL],
    environment: [{ name: EVIL, change: 'added', value: EVIL, masked: false } as const],
    attempts: [attempt],
    events: [{ seq: 1, at: 1, what: 'request_opened', detail: EVIL }],
    log_path: EVIL,
  };
  const peer = { type: 'peer', uid: 1, pid: 2 } as const;
  const requests = [
    request(1, { also_asked_by: [{ by: peer, at: 1 }] }),
    request(2, { closure: { type: 'withdrawn', why: EVIL, at: 2 } }),
  ];
  const details = new Map([1, 2, 3].map((id) => [id, detail]));
  window = await openWindow({ tasks: [running, failed, lost], requests, details }, (host) => {
    host.rules.kept = [rule, { ...rule, id: null }];
    host.rules.audit = [auditRow];
    host.rules.config_file = EVIL;
    host.findings = [EVIL];
    host.config_error = EVIL;
    host.loosening = { hash: 'h', changes: [EVIL] };
  });
}

it('is text in every view', async () => {
  await open();
  expectVisible('what stands above the views');
  await user.keyboard('1');
  await window.find('request-card');
  await window.find('loosening-card');
  expectVisible('the cards');
  for (const [key, id] of [
    ['2', 1],
    ['3', 2],
    ['3', 3],
  ] as const) {
    await user.keyboard(key);
    await expect.poll(() => document.querySelector(`[data-task-id="${id}"]`)).not.toBeNull();
    expectVisible(`the list ${key}`);
    document.querySelector<HTMLElement>(`[data-task-id="${id}"] [data-row]`)?.click();
    await window.find('detail');
    for (const tab of ['events', 'audit', 'environment']) {
      (await window.find(`tab-${tab}`)).click();
      await expect.poll(() => window.get(`tab-${tab}`).ariaSelected).not.toBe('false');
      expectVisible(`task ${id}, ${tab}`);
    }
    await user.keyboard('{Escape}');
  }
  await user.keyboard('4');
  await window.find('rule');
  (await window.find('rules-audit')).querySelector('summary')?.click();
  await window.find('audit-row');
  expectVisible('the rules');
});

it('is text in a rule that is being made from it, and in what is said to have failed', async () => {
  await open();
  window.host.open(
    request(3, { origin: 'gate', shown: { ...request(3).shown, wants: { type: 'approval' } } }),
  );
  await user.keyboard('1');
  await expect.poll(() => window.all('always-allow').length).toBeGreaterThan(0);
  window.get('always-allow').click();
  await expect.poll(() => document.querySelector('dialog')).not.toBeNull();
  expectVisible('the rule and its preview');
  document.querySelector('dialog')?.dispatchEvent(new Event('cancel', { cancelable: true }));
  window.host.refusals.set('cancel', new EngineError('internal', EVIL));
  await user.keyboard('2');
  await expect.poll(() => window.all('task-cancel').length).toBeGreaterThan(0);
  window.get('task-cancel').click();
  await expect.poll(() => document.querySelector('.toast')).not.toBeNull();
  expectVisible('what is said at the edge');
});
