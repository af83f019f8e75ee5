/**
 * What a person types into a task: handed over in order, and one call at a time, so that no
 * letter overtakes another. What a program writes into the terminal's field is no such thing.
 */
import { whyNotTyped } from '../../engine/by-hand';
import type { Engine } from '../../engine/engine.svelte';
import { EngineError } from '../../engine/transport';
import type { TaskId } from '../../engine/types';
import type { Typist } from './terminal';

/** How many characters one call brings: well below what a host takes at once. */
export const PART = 4_000;

export class Typing implements Typist {
  readonly #engine: Engine;
  readonly #id: TaskId;
  readonly #onLost: (why: string) => void;
  #waiting = '';
  #sending = false;

  /** `onLost` hears why something that was typed does not reach the task. */
  constructor(engine: Engine, id: TaskId, onLost: (why: string) => void) {
    this.#engine = engine;
    this.#id = id;
    this.#onLost = onLost;
  }

  type(text: string): void {
    const refusal = whyNotTyped(this.#engine.hand);
    if (refusal !== null) {
      this.#onLost(refusal);
      return;
    }
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
        const part = firstPart(this.#waiting);
        this.#waiting = this.#waiting.slice(part.length);
        await this.#engine.typeIn(crypto.randomUUID(), this.#id, part);
      }
    } catch (reason) {
      // The rest would follow on what is missing.
      this.#waiting = '';
      this.#onLost(EngineError.from(reason).message);
    } finally {
      this.#sending = false;
    }
  }
}

/** Returns as much as one call brings, and not half of a character that takes two units. */
function firstPart(text: string): string {
  const isCut = /[\uD800-\uDBFF]/.test(text.charAt(PART - 1));
  return text.slice(0, isCut ? PART - 1 : PART);
}
