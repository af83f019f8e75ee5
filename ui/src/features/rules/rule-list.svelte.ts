/** The rules as the engine last listed them. */
import type { Engine } from '../../engine/engine.svelte';
import { EngineError } from '../../engine/transport';
import type { KeptRule, RuleList as Listed } from '../../engine/types';

export class RuleList {
  readonly #engine: Engine;
  #listed = $state.raw<Listed | null>(null);
  #error = $state<string | null>(null);
  #asked = 0;

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  /** Nothing while the engine has not listed them. */
  get listed(): Listed | null {
    return this.#listed;
  }

  get error(): string | null {
    return this.#error;
  }

  /** Those that were made in the window, which are looked at first. */
  get made(): readonly KeptRule[] {
    return this.#listed?.rules.filter((kept) => kept.id !== null) ?? [];
  }

  /** Those of the config file. */
  get ofFile(): readonly KeptRule[] {
    return this.#listed?.rules.filter((kept) => kept.id === null) ?? [];
  }

  async reload(): Promise<void> {
    const asked = ++this.#asked;
    try {
      const listed = await this.#engine.rules();
      // What was asked before may come after.
      if (asked === this.#asked) [this.#listed, this.#error] = [listed, null];
    } catch (reason) {
      if (asked === this.#asked) this.#error = EngineError.from(reason).message;
    }
  }
}
