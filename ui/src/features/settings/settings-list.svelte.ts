/** The settings as the engine last said them, and the person's wish to change one. */
import type { Engine } from '../../engine/engine.svelte';
import { EngineError } from '../../engine/transport';
import type { Settings } from '../../engine/types';
import { Intent } from '../../shared/intent.svelte';

export class SettingsList {
  readonly #engine: Engine;
  readonly #intent = new Intent();
  #said = $state.raw<Settings | null>(null);
  #error = $state<string | null>(null);
  #asked = 0;

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  /** Nothing while the engine has not said them. */
  get said(): Settings | null {
    return this.#said;
  }

  /** Why they could not be had. */
  get error(): string | null {
    return this.#error;
  }

  /** A change is on its way. */
  get pending(): boolean {
    return this.#intent.pending;
  }

  /** Why a change was refused. */
  get refusal(): string | null {
    return this.#intent.error?.message ?? null;
  }

  async reload(): Promise<void> {
    const asked = ++this.#asked;
    try {
      const said = await this.#engine.settings();
      // What was asked before may come after.
      if (asked === this.#asked) [this.#said, this.#error] = [said, null];
    } catch (reason) {
      if (asked === this.#asked) this.#error = EngineError.from(reason).message;
    }
  }

  /** Has Approve be a button of notifications, or no longer. Returns whether it came to that. */
  async allowApprovals(allowed: boolean): Promise<boolean> {
    const sent = await this.#intent.send(String(allowed), (operation) =>
      this.#engine.allowNotificationApprovals(operation, allowed),
    );
    if (sent !== null) await this.reload();
    return sent !== null;
  }

  forgetRefusal(): void {
    this.#intent.forgetError();
  }
}
