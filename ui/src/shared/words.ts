/** The words of the design for what the engine says. One place, so that they are the same everywhere. */
import type {
  Actor,
  Answer,
  AuditRow,
  Closure,
  CommandLine,
  EnvironmentChange,
  ExitStatus,
  Failure,
  Outcome,
  QueueReason,
  Request,
  Source,
  StateName,
  StopCause,
  Surface,
  Task,
  TaskState,
} from '../engine/types';
import { shortDateTime } from './time';

/** How a state looks: the colour and the sign of its badge. */
export type Tone = 'idle' | 'busy' | 'held' | 'ask' | 'stop' | 'good' | 'bad' | 'gone';

/** Returns the state's bare name, as filters and tests know it. */
export function stateName(state: TaskState): StateName {
  return state.name === 'ended' ? state.outcome.type : state.name;
}

export function stateWords(state: TaskState): string {
  switch (state.name) {
    case 'queued':
      return state.reason.type === 'gate' ? 'Needs approval' : 'Queued';
    case 'starting':
    case 'running':
      return 'Running';
    case 'waiting':
      return 'Needs approval';
    case 'stopping':
      return 'Stopping';
    case 'ended':
      return outcomeWords(state.outcome);
  }
}

/** What the words of a task are about. */
type Standing = Pick<Task, 'state' | 'condition'>;

/** Returns the words for where a task stands: those of the state, and what is beside it. */
export function taskWords({ state, condition }: Standing): string {
  if (isAlive(state) && condition.paused) return 'Paused';
  if (state.name === 'running' && condition.prompt !== null) return 'Needs input';
  if (state.name === 'waiting' && condition.wants_input) return 'Needs input';
  return stateWords(state);
}

export function taskTone({ state, condition }: Standing): Tone {
  if (isAlive(state) && condition.paused) return 'held';
  if (state.name === 'running' && condition.prompt !== null) return 'ask';
  return stateTone(state);
}

/** Returns whether a task runs, or would if it had not to wait for an answer. */
export function isAlive(state: TaskState): boolean {
  return state.name === 'running' || state.name === 'waiting';
}

/** Returns why a task is where it is, where its words leave that open. */
export function taskExplanation({ state, condition }: Standing): string | null {
  if (state.name === 'ended') return stateExplanation(state);
  const lines = [
    stateExplanation(state),
    condition.disk_full
      ? 'The disk is full: the task waits until there is room for its output.'
      : null,
    condition.unbounded_log
      ? 'The output grows past its bound: the file system there cannot give back a part of a file.'
      : null,
    condition.prompt === null
      ? null
      : `It printed nothing since it seems to have asked: ${condition.prompt}`,
  ].filter((line) => line !== null);
  return lines.length === 0 ? null : lines.join('\n');
}

export function outcomeWords(outcome: Outcome): string {
  switch (outcome.type) {
    case 'succeeded':
      return 'Succeeded';
    case 'failed':
      return failureWords(outcome.failure);
    case 'cancelled':
      return 'Cancelled';
    case 'timed_out':
      return 'Timed out';
    case 'denied':
      return outcome.denial.type === 'expired' ? 'Denied (expired)' : 'Denied';
    case 'skipped':
      return 'Skipped';
    case 'lost':
      return 'Lost';
  }
}

function failureWords(failure: Failure): string {
  switch (failure.type) {
    case 'exit':
      return `Failed (exit ${failure.code})`;
    case 'signal':
      return `Failed (${signalName(failure.signal)})`;
    case 'spawn':
      return 'Failed (did not start)';
    case 'said':
      return 'Failed';
  }
}

export function stateTone(state: TaskState): Tone {
  switch (state.name) {
    case 'queued':
      return state.reason.type === 'gate' ? 'ask' : 'idle';
    case 'starting':
    case 'running':
      return 'busy';
    case 'waiting':
      return 'ask';
    case 'stopping':
      return 'stop';
    case 'ended':
      return outcomeTone(state.outcome);
  }
}

function outcomeTone(outcome: Outcome): Tone {
  switch (outcome.type) {
    case 'succeeded':
      return 'good';
    case 'failed':
    case 'timed_out':
    case 'lost':
      return 'bad';
    case 'cancelled':
    case 'denied':
    case 'skipped':
      return 'gone';
  }
}

/** Returns why a task is where it is, where the state's words leave that open. */
export function stateExplanation(state: TaskState): string | null {
  switch (state.name) {
    case 'queued':
      return queueWords(state.reason);
    case 'starting':
    case 'running':
    case 'waiting':
      return null;
    case 'stopping':
      return stopWords(state.cause, state.cancelled_by);
    case 'ended':
      return outcomeExplanation(state.outcome);
  }
}

