/**
 * What the engine last told us.
 *
 * Changes only when an event or a snapshot arrives, so a click never shows a
 * state that the engine has not stored. Asking for a snapshot is left to
 * [`Connection`](./connection.svelte.ts).
 */
import { SvelteMap } from 'svelte/reactivity';
import type {
  Event,
  EventChange,
  Group,
  Progress,
  Request,
  RequestId,
  Snapshot,
  Task,
  TaskId,
  Loosening,
} from './types';

/** How many tasks that ended are kept beside those that did not. */
const ENDED_KEPT = 100;
const CLOSED_KEPT = 200;
/** Progress of many tasks is shown together, so that it costs one redraw. */
const PROGRESS_DELAY = 33;

export type Applied = 'applied' | 'ignored' | 'missed';

export class TaskStore {
  readonly #tasks = new SvelteMap<TaskId, Task>();
  readonly #requests = new SvelteMap<RequestId, Request>();
  // Apart from the tasks, so that progress never sorts the lists anew.
  readonly #progress = new SvelteMap<TaskId, Progress | null>();
  // What was heard since the last redraw: nothing is shown from here.
  // eslint-disable-next-line svelte/prefer-svelte-reactivity -- see above
  readonly #lateProgress = new Map<TaskId, Progress | null>();
  #progressTimer: ReturnType<typeof setTimeout> | undefined;
  #home = $state('');
  #loosening = $state<Loosening | null>(null);
  #findings = $state.raw<readonly string[]>([]);
  #groups = $state.raw<readonly Group[]>([]);
  #configError = $state<string | null>(null);
  #seq = 0;
  #version = $state(0);
  #rulesVersion = $state(0);

