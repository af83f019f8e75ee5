import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { aRequest, aTask, progress } from './fake-scenes';
import { TaskStore } from './task-store.svelte';
import type { Event, Snapshot } from './types';

function snapshot(changes: Partial<Snapshot> = {}): Snapshot {
  return {
    ...{
      epoch: 'e',
      seq: 10,
      tasks: [aTask(1)],
      requests: [],
      counts: {},
      loosening: null,
      home: '/home/mika',
      findings: [],
    },
    ...{ groups: [], config_error: null },
    now: Date.now(),
    ...changes,
  };
}

function taskEvent(seq: number, label: string): Event {
  return { seq, at: 0, change: { type: 'task', task: aTask(1, { label }) } };
}

function progressEvent(seq: number, percent: number): Event {
  return { seq, at: 0, change: { type: 'progress', id: 1, progress: progress(percent) } };
}

describe('TaskStore', () => {
  let store: TaskStore;
  const percent = (): number | null | undefined => {
    const task = store.task(1);
    return task && store.progress(task)?.percent;
  };

  beforeEach(() => {
    vi.useFakeTimers();
    store = new TaskStore();
    store.replace(snapshot());
  });

  afterEach(() => {
    vi.useRealTimers();
  });

  it('applies events in order', () => {
    expect(store.apply(taskEvent(11, 'first'))).toBe('applied');
    expect(store.apply(taskEvent(12, 'second'))).toBe('applied');
    expect(store.task(1)?.label).toBe('second');
    expect(store.seq).toBe(12);
  });

  it('ignores what is older than what it knows', () => {
    store.apply(taskEvent(11, 'new'));
    expect(store.apply(taskEvent(11, 'again'))).toBe('ignored');
    expect(store.apply(taskEvent(10, 'old'))).toBe('ignored');
    expect(store.task(1)?.label).toBe('new');
  });

  it('changes nothing when events before it were missed', () => {
    expect(store.apply(taskEvent(12, 'after a gap'))).toBe('missed');
    expect(store.apply(progressEvent(11, 50))).toBe('missed');
    expect(store.apply({ seq: 10, at: 0, change: { type: 'lagged' } })).toBe('missed');
    expect(store.task(1)?.label).toBeNull();
    expect(store.seq).toBe(10);
  });

  it('takes every progress that repeats the last number', () => {
    store.apply(progressEvent(10, 20));
    store.apply(progressEvent(10, 30));
    vi.runAllTimers();
    expect(percent()).toBe(30);
  });

  it('ignores progress that is older than the last event', () => {
    store.apply(taskEvent(11, 'later'));
    expect(store.apply(progressEvent(10, 20))).toBe('ignored');
    vi.runAllTimers();
    expect(percent()).toBeUndefined();
  });

  it('lets a task that came after a progress win', () => {
    store.apply(progressEvent(10, 20));
    const done = aTask(1, { progress: progress(90) });
    store.apply({ seq: 11, at: 0, change: { type: 'task', task: done } });
    vi.runAllTimers();
    expect(percent()).toBe(90);
  });

  it('sorts what has not ended by number and what has by its end', () => {
    const ended = { name: 'ended', outcome: { type: 'succeeded' } } as const;
    const tasks = [
      aTask(1, { state: ended, ended_at: 300 }),
      aTask(2, { state: ended, ended_at: 200 }),
      aTask(3),
      aTask(4),
    ];
    store.replace(snapshot({ tasks }));
    expect(store.unfinished.map((task) => task.id)).toEqual([4, 3]);
    expect(store.ended.map((task) => task.id)).toEqual([1, 2]);
  });

  it('counts only open requests as needing a person, oldest first', () => {
    const closure = { type: 'expired', at: 3 } as const;
    const requests = [aRequest(7, 1, { created_at: 2 }), aRequest(8, 1, { created_at: 1 })];
    store.replace(snapshot({ requests }));
    expect(store.needsYou.map((request) => request.id)).toEqual([8, 7]);
    const request = aRequest(8, 1, { created_at: 1, closure });
    store.apply({ seq: 11, at: 0, change: { type: 'request', request } });
    expect(store.needsYou.map((open) => open.id)).toEqual([7]);
    expect(store.request(8)?.closure).toEqual(closure);
  });

  it('forgets what a snapshot no longer holds', () => {
    store.replace(snapshot({ seq: 40, tasks: [aTask(2)] }));
    expect(store.task(1)).toBeUndefined();
    expect(store.unfinished.map((task) => task.id)).toEqual([2]);
    expect(store.apply(taskEvent(40, 'old'))).toBe('ignored');
  });

  it('keeps no more than the latest of the tasks that ended', () => {
    const outcome = { type: 'succeeded' } as const;
    for (let id = 1; id <= 500; id += 1) {
      const task = aTask(id, { state: { name: 'ended', outcome }, ended_at: id });
      store.apply({ seq: 10 + id, at: 0, change: { type: 'task', task } });
    }
    expect(store.ended.at(0)?.id).toBe(500);
    expect(store.ended).toHaveLength(100);
    expect(store.task(100)).toBeUndefined();
  });
});
