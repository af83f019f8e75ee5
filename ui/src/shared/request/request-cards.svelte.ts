/**
 * The cards of a view for as long as it is open: a request that was shown
 * stays in its place when it closes, and says so.
 */
import type { TaskStore } from '../../engine/task-store.svelte';
import type { Request, RequestId, TaskId } from '../../engine/types';

export interface Card {
  readonly request: Request;
  /** The engine no longer knows it as open, and does not say why. */
  readonly gone: boolean;
}

export class RequestCards {
  readonly #tasks: TaskStore;
  readonly #task: TaskId | null;
  // What was shown, in the order of its first showing: a card never moves.
  // eslint-disable-next-line svelte/prefer-svelte-reactivity -- written where it is derived from
  readonly #shown = new Map<RequestId, Request>();

  readonly all = $derived.by((): Card[] => {
    for (const request of this.#tasks.needsYou) {
      if (this.#isMine(request)) this.#shown.set(request.id, request);
    }
    return [...this.#shown.values()].map((shown) => {
      const request = this.#tasks.request(shown.id);
      return { request: request ?? shown, gone: request === undefined };
    });
  });

  /** The requests of one task, or of all. */
  constructor(tasks: TaskStore, task: TaskId | null = null) {
    this.#tasks = tasks;
    this.#task = task;
  }

  #isMine(request: Request): boolean {
    return this.#task === null || request.task === this.#task;
  }
}
