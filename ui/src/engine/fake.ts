/**
 * A host in memory, for tests and for looking at the window in a plain browser.
 *
 * It keeps the contract (numbered events, operations that count once, answers
 * bound to what was shown) and runs no process. Never part of a release build.
 */
import { FakeRules } from './fake-rules';
import { FakeSettings } from './fake-settings';
import type { Hand } from './hand';
import { EngineError, type Follow, type OnBytes, type ReplyOf, type Transport } from './transport';
import type {
  Actor,
  AuditPage,
  AuditQuery,
  AuditRow,
  Call,
  Closure,
  Event,
  EventChange,
  GiveAnswer,
  Group,
  ListQuery,
  Loosening,
  Progress,
  Reply,
  Request,
  RequestId,
  StateName,
  Submit,
  Task,
  TaskDetail,
  TaskId,
  TaskState,
} from './types';

const PERSON: Actor = { type: 'person', surface: 'window' };

export interface FakeScene {
  tasks: Task[];
  requests: Request[];
  details?: Map<TaskId, Partial<TaskDetail>>;
  logs?: Map<TaskId, string>;
}

export class FakeHost implements Transport {
  readonly calls: Call[] = [];
  epoch = 'epoch-1';
  seq = 100;
  home = '/home/mika';
  findings: string[] = [];
  loosening: Loosening | null = null;
  readonly rules = new FakeRules();
  readonly settings = new FakeSettings();
  groups: Group[] = [{ name: 'default', slots: 64, paused: false, running: 0, queued: 0 }];
  config_error: string | null = null;
  /** How far the host's clock is ahead of the window's. */
  clockAhead = 0;
  /** What the next calls of a method are refused with. */
  readonly refusals = new Map<Call['method'], EngineError>();
  /** Calls wait here when a test wants to see what is shown meanwhile. */
  readonly gates = new Map<Call['method'], Promise<void>>();
  /** Whose work it is when something is pressed or written. */
  hand: () => Hand = () => 'own';
  readonly tasks = new Map<TaskId, Task>();
  readonly requests = new Map<RequestId, Request>();
  readonly details: Map<TaskId, Partial<TaskDetail>>;
  readonly logs: Map<TaskId, string>;
  /** Where a bounded log has lost what was printed: from and to, in bytes. */
  readonly gaps = new Map<TaskId, readonly [number, number]>();
  readonly #operations = new Map<string, Reply>();
  readonly #follows = new Map<TaskId, Set<OnBytes>>();
  #listeners: ((event: Event) => void)[] = [];

  constructor(scene: FakeScene = { tasks: [], requests: [] }) {
    for (const task of scene.tasks) this.tasks.set(task.id, task);
    for (const request of scene.requests) this.requests.set(request.id, request);
    this.details = scene.details ?? new Map<TaskId, Partial<TaskDetail>>();
    this.logs = scene.logs ?? new Map<TaskId, string>();
  }

  get subscriptions(): number {
    return this.#listeners.length;
  }

  callsOf<Method extends Call['method']>(method: Method): Extract<Call, { method: Method }>[] {
    return this.calls.filter((call) => call.method === method) as Extract<
      Call,
      { method: Method }
    >[];
  }

