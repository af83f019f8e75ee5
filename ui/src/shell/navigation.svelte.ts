/** Where the person is in the window. */
import type { TaskId } from '../engine/types';

export type View = 'inbox' | 'tasks' | 'history' | 'rules' | 'settings';

export class Navigation {
  #view = $state<View>('tasks');
  #selected = $state<Record<View, TaskId | null>>({
    ...{ inbox: null, tasks: null, history: null, rules: null, settings: null },
  });
  #submitting = $state(false);

  get view(): View {
    return this.#view;
  }

  /** The task that is looked at in the current view. */
  get selected(): TaskId | null {
    return this.#selected[this.#view];
  }

  /** Whether the form of a new task is open. */
  get submitting(): boolean {
    return this.#submitting;
  }

  open(view: View): void {
    this.#view = view;
  }

  select(id: TaskId): void {
    this.#selected[this.#view] = id;
  }

  /** Shows a task among the tasks, wherever the person is. */
  showTask(id: TaskId): void {
    this.#submitting = false;
    this.#view = 'tasks';
    this.#selected.tasks = id;
  }

  /** Shows what waits for the person, wherever they are. */
  review(): void {
    this.#submitting = false;
    this.#view = 'inbox';
    this.#selected.inbox = null;
  }

  closeDetail(): void {
    this.#selected[this.#view] = null;
  }

  startSubmitting(): void {
    this.#submitting = true;
  }

  stopSubmitting(): void {
    this.#submitting = false;
  }
}
