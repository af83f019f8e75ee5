/** What there is to say of a task beside its name, folder and state, as pairs of words. */
import type { Dependency, Task, TaskDetail, Timestamp } from '../../engine/types';
import { byteSize } from '../../shared/size';
import { dateTime, duration, shortDateTime } from '../../shared/time';
import { exitWords } from '../../shared/words';

export interface Fact {
  readonly name: string;
  readonly value: string;
  /** The value in full, where it is shortened. */
  readonly full?: string;
  /** Long values have a line of their own. */
  readonly wide?: boolean;
}

/** Returns what is known; what is not known is left out. */
export function factsOf(task: Task, detail: TaskDetail | null, now: Timestamp): Fact[] {
  const attempt = detail?.attempts.find((attempt) => attempt.number === task.attempt);
  const left = attempt?.left.join('\n') ?? '';
  const facts: (Fact | null)[] = [
    moment('Submitted', task.created_at, now),
    moment('Started', task.started_at, now),
    moment('Ended', task.ended_at, now),
    known('Exit', attempt?.exit, exitWords),
    task.attempt > 1 ? { name: 'Attempt', value: String(task.attempt) } : null,
    task.kind === 'command' ? null : { name: 'Kind', value: task.kind },
    { name: 'Group', value: task.schedule.group },
    task.schedule.priority === 0
      ? null
      : { name: 'Priority', value: String(task.schedule.priority) },
    task.schedule.after.length === 0
      ? null
      : { name: 'After', value: task.schedule.after.map(dependencyWords).join(', ') },
    moment('Not before', task.schedule.not_before, now),
    known('Retries left', task.schedule.retry, (retry) => `${retry.left} of ${retry.retries}`),
    usesFact(task),
    known('Key', task.schedule.key, String),
    known('Timeout', task.timeout_ms, duration),
    known('Peak memory', attempt?.peak_memory, byteSize),
    known('CPU time', attempt?.cpu_ms, duration),
    known('Process', attempt?.process, String),
    known('Submitted by', task.parent, (id) => `task ${id}`),
    known('Session', task.session, String),
    known('Log limit', task.options.log_limit, (limit) => (limit === 0 ? 'none' : byteSize(limit))),
    known('Grace of each signal', task.options.grace_ms, duration),
    left === '' ? null : { name: 'Left behind', value: left, wide: true },
  ];
  return facts.filter((fact) => fact !== null);
}

function dependencyWords({ task, any }: Dependency): string {
  return any ? `task ${task} (any end)` : `task ${task}`;
}

function usesFact(task: Task): Fact | null {
  const uses = Object.entries(task.schedule.uses).map(([name, weight]) => `${weight} of ${name}`);
  return uses.length === 0 ? null : { name: 'Uses', value: uses.join(', ') };
}

function moment(name: string, at: Timestamp | null, now: Timestamp): Fact | null {
  return at === null ? null : { name, value: shortDateTime(at, now), full: dateTime(at) };
}

function known<Value>(
  name: string,
  value: Value | null | undefined,
  words: (value: Value) => string,
): Fact | null {
  return value === null || value === undefined ? null : { name, value: words(value) };
}