/** Returns what a queued task waits for; nothing where a question says it. */
export function queueWords(reason: QueueReason): string | null {
  switch (reason.type) {
    case 'gate':
      return null;
    case 'slot':
      return 'It starts when a slot is free.';
    case 'dependency':
      return `It starts after task ${reason.tasks.join(', ')}.`;
    case 'delay':
      return `It starts ${shortDateTime(reason.until, Date.now())}.`;
    case 'paused':
      return 'Its group is paused.';
    case 'resource':
      return `It starts when ${reason.name} is free.`;
    case 'cap':
      return `It waits: as many ${reason.of} run as may at once.`;
  }
}

function stopWords(cause: StopCause, cancelledBy?: Actor): string {
  const cancelled = cancelledBy ? ` Cancelled by ${actorWords(cancelledBy)}.` : '';
  switch (cause.type) {
    case 'cancelled':
      return `Cancelled by ${actorWords(cause.by)}.`;
    case 'timed_out':
      return `Its time is up.${cancelled}`;
    case 'left_processes':
      return `It ended and left processes behind, which are being stopped.${cancelled}`;
  }
}

/** Returns whether a task failed for nothing but the reason that it gave. */
export function isOwnFailure(state: TaskState): boolean {
  return (
    state.name === 'ended' &&
    state.outcome.type === 'failed' &&
    state.outcome.failure.type === 'said'
  );
}

function outcomeExplanation(outcome: Outcome): string | null {
  switch (outcome.type) {
    case 'succeeded':
      return null;
    case 'timed_out':
      return 'It took longer than it was allowed to.';
    case 'failed': {
      if (outcome.failure.type === 'said') return outcome.failure.message;
      if (outcome.failure.type !== 'spawn') return null;
      const { program, cwd, message } = outcome.failure.error;
      return `Failed to start ${program} in ${cwd}: ${message}`;
    }
    case 'cancelled':
      return `Cancelled by ${actorWords(outcome.by)}.`;
    case 'denied': {
      if (outcome.denial.type === 'expired') return 'Nobody answered in time.';
      const { by, reason } = outcome.denial;
      return reason === null
        ? `Denied by ${actorWords(by)}.`
        : `Denied by ${actorWords(by)}: ${reason}`;
    }
    case 'skipped':
      return `Task ${outcome.dependency} did not succeed.`;
    case 'lost':
      return outcome.why;
  }
}

const SURFACES: Record<Surface, string> = {
  window: 'the window',
  terminal: 'a terminal',
  notification: 'a notification',
};

export function actorWords(actor: Actor): string {
  switch (actor.type) {
    case 'person':
      return `a person in ${SURFACES[actor.surface]}`;
    case 'peer':
      return `the command line (process ${actor.pid})`;
    case 'task':
      return `task ${actor.id}`;
    case 'host':
      return 'Nod';
  }
}

function answerWords(answer: Answer): string {
  switch (answer.type) {
    case 'approve':
      return 'Approved';
    case 'deny':
      return 'Denied';
    case 'choice':
    case 'text':
    case 'form':
      return 'Answered';
  }
}