  async rpc(call: Call): Promise<Reply> {
    this.calls.push(call);
    await this.gates.get(call.method);
    const refusal = this.refusals.get(call.method);
    if (refusal) throw refusal;
    return structuredClone(this.#reply(call));
  }

  async events(onEvent: (event: Event) => void): Promise<ReplyOf<'subscribed'>> {
    await this.gates.get('subscribe');
    const refusal = this.refusals.get('subscribe');
    if (refusal) throw refusal;
    this.#listeners.push(onEvent);
    return { type: 'subscribed', epoch: this.epoch, seq: this.seq };
  }

  followLog(id: TaskId, offset: number, onBytes: OnBytes): Follow {
    const log = new TextEncoder().encode(this.logs.get(id) ?? '');
    const followers = this.#follows.get(id) ?? new Set();
    this.#follows.set(id, followers.add(onBytes));
    queueMicrotask(() => {
      onBytes(log.slice(offset), offset);
    });
    const ended = this.tasks.get(id)?.state.name === 'ended';
    return {
      ended: ended ? Promise.resolve() : new Promise(() => undefined),
      stop: () => followers.delete(onBytes),
    };
  }

  /** Publishes a stored event. */
  publish(change: EventChange): void {
    this.seq += 1;
    this.send({ seq: this.seq, at: this.now(), change });
  }

  send(event: Event): void {
    for (const listener of this.#listeners) listener(structuredClone(event));
  }

  lag(): void {
    this.send({ seq: this.seq, at: this.now(), change: { type: 'lagged' } });
  }

  /** Another run of the host: nobody is subscribed to it yet. */
  restart(): void {
    this.epoch = `${this.epoch}+`;
    this.#listeners = [];
  }

  progress(id: TaskId, progress: Progress | null): void {
    const task = this.tasks.get(id);
    if (task) this.tasks.set(id, { ...task, progress });
    this.send({ seq: this.seq, at: this.now(), change: { type: 'progress', id, progress } });
  }

  print(id: TaskId, text: string): void {
    this.logs.set(id, (this.logs.get(id) ?? '') + text);
    const bytes = new TextEncoder().encode(text);
    const offset = new TextEncoder().encode(this.logs.get(id)).length - bytes.length;
    for (const follower of this.#follows.get(id) ?? []) follower(bytes, offset);
  }

  setTask(task: Task): void {
    this.tasks.set(task.id, task);
    this.publish({ type: 'task', task });
  }

  setState(id: TaskId, state: TaskState): void {
    const task = this.#task(id);
    const ended_at = state.name === 'ended' ? this.now() : null;
    this.setTask({ ...task, state, ended_at });
  }

  open(request: Request): void {
    this.requests.set(request.id, request);
    this.publish({ type: 'request', request });
  }

  close(id: RequestId, closure: Closure): void {
    const request = this.#request(id);
    const closed = { ...request, closure };
    this.requests.set(id, closed);
    this.publish({ type: 'request', request: closed });
    if (request.task === null) return;
    const task = this.#task(request.task);
    if (task.state.name === 'ended') return;
    const approved = closure.type === 'answered' && closure.answer.type === 'approve';
    if (request.origin === 'task' || approved) this.setState(task.id, { name: 'running' });
    else this.setState(task.id, { name: 'ended', outcome: deniedBy(closure) });
  }

  /** The config file now asks for less, or no longer does. */
  loosen(loosening: Loosening | null): void {
    this.loosening = loosening;
    this.publish({ type: 'rules', loosening });
  }

  now(): number {
    return Date.now() + this.clockAhead;
  }

  #reply(call: Call): Reply {
    switch (call.method) {
      case 'snapshot':
        return this.#snapshot();
      case 'list':
        return this.#list(call.params);
      case 'show':
        return { type: 'task', ...this.#detail(call.params.id) };
      case 'read_log': {
        const { id, offset } = call.params;
        const size = new TextEncoder().encode(this.logs.get(id) ?? '').length;
        const [from, to] = this.gaps.get(id) ?? [0, 0];
        return { type: 'log', offset: offset >= from && offset < to ? to : offset, data: '', size };
      }
      case 'submit':
        return this.#once(call.params.operation, () => this.#submit(call.params));
      case 'run_again':
        return this.#once(call.params.operation, () => this.#runAgain(call.params.id));
      case 'cancel':
        return this.#once(call.params.operation, () => this.#cancel(call.params.id));
      case 'pause':
        return this.#once(call.params.operation, () => this.#pause(call.params.id, true));
      case 'resume':
        return this.#once(call.params.operation, () => this.#pause(call.params.id, false));
      case 'input':
      case 'resize':
        return { type: 'done' };
      case 'answer':
        return this.#once(call.params.operation, () => this.#answer(call.params));
      case 'audit':
        return { type: 'audit', ...this.#audit(call.params) };
      case 'confirm_loosening':
        return this.#once(call.params.operation, () => this.#confirm(call.params.shown));
      case 'rules':
        return this.rules.list(this.loosening);
      case 'preview_rule':
        return this.rules.preview(call.params.rule, this.#newestFirst());
      case 'add_rule': {
        const { operation, rule } = call.params;
        return this.#changeRules(operation, () => {
          this.rules.add(rule, this.now());
        });
      }
      case 'revoke_rule': {
        const { operation, id } = call.params;
        return this.#changeRules(operation, () => {
          this.rules.revoke(id);
        });
      }
      case 'settings':
        return this.settings.list();
      case 'allow_notification_approvals': {
        const { operation, allowed } = call.params;
        return this.#once(operation, () => {
          this.settings.notification_approvals = allowed;
          this.publish({ type: 'rules', loosening: this.loosening });
          return { type: 'done' };
        });
      }
      case 'hello':
      case 'submit_many':
      case 'snapshot_rest':
      case 'cancel_many':
      case 'edit':
      case 'retry':
      case 'remove':
      case 'deadline':
      case 'groups':
      case 'change_group':
      case 'watch':
      case 'subscribe':
      case 'follow_log':
      case 'search_logs':
      case 'wait':
      case 'progress':
      case 'ask':
      case 'await_answer':
      case 'open_question':
      case 'await':
      case 'notify':
      case 'feedback':
      case 'inbox':
      case 'tell':
      case 'say_outcome':
      case 'is_cancelled':
      case 'withdraw':
      case 'diagnose':
      case 'show_window':
      case 'stop_host':
        throw new EngineError('bad_request', `the fake host knows no ${call.method}`);
    }
  }

  #once(operation: string, work: () => Reply): Reply {
    const before = this.#operations.get(operation);
    if (before) return before;
    const reply = work();
    this.#operations.set(operation, reply);
    return reply;
  }

  #changeRules(operation: string, change: () => void): Reply {
    return this.#once(operation, () => {
      change();
      this.publish({ type: 'rules', loosening: this.loosening });
      return this.rules.list(this.loosening);
    });
  }

  #snapshot(): Reply {
    const tasks = this.#newestFirst();
    const counts: Partial<Record<StateName, number>> = {};
    for (const task of tasks) {
      const name = stateName(task.state);
      counts[name] = (counts[name] ?? 0) + 1;
    }
    const requests = [...this.requests.values()].filter((request) => request.closure === null);
    const { epoch, seq, home, findings, groups, config_error, loosening } = this;
    const now = this.now();
    const rest = { counts, loosening, home, now, findings, groups, config_error };
    return { type: 'snapshot', epoch, seq, tasks, requests, ...rest };
  }

  #list({ states, search, before, limit }: ListQuery): Reply {
    const words = search?.toLowerCase() ?? '';
    const found = this.#newestFirst()
      .filter((task) => before === null || task.id < before)
      .filter((task) => states.length === 0 || states.includes(stateName(task.state)))
      .filter((task) => `${task.label ?? ''} ${display(task)}`.toLowerCase().includes(words));
    const tasks = found.slice(0, limit ?? 100);
    const next = found.length > tasks.length ? (tasks.at(-1)?.id ?? null) : null;
    return { type: 'tasks', tasks, next };
  }

  #detail(id: TaskId): TaskDetail {
    const task = this.#task(id);
    const { command } = task;
    return {
      argv: command.type === 'argv' ? command.argv : ['/bin/sh', '-c', command.line],
      environment: [],
      attempts: [],
      events: [{ seq: 1, at: task.created_at, what: 'submitted', detail: null }],
      log_path:
        task.started_at === null ? null : `/home/mika/.local/share/nod/tasks/${id}-1/out.log`,
      ...this.details.get(id),
      task,
      requests: [...this.requests.values()].filter((request) => request.task === id),
    };
  }

  #submit(submit: Submit): Reply {
    if (!submit.cwd.startsWith('/')) {
      throw new EngineError('bad_request', `${submit.cwd} is not an absolute path`);
    }
    const id = Math.max(0, ...this.tasks.keys()) + 1;
    this.setTask({
      ...{ id, kind: 'command', label: submit.label, command: submit.command, cwd: submit.cwd },
      options: submit.options,
      condition: {
        paused: false,
        disk_full: false,
        unbounded_log: false,
        prompt: null,
        wants_input: false,
      },
      ...{ output: submit.output, session: submit.session, parent: null, attempt: 1 },
      ...{ timeout_ms: submit.timeout_ms, ask_first: submit.ask_first, progress: null },
      schedule: {
        ...{ group: submit.scheduling.group ?? 'default', priority: 0, after: [], uses: {} },
        ...{ not_before: null, relative: false, retry: null, key: null },
      },
      ...{ state: { name: 'running' }, created_at: this.now(), started_at: this.now() },
      ended_at: null,
    });
    return { type: 'submitted', id, known: false, gated: false, note: null };
  }

  #runAgain(earlier: TaskId): Reply {
    const task = this.#task(earlier);
    const id = Math.max(...this.tasks.keys()) + 1;
    const [created_at, started_at] = [this.now(), this.now()];
    const state: TaskState = { name: 'running' };
    this.setTask({ ...task, id, state, created_at, started_at, ended_at: null, progress: null });
    return { type: 'submitted', id, known: false, gated: false, note: null };
  }

  #cancel(id: TaskId): Reply {
    const task = this.#task(id);
    if (task.state.name === 'ended') throw new EngineError('conflict', `task ${id} has ended`);
    const stage = {
      signal: 'SIGINT',
      next_at: this.now() + 5_000,
      waits_for: ['make (4711)'],
      refused: [],
    };
    if (task.state.name === 'queued') {
      this.setState(id, { name: 'ended', outcome: { type: 'cancelled', by: PERSON } });
    } else {
      this.setState(id, { name: 'stopping', cause: { type: 'cancelled', by: PERSON }, stage });
    }
    return { type: 'cancelling', task: this.#task(id) };
  }

  #pause(id: TaskId, paused: boolean): Reply {
    const task = this.#task(id);
    this.setTask({ ...task, condition: { ...task.condition, paused } });
    return { type: 'changed', task: this.#task(id) };
  }

  #answer({ request: id, answer, comment, shown }: GiveAnswer): Reply {
    const request = this.#request(id);
    if (request.closure !== null) throw new EngineError('conflict', `request ${id} is closed`);
    if (shown !== request.hash) {
      throw new EngineError('conflict', `request ${id} is not what was shown: look at it again`);
    }
    const closure: Closure = { type: 'answered', answer, comment, by: PERSON, at: this.now() };
    this.close(id, closure);
    return { type: 'closed', request: id, closure };
  }

  #confirm(shown: string): Reply {
    if (this.loosening?.hash !== shown) throw new EngineError('conflict', 'look at it again');
    this.loosen(null);
    return this.rules.list(null);
  }

  #audit({ task, before, limit, rules }: AuditQuery): AuditPage {
    if (rules === true) return { rows: this.rules.audit, next: null };
    const found = [...this.requests.values()]
      .filter((request) => request.closure !== null && (task ?? request.task) === request.task)
      .sort((a, b) => b.id - a.id)
      .filter((request) => before === null || request.id < before);
    const rows = found.slice(0, limit ?? 100).map(auditRow);
    return { rows, next: found.length > rows.length ? (rows.at(-1)?.id ?? null) : null };
  }

  #task(id: TaskId): Task {
    const task = this.tasks.get(id);
    if (!task) throw new EngineError('not_found', `no task has id ${id}`);
    return task;
  }

  #request(id: RequestId): Request {
    const request = this.requests.get(id);
    if (!request) throw new EngineError('not_found', `no request has id ${id}`);
    return request;
  }

  #newestFirst(): Task[] {
    return [...this.tasks.values()].sort((a, b) => b.id - a.id);
  }
}

