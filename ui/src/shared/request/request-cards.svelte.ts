/**
 * The cards of a view for as long as it is open: a request that was shown stays in its place when
 * it closes, and says so. Later, when that disturbs nobody, it settles: it becomes a line below
 * those that still wait. When that is, settling.ts knows.
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
  // What was shown, in the order of its first showing: a card never moves by itself.
  // eslint-disable-next-line svelte/prefer-svelte-reactivity -- written where it is derived from
  readonly #shown = new Map<RequestId, Request>();
  #settledIds = $state.raw<readonly RequestId[]>([]);

  readonly all = $derived.by((): Card[] => {
    for (const request of this.#tasks.needsYou) {
      if (this.#isMine(request)) this.#shown.set(request.id, request);
    }
    return [...this.#shown.values()].map((shown) => {
      const request = this.#tasks.request(shown.id);
      return { request: request ?? shown, gone: request === undefined };
    });
  });

  /** Those that stand at full size. */
  readonly current = $derived(
    this.all.filter((card) => !this.#settledIds.includes(card.request.id)),
  );

  /** Those that are a line by now, the latest first. */
  readonly settled = $derived(
    this.#settledIds
      .map((id) => this.all.find((card) => card.request.id === id))
      .filter((card) => card !== undefined)
      .sort((a, b) => closedAt(b) - closedAt(a)),
  );

  readonly #closing = $derived(
    this.current.filter(({ request, gone }) => gone || request.closure !== null),
  );
  // As a text: what is no other list is no change.
  readonly #closingIds = $derived(this.#closing.map(({ request }) => request.id).join(' '));

  /** The closed ones that stand at full size. */
  readonly closing = $derived(
    this.#closingIds === '' ? [] : this.#closingIds.split(' ').map(Number),
  );

  /** The requests of one task, or of all. */
  constructor(tasks: TaskStore, task: TaskId | null = null) {
    this.#tasks = tasks;
    this.#task = task;
  }

  settle(ids: readonly RequestId[]): void {
    this.#settledIds = [...this.#settledIds, ...ids];
  }

  unsettle(ids: readonly RequestId[]): void {
    this.#settledIds = this.#settledIds.filter((id) => !ids.includes(id));
  }

  #isMine(request: Request): boolean {
    return this.#task === null || request.task === this.#task;
  }
}

function closedAt({ request }: Card): number {
  return request.closure?.at ?? 0;
}