/** Returns `text` as a sentence begins. */
export function sentence(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** Returns what was answered in so many words; nothing for yes and no. */
export function answerText(answer: Answer): string | null {
  switch (answer.type) {
    case 'approve':
    case 'deny':
      return null;
    case 'choice':
      return answer.choice;
    case 'text':
      return answer.text;
    case 'form':
      return JSON.stringify(answer.data, null, 2);
  }
}

const ANSWER_NOUNS: Record<Answer['type'], string> = {
  approve: 'an approval',
  deny: 'a denial',
  ...{ choice: 'an answer', text: 'an answer', form: 'an answer' },
};

/** Returns what a row of the audit says happened, and by whom. */
export function auditWords(row: AuditRow): string {
  const by = actorWords(row.actor);
  switch (row.what) {
    case 'answered':
      return `${row.answer === null ? 'Answered' : answerWords(row.answer)} by ${by}`;
    case 'refused':
      return `Refused: ${ANSWER_NOUNS[row.answer?.type ?? 'text']} by ${by}`;
    case 'expired':
      return 'Expired: nobody answered in time';
    case 'defaulted':
      return row.answer?.type === 'approve'
        ? 'Nobody answered in time: its kind is approved then'
        : 'Nobody answered in time: the default was taken';
    case 'withdrawn':
      return 'Withdrawn';
    case 'passed':
      return 'Not asked: a rule let it start';
    case 'rule_added':
      return `Rule added by ${by}`;
    case 'rule_revoked':
      return `Rule revoked by ${by}`;
    case 'rule_expired':
      return 'The time of a rule is up';
    case 'tightened':
      return 'The config file asks for more, which holds';
    case 'loosening_asked':
      return 'The config file asks for less: the person was asked to confirm it';
    case 'loosening_taken_back':
      return 'The config file was changed again before it was confirmed to ask for less';
    case 'loosened':
      return `Looser configuration confirmed by ${by}`;
    case 'removed':
      return `Removed by ${by}`;
    case 'setting_changed':
      return `Setting changed by ${by}`;
  }
}

/** How many of those who asked the same are named on the first line of a card. */
const NAMED = 3;

/** Returns who else asks the same, on a line; nothing where nobody does. */
export function alsoAskedWords(
  request: Pick<Request, 'asked_by' | 'also_asked_by'>,
): string | null {
  const also = (request.also_asked_by ?? []).filter((one) => one.gone !== true);
  if (also.length === 0) return null;
  const first = request.asked_by === null ? null : shortActor(request.asked_by);
  const names = [...new Set(also.map((one) => shortActor(one.by)))];
  if (names.length === 1 && names[0] === first) return `asked ${also.length + 1} times`;
  const more = names.length > NAMED ? [...names.slice(0, NAMED), '…'] : names;
  return `and ${also.length} more: ${more.join(', ')}`;
}

function shortActor(actor: Actor): string {
  switch (actor.type) {
    case 'task':
      return `#${actor.id}`;
    case 'peer':
      return `process ${actor.pid}`;
    case 'person':
    case 'host':
      return actorWords(actor);
  }
}

/** Returns all who asked, each with how often, and who of them does no longer. */
export function askerWords(asked: Pick<Request, 'asked_by' | 'also_asked_by'>): string[] {
  const counts = new Map<string, number>();
  const count = (words: string): unknown => counts.set(words, (counts.get(words) ?? 0) + 1);
  if (asked.asked_by !== null) count(actorWords(asked.asked_by));
  for (const { by, gone } of asked.also_asked_by ?? []) {
    count(gone === true ? `${actorWords(by)}, who asks no longer` : actorWords(by));
  }
  return [...counts].map(([words, times]) => (times > 1 ? `${words}, ${times} times` : words));
}

/** Returns what a person wrote beside a decision. */
export function auditRemark(row: AuditRow): string | null {
  const reason = row.answer?.type === 'deny' ? row.answer.reason : null;
  return reason ?? row.comment;
}

/** Returns the answer that a closed question got, from a person or by its default. */
export function answerOf(closure: Closure | null): Answer | null {
  return closure?.type === 'answered' || closure?.type === 'defaulted' ? closure.answer : null;
}

/** Returns what a person wrote beside an answer. */
export function remarkOf(closure: Closure): string | null {
  if (closure.type !== 'answered') return null;
  const reason = closure.answer.type === 'deny' ? closure.answer.reason : null;
  return reason ?? closure.comment;
}

export function closureWords(closure: Closure): string {
  switch (closure.type) {
    case 'answered':
      return `${answerWords(closure.answer)} by ${actorWords(closure.by)}`;
    case 'expired':
      return 'Expired: nobody answered in time';
    case 'defaulted':
      return 'Nobody answered in time: the default was taken';
    case 'withdrawn':
      return `Withdrawn: ${closure.why}`;
  }
}

export function exitWords(exit: ExitStatus): string {
  return exit.type === 'code' ? `exit ${exit.code}` : signalName(exit.signal);
}

const CHANGES: Record<EnvironmentChange['change'], string> = {
  added: 'Added',
  changed: 'Changed',
  removed: 'Removed',
};

export function changeWords(change: EnvironmentChange['change']): string {
  return CHANGES[change];
}

const SIGNALS: Record<number, string> = {
  1: 'SIGHUP',
  2: 'SIGINT',
  3: 'SIGQUIT',
  4: 'SIGILL',
  6: 'SIGABRT',
  7: 'SIGBUS',
  8: 'SIGFPE',
  9: 'SIGKILL',
  11: 'SIGSEGV',
  13: 'SIGPIPE',
  14: 'SIGALRM',
  15: 'SIGTERM',
};

export function signalName(signal: number): string {
  return SIGNALS[signal] ?? `signal ${signal}`;
}

/** Returns what to call a task: its label, or else its command. */
export function taskName(task: Pick<Task, 'label' | 'command'>): string {
  return task.label ?? commandWords(task.command);
}

/** Returns the command as a person would type it into a POSIX shell. */
export function commandWords(command: CommandLine): string {
  return command.type === 'shell' ? command.line : command.argv.map(quoted).join(' ');
}

function quoted(word: string): string {
  if (/^[\p{L}\p{N}_\-./:=@%+,]+$/u.test(word)) return word;
  return `'${word.replaceAll("'", String.raw`'\''`)}'`;
}

/** Returns where a progress comes from. */
export function sourceWords(source: Source): string {
  switch (source) {
    case 'reported':
      return 'Reported by the task';
    case 'output':
      return 'Read from the output';
    case 'terminal':
      return 'Told by the program to its terminal';
  }
}

/** Returns what the history calls an event. */
export function eventWords(what: string): string {
  const words = what.replaceAll('_', ' ');
  return words.charAt(0).toUpperCase() + words.slice(1);
}
