/**
 * What a person types into a task: handed over in order, and one call at a time, so that no
 * letter overtakes another.
 */
import type { Engine } from '../../engine/engine.svelte';
import type { TaskId } from '../../engine/types';
import type { Typist } from './terminal';

/** How many characters one call brings: well below what a host takes at once. */
const PART = 4_000;

export class Typing implements Typist {
  readonly #engine: Engine;
  readonly #id: TaskId;
  #waiting = '';
  #sending = false;

  constructor(engine: Engine, id: TaskId) {
    this.#engine = engine;
    this.#id = id;
  }

  type(text: string): void {
    this.#waiting += text;
    if (!this.#sending) void this.#send();
  }

  resize(columns: number, rows: number): void {
    // A task that has just ended has no terminal any more.
    this.#engine.resize(this.#id, columns, rows).catch(() => undefined);
  }

  async #send(): Promise<void> {
    this.#sending = true;
    try {
      while (this.#waiting !== '') {
        const part = this.#waiting.slice(0, PART);
        this.#waiting = this.#waiting.slice(PART);
        await this.#engine.typeIn(this.#id, part);
      }
    } catch {
      // The task has ended, which the header says: nobody reads the rest.
      this.#waiting = '';
    } finally {
      this.#sending = false;
    }
  }
}