function stateName(state: TaskState): StateName {
  return state.name === 'ended' ? state.outcome.type : state.name;
}

function display(task: Task): string {
  return task.command.type === 'argv' ? task.command.argv.join(' ') : task.command.line;
}

function auditRow({ closure, ...request }: Request): AuditRow {
  const answered = closure?.type === 'answered';
  return {
    ...{ id: request.id, at: closure?.at ?? 0, what: closure?.type ?? 'withdrawn' },
    ...{ actor: answered ? closure.by : { type: 'host' }, from: null, task: request.task },
    ...{ request: request.id, asked_by: request.asked_by, shown: request.shown },
    ...(request.also_asked_by ? { also_asked_by: request.also_asked_by } : {}),
    answer: answered || closure?.type === 'defaulted' ? closure.answer : null,
    comment: answered ? closure.comment : null,
    detail: closure?.type === 'withdrawn' ? closure.why : null,
    hash: request.hash,
  };
}

function deniedBy(closure: Closure): Extract<TaskState, { name: 'ended' }>['outcome'] {
  if (closure.type === 'answered' && closure.answer.type === 'deny') {
    const denial = { type: 'by_person', by: closure.by, reason: closure.answer.reason } as const;
    return { type: 'denied', denial };
  }
  return { type: 'denied', denial: { type: 'expired' } };
}
