import { describe, expect, it } from 'vitest';
import type { Outcome, QueueReason, TaskState } from '../engine/types';
import { barOf } from './bar';
import { canCancel } from './cancelling';
import {
  commandWords,
  queueWords,
  stateExplanation,
  stateName,
  stateWords,
  taskWords,
} from './words';

const person = { type: 'person', surface: 'window' } as const;
const ended = (outcome: Outcome): TaskState => ({ name: 'ended', outcome });
const exit = (code: number): TaskState =>
  ended({ type: 'failed', failure: { type: 'exit', code } });
const spawn = ended({
  type: 'failed',
  failure: {
    type: 'spawn',
    error: { program: 'pyton', cwd: '/tmp', message: 'No such file', not_found: true },
  },
});
const denied = (reason: string | null): TaskState =>
  ended({ type: 'denied', denial: { type: 'by_person', by: person, reason } });
const stopping: TaskState = {
  name: 'stopping',
  cause: { type: 'cancelled', by: person },
  stage: null,
};

const CASES: [TaskState, string, string][] = [
  [{ name: 'queued', reason: { type: 'slot' } }, 'queued', 'Queued'],
  [{ name: 'queued', reason: { type: 'gate', request: 1 } }, 'queued', 'Needs approval'],
  [{ name: 'starting' }, 'starting', 'Running'],
  [{ name: 'running' }, 'running', 'Running'],
  [{ name: 'waiting', open: [1] }, 'waiting', 'Needs approval'],
  [stopping, 'stopping', 'Stopping'],
  [ended({ type: 'succeeded' }), 'succeeded', 'Succeeded'],
  [exit(2), 'failed', 'Failed (exit 2)'],
  [ended({ type: 'failed', failure: { type: 'signal', signal: 9 } }), 'failed', 'Failed (SIGKILL)'],
  [spawn, 'failed', 'Failed (did not start)'],
  [ended({ type: 'cancelled', by: person }), 'cancelled', 'Cancelled'],
  [ended({ type: 'timed_out' }), 'timed_out', 'Timed out'],
  [denied(null), 'denied', 'Denied'],
  [ended({ type: 'denied', denial: { type: 'expired' } }), 'denied', 'Denied (expired)'],
  [ended({ type: 'skipped', dependency: 3 }), 'skipped', 'Skipped'],
  [ended({ type: 'lost', why: 'gone' }), 'lost', 'Lost'],
];

describe('the words of a state', () => {
  it.each(CASES)('%j is named %s and reads "%s"', (state, name, words) => {
    expect(stateName(state)).toBe(name);
    expect(stateWords(state)).toBe(words);
  });

  it('say what a queued task waits for', () => {
    const words: [QueueReason, string][] = [
      [{ type: 'dependency', tasks: [3, 4] }, 'It starts after task 3, 4.'],
      [{ type: 'paused' }, 'Its group is paused.'],
      [{ type: 'resource', name: 'gpu' }, 'It starts when gpu is free.'],
      [
        { type: 'cap', of: 'tasks of kind deploy' },
        'It waits: as many tasks of kind deploy run as may at once.',
      ],
    ];
    for (const [reason, expected] of words) {
      expect(stateExplanation({ name: 'queued', reason })).toBe(expected);
      expect(stateWords({ name: 'queued', reason })).toBe('Queued');
    }
    const until = new Date(2031, 0, 2, 18, 30).getTime();
    expect(queueWords({ type: 'delay', until })).toContain('2031');
  });

  it('tell an input that is needed from an approval', () => {
    const waiting: TaskState = { name: 'waiting', open: [1] };
    const condition = { paused: false, disk_full: false, unbounded_log: false, prompt: null };
    const words = (wants_input: boolean) =>
      taskWords({ state: waiting, condition: { ...condition, wants_input } });
    expect(words(true)).toBe('Needs input');
    expect(words(false)).toBe('Needs approval');
  });

  it('say why, where there is more to say', () => {
    expect(stateExplanation(denied('too late'))).toBe('Denied by a person in the window: too late');
    expect(stateExplanation(denied(null))).toBe('Denied by a person in the window.');
    expect(stateExplanation(spawn)).toBe('Failed to start pyton in /tmp: No such file');
    expect(stateExplanation(ended({ type: 'lost', why: 'gone' }))).toBe('gone');
    expect(stateExplanation(ended({ type: 'succeeded' }))).toBeNull();
  });
});

describe('a progress bar', () => {
  const at = (percent: number | null) =>
    ({ percent, message: null, source: 'reported', phase: 0, phase_name: null }) as const;

  it('is full only on success', () => {
    expect(barOf(ended({ type: 'succeeded' }), at(40))?.percent).toBe(100);
    expect(barOf({ name: 'running' }, at(100))?.percent).toBe(99);
    expect(barOf(exit(1), at(100))?.percent).toBe(99);
  });

  it('is missing before the start, and unknown while nothing is told', () => {
    expect(barOf({ name: 'queued', reason: { type: 'slot' } }, at(10))).toBeNull();
    expect(barOf({ name: 'running' }, null)?.percent).toBeNull();
    expect(barOf({ name: 'waiting', open: [1] }, null)).toBeNull();
    expect(barOf(exit(1), null)).toBeNull();
  });
});

describe('a cancel', () => {
  it('is for what has not ended and is not being cancelled', () => {
    const timedOut: TaskState = { name: 'stopping', cause: { type: 'timed_out' }, stage: null };
    expect(canCancel({ name: 'running' })).toBe(true);
    expect(canCancel(timedOut)).toBe(true);
    expect(canCancel({ ...timedOut, cancelled_by: { type: 'person', surface: 'window' } })).toBe(
      false,
    );
    expect(canCancel(stopping)).toBe(false);
    expect(canCancel(exit(1))).toBe(false);
  });
});

describe('a command', () => {
  it.each([
    [['cargo', 'build'], 'cargo build'],
    [['echo', 'two words', "it's", ''], String.raw`echo 'two words' 'it'\''s' ''`],
    [['echo', '完了', '$HOME'], "echo 完了 '$HOME'"],
  ])('%j can be pasted into a shell', (argv, expected) => {
    expect(commandWords({ type: 'argv', argv })).toBe(expected);
  });

  it('of a shell is shown as it was written', () => {
    expect(commandWords({ type: 'shell', line: 'a && b' })).toBe('a && b');
  });
});
