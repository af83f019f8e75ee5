/** What the history shows: the pages fetched so far for one search. */
import type { Engine } from '../../engine/engine.svelte';
import { EngineError } from '../../engine/transport';
import type { Page, StateName, Task, TaskId } from '../../engine/types';

export const PAGE = 100;
export const SEARCH_DELAY = 150;
/** Many tasks that change together cost one question. */
export const REFRESH_DELAY = 250;

export class TaskHistory {
  readonly #engine: Engine;
  #search = $state('');
  #states = $state<readonly StateName[]>([]);
  #tasks = $state.raw<readonly Task[]>([]);
  #next = $state<TaskId | null>(null);
  #loading = $state(false);
  #error = $state<string | null>(null);
  #timer: ReturnType<typeof setTimeout> | undefined;
  #refreshTimer: ReturnType<typeof setTimeout> | undefined;
  #stopped = false;
  // Only the reply to the latest question is shown: an earlier one may come later.
  #latest = 0;

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  get search(): string {
    return this.#search;
  }

  get states(): readonly StateName[] {
    return this.#states;
  }

  get tasks(): readonly Task[] {
    return this.#tasks;
  }

  get hasMore(): boolean {
    return this.#next !== null;
  }

  get loading(): boolean {
    return this.#loading;
  }

  get error(): string | null {
    return this.#error;
  }

  searchFor(text: string): void {
    this.#search = text;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.reload(), SEARCH_DELAY);
  }

  filter(states: readonly StateName[]): void {
    this.#states = states;
    void this.reload();
  }

  /** Asks for the first page again. */
  async reload(): Promise<void> {
    clearTimeout(this.#timer);
    await this.#fetch(null);
  }

  async more(): Promise<void> {
    if (this.#next !== null && !this.#loading && this.#error === null)
      await this.#fetch(this.#next);
  }

  /** Asks again for what was refused. */
  async retry(): Promise<void> {
    await this.#fetch(this.#tasks.length === 0 ? null : this.#next);
  }

  /** Takes in before long what has changed since the first page was fetched. */
  refresh(): void {
    if (this.#stopped) return;
    this.#refreshTimer ??= setTimeout(() => {
      this.#refreshTimer = undefined;
      // What failed is asked for again by the person.
      if (this.#loading) this.refresh();
      else if (this.#error === null) void this.#refreshFirstPage();
    }, REFRESH_DELAY);
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
    clearTimeout(this.#refreshTimer);
    this.#latest += 1;
  }

  #page(before: TaskId | null): Promise<Page> {
    const search = this.#search.trim();
    return this.#engine.list({
      states: [...this.#states],
      search: search === '' ? null : search,
      before,
      limit: PAGE,
    });
  }

  async #refreshFirstPage(): Promise<void> {
    const question = this.#latest;
    try {
      const page = await this.#page(null);
      if (question !== this.#latest) {
        this.refresh();
        return;
      }
      // The later pages follow on, unless so many tasks are new that some lie between.
      const end = page.next ?? 0;
      const meet = this.#tasks.some((task) => task.id >= end);
      const older = meet ? this.#tasks.filter((task) => task.id < end) : [];
      this.#tasks = [...page.tasks, ...older];
      if (older.length === 0) this.#next = page.next;
    } catch (reason) {
      if (question === this.#latest) this.#error = EngineError.from(reason).message;
    }
  }

  async #fetch(before: TaskId | null): Promise<void> {
    const question = ++this.#latest;
    this.#loading = true;
    this.#error = null;
    try {
      const page = await this.#page(before);
      if (question !== this.#latest) return;
      this.#tasks = before === null ? page.tasks : [...this.#tasks, ...page.tasks];
      this.#next = page.next;
    } catch (reason) {
      if (question !== this.#latest) return;
      if (before === null) this.#tasks = [];
      this.#error = EngineError.from(reason).message;
    } finally {
      if (question === this.#latest) this.#loading = false;
    }
  }
}
