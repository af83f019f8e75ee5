/** Who decided what, newest first: asked of the engine, page by page. */
import type { Engine } from '../../engine/engine.svelte';
import { EngineError } from '../../engine/transport';
import type { AuditQuery, AuditRow } from '../../engine/types';

/** Of what: one task, or the rules. */
export type AuditOf = Pick<AuditQuery, 'task' | 'rules'>;

const PAGE = 50;

export class AuditPages {
  readonly #engine: Engine;
  readonly #of: AuditOf;
  #rows = $state.raw<readonly AuditRow[] | null>(null);
  #next = $state<number | null>(null);
  #error = $state<string | null>(null);
  #loading = $state(false);
  // Only the reply to the latest question is shown.
  #latest = 0;

  constructor(engine: Engine, of: AuditOf) {
    this.#engine = engine;
    this.#of = of;
  }

  /** Nothing before the first reply. */
  get rows(): readonly AuditRow[] | null {
    return this.#rows;
  }

  get hasMore(): boolean {
    return this.#next !== null;
  }

  get error(): string | null {
    return this.#error;
  }

  get loading(): boolean {
    return this.#loading;
  }

  /** Asks for the newest ones again. */
  async reload(): Promise<void> {
    await this.#fetch(null);
  }

  async more(): Promise<void> {
    if (this.#next !== null && !this.#loading) await this.#fetch(this.#next);
  }

  async #fetch(before: number | null): Promise<void> {
    const question = ++this.#latest;
    this.#loading = true;
    try {
      const page = await this.#engine.audit({ ...this.#of, before, limit: PAGE });
      if (question !== this.#latest) return;
      this.#rows = before === null ? page.rows : [...(this.#rows ?? []), ...page.rows];
      this.#next = page.next;
      this.#error = null;
    } catch (reason) {
      if (question === this.#latest) this.#error = EngineError.from(reason).message;
    } finally {
      if (question === this.#latest) this.#loading = false;
    }
  }
}
