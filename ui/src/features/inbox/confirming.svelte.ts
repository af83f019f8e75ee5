/** A person confirming a change of the config file that asks for less. */
import type { Engine } from '../../engine/engine.svelte';
import type { Loosening } from '../../engine/types';
import { Arming } from '../../shared/arming.svelte';
import { Intent } from '../../shared/intent.svelte';

export class Confirming {
  readonly #engine: Engine;
  readonly #loosening: () => Loosening;
  readonly #intent = new Intent();
  readonly #arming: Arming;

  constructor(engine: Engine, loosening: () => Loosening) {
    this.#engine = engine;
    this.#loosening = loosening;
    this.#arming = new Arming(() => loosening().hash);
  }

  get pending(): boolean {
    return this.#intent.pending;
  }

  get error(): string | null {
    return this.#intent.error?.message ?? null;
  }

  get canConfirm(): boolean {
    return this.#arming.isArmed && !this.#intent.pending;
  }

  arm(): () => void {
    return this.#arming.begin();
  }

  /** Arms it anew, since the card has come to stand elsewhere. */
  armAgain(): void {
    this.#arming.again();
  }

  /** Confirms exactly what is shown. The card goes when the engine says that nothing waits. */
  async confirm(): Promise<void> {
    if (!this.canConfirm) return;
    const { hash } = this.#loosening();
    await this.#intent.send(hash, (operation) => this.#engine.confirmLoosening(operation, hash));
  }
}
