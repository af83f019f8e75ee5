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

/** How many cards stand at full size, and how many are a line: more than that nobody reads at once. */
const CARD_LIMIT = 100;
const LINE_LIMIT = 50;

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

  readonly #unsettled = $derived.by(() => {
    // eslint-disable-next-line svelte/prefer-svelte-reactivity -- made anew each time
    const settled = new Set(this.#settledIds);
    return this.all.filter((card) => !settled.has(card.request.id));
  });

  /** Those that stand at full size: the first ones, and the next when one of them settles. */
  readonly current = $derived(this.#unsettled.slice(0, CARD_LIMIT));

  /** How many come after those. */
  readonly more = $derived(this.#unsettled.length - this.current.length);

  /** Those that are a line by now, the latest first. */
  readonly settled = $derived.by(() => {
    // eslint-disable-next-line svelte/prefer-svelte-reactivity -- made anew each time
    const settled = new Set(this.#settledIds);
    const cards = this.all.filter((card) => settled.has(card.request.id));
    return cards.sort((a, b) => closedAt(b) - closedAt(a)).slice(0, LINE_LIMIT);
  });

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
