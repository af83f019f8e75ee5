/** One task looked at closely: what the engine shows of it, asked again whenever it changed. */
import type { Engine } from '../../engine/engine.svelte';
import { EngineError } from '../../engine/transport';
import type { Task, TaskDetail, TaskId } from '../../engine/types';

export class TaskView {
  readonly id: TaskId;
  readonly #engine: Engine;
  #detail = $state.raw<TaskDetail | null>(null);
  #error = $state<string | null>(null);
  #asking = false;
  #outdated = false;

  constructor(engine: Engine, id: TaskId) {
    this.#engine = engine;
    this.id = id;
  }

  get detail(): TaskDetail | null {
    return this.#detail;
  }

  get error(): string | null {
    return this.#error;
  }

  /** The task as last heard of: the store hears of a change first, and forgets old tasks. */
  get task(): Task | null {
    return this.#engine.tasks.task(this.id) ?? this.#detail?.task ?? null;
  }

  /** Returns what a new event for the task would change. */
  get heard(): unknown {
    const { tasks } = this.#engine;
    return [tasks.task(this.id), tasks.needsYou.filter(({ task }) => task === this.id)];
  }

  /** Asks the engine; once more at the end when it is told to meanwhile. */
  async refresh(): Promise<void> {
    this.#outdated = true;
    if (this.#asking) return;
    this.#asking = true;
    while (this.#isOutdated()) {
      this.#outdated = false;
      try {
        this.#detail = await this.#engine.show(this.id);
        this.#error = null;
      } catch (reason) {
        this.#error = EngineError.from(reason).message;
      }
    }
    this.#asking = false;
  }

  #isOutdated(): boolean {
    return this.#outdated;
  }
}
