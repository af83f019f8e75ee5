/** What there is to say of a task beside its name and state, as pairs of words. */
import type { Task, TaskDetail } from '../../engine/types';
import { byteSize } from '../../shared/size';
import { dateTime, duration } from '../../shared/time';
import { exitWords } from '../../shared/words';

export interface Fact {
  readonly name: string;
  readonly value: string;
  /** Long values have a line of their own. */
  readonly wide?: boolean;
}

/** Returns what is known; what is not known is left out. */
export function factsOf(task: Task, detail: TaskDetail | null): Fact[] {
  const attempt = detail?.attempts.find((attempt) => attempt.number === task.attempt);
  const left = attempt?.left.join('\n') ?? '';
  const facts: (Fact | null)[] = [
    { name: 'Folder', value: task.cwd, wide: true },
    { name: 'Submitted', value: dateTime(task.created_at) },
    known('Started', task.started_at, dateTime),
    known('Ended', task.ended_at, dateTime),
    known('Exit', attempt?.exit, exitWords),
    task.attempt > 1 ? { name: 'Attempt', value: String(task.attempt) } : null,
    known('Timeout', task.timeout_ms, duration),
    known('Peak memory', attempt?.peak_memory, byteSize),
    known('CPU time', attempt?.cpu_ms, duration),
    known('Process', attempt?.process, String),
    known('Submitted by', task.parent, (id) => `task ${id}`),
    known('Session', task.session, String),
    left === '' ? null : { name: 'Left behind', value: left, wide: true },
  ];
  return facts.filter((fact) => fact !== null);
}

function known<Value>(
  name: string,
  value: Value | null | undefined,
  words: (value: Value) => string,
): Fact | null {
  return value === null || value === undefined ? null : { name, value: words(value) };
}