  readonly #sorted = $derived([...this.#tasks.values()].sort((a, b) => b.id - a.id));
  /** Every task that has not ended, newest first. */
  readonly unfinished = $derived(this.#sorted.filter((task) => task.state.name !== 'ended'));
  /** The tasks that ended last, latest first. */
  readonly ended = $derived(
    this.#sorted
      .filter((task) => task.state.name === 'ended')
      .sort((a, b) => (b.ended_at ?? 0) - (a.ended_at ?? 0))
      .slice(0, ENDED_KEPT),
  );
  /** Every open question, oldest first. */
  readonly needsYou = $derived(
    [...this.#requests.values()].filter((request) => request.closure === null).sort(oldestFirst),
  );

  /** How many tasks wait for an approval whose card comes when others are answered. */
  readonly heldBack = $derived(
    [...this.#tasks.values()].filter(
      ({ state }) =>
        state.name === 'queued' &&
        state.reason.type === 'gate' &&
        !this.#requests.has(state.reason.request),
    ).length,
  );

  /** How many things wait for a person: the open questions, and a looser configuration. */
  get waiting(): number {
    return this.needsYou.length + (this.#loosening === null ? 0 : 1);
  }

  /** What the host found to be damaged when it began, and what became of it. */
  get findings(): readonly string[] {
    return this.#findings;
  }

  get home(): string {
    return this.#home;
  }

  get groups(): readonly Group[] {
    return this.#groups;
  }

  /** What is wrong with the config file. */
  get configError(): string | null {
    return this.#configError;
  }

  get seq(): number {
    return this.#seq;
  }

  /** Grows whenever a task came or has another state: what was asked of the engine before is old. */
  get version(): number {
    return this.#version;
  }

  /** Grows whenever the rules may have changed. */
  get rulesVersion(): number {
    return this.#rulesVersion;
  }

  /** A change of the config file that waits for the person to confirm it. */
  get loosening(): Loosening | null {
    return this.#loosening;
  }

  task(id: TaskId): Task | undefined {
    return this.#tasks.get(id);
  }

  request(id: RequestId): Request | undefined {
    return this.#requests.get(id);
  }

  /** Returns how far the task is, as last heard. */
  progress(task: Task): Progress | null {
    const heard = this.#progress.get(task.id);
    return heard === undefined ? task.progress : heard;
  }

  replace(snapshot: Snapshot): void {
    this.#forgetLateProgress();
    this.#progress.clear();
    replaceAll(this.#tasks, snapshot.tasks);
    replaceAll(this.#requests, snapshot.requests);
    this.#home = snapshot.home;
    this.#loosening = snapshot.loosening;
    this.#findings = snapshot.findings;
    this.#groups = snapshot.groups;
    this.#configError = snapshot.config_error;
    this.#seq = snapshot.seq;
    this.#version += 1;
    this.#rulesVersion += 1;
  }

  /** Takes one event. Says whether events before it were missed; then nothing has changed. */
  apply(event: Event): Applied {
    const { change } = event;
    if (change.type === 'lagged') return 'missed';
    if (change.type === 'progress') {
      if (event.seq < this.#seq) return 'ignored';
      if (event.seq > this.#seq) return 'missed';
      this.#applyProgress(change.id, change.progress);
      return 'applied';
    }
    if (change.type === 'config') {
      this.#configError = change.error;
      return 'applied';
    }
    if (change.type === 'disk_full') {
      this.#applyDisk(change.id, change.full);
      return 'applied';
    }
    if (event.seq <= this.#seq) return 'ignored';
    if (event.seq > this.#seq + 1) return 'missed';
    this.#seq = event.seq;
    this.#applyStored(change);
    return 'applied';
  }

  #applyStored(
    change: Exclude<EventChange, { type: 'lagged' | 'progress' | 'config' | 'disk_full' }>,
  ): void {
    switch (change.type) {
      case 'task':
        this.#applyTask(change.task);
        break;
      case 'request':
        this.#applyRequest(change.request);
        break;
      case 'rules':
        this.#loosening = change.loosening;
        this.#rulesVersion += 1;
        break;
      case 'groups':
        this.#groups = change.groups;
        break;
      case 'removed':
        this.#tasks.delete(change.id);
        this.#version += 1;
        break;
    }
  }

  /** On a full disk nothing is stored: what is told of it takes no number. */
  #applyDisk(id: TaskId, disk_full: boolean): void {
    const task = this.#tasks.get(id);
    if (!task || task.state.name === 'ended') return;
    this.#tasks.set(id, { ...task, condition: { ...task.condition, disk_full } });
  }

  #applyTask(task: Task): void {
    const before = this.#tasks.get(task.id)?.condition.disk_full ?? false;
    const disk_full = before && task.state.name !== 'ended';
    this.#tasks.set(task.id, { ...task, condition: { ...task.condition, disk_full } });
    this.#version += 1;
    this.#lateProgress.delete(task.id);
    this.#progress.delete(task.id);
    if (task.state.name === 'ended') this.#forgetOldTasks();
  }

  #applyRequest(request: Request): void {
    this.#requests.set(request.id, request);
    if (request.closure !== null) this.#forgetOldRequests();
  }

  #applyProgress(id: TaskId, progress: Progress | null): void {
    this.#lateProgress.set(id, progress);
    this.#progressTimer ??= setTimeout(() => {
      this.#progressTimer = undefined;
      for (const [task, latest] of this.#lateProgress) this.#progress.set(task, latest);
      this.#lateProgress.clear();
    }, PROGRESS_DELAY);
  }

  #forgetLateProgress(): void {
    clearTimeout(this.#progressTimer);
    this.#progressTimer = undefined;
    this.#lateProgress.clear();
  }

  #forgetOldTasks(): void {
    const ended = [...this.#tasks.values()].filter((task) => task.state.name === 'ended');
    if (ended.length <= 2 * ENDED_KEPT) return;
    ended.sort((a, b) => (b.ended_at ?? 0) - (a.ended_at ?? 0));
    for (const task of ended.slice(ENDED_KEPT)) this.#tasks.delete(task.id);
  }

  #forgetOldRequests(): void {
    const closed = [...this.#requests.values()].filter((request) => request.closure !== null);
    const surplus = closed.length - CLOSED_KEPT;
    if (surplus <= 0) return;
    for (const request of closed.sort(oldestFirst).slice(0, surplus)) {
      this.#requests.delete(request.id);
    }
  }
}

function oldestFirst(a: Request, b: Request): number {
  return a.created_at - b.created_at || a.id - b.id;
}

function replaceAll<Item extends { id: number }>(
  map: SvelteMap<number, Item>,
  items: readonly Item[],
): void {
  const ids = new Set(items.map((item) => item.id));
  for (const id of [...map.keys()]) if (!ids.has(id)) map.delete(id);
  for (const item of items) map.set(item.id, item);
}
