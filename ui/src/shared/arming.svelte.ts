/**
 * Keeps a click or a key that was already on its way from doing what has just appeared: what is
 * shown is armed only once it has been in sight for a moment, and again when the window comes back
 * or when it stands in another place. So is what would be sent, where something other than the
 * person's own hand has changed that.
 */
import { untrack } from 'svelte';

export const ARMING_DELAY = 500;

/** What a person makes before it is sent. */
export interface Made {
  /** All of it that would be sent. */
  readonly content: () => string;
  /** Whether what has just changed was changed by the person. */
  readonly isByHand: () => boolean;
}

const NOTHING: Made = { content: () => '', isByHand: () => true };

export class Arming {
  readonly #shown: () => string;
  readonly #made: Made;
  #armedFor = $state<string | null>(null);
  #restart: (() => void) | null = null;

  /** `shown` names exactly what is shown: something else has to be in sight for as long again. */
  constructor(shown: () => string, made: Made = NOTHING) {
    this.#shown = shown;
    this.#made = made;
  }

  get isArmed(): boolean {
    return this.#armedFor === this.#shown();
  }

  /**
   * Begins to wait, in an effect; `isKnown` where there is nothing yet that somebody would have to
   * see first. Returns how to stop that.
   */
  begin(isKnown = false): () => void {
    let shown: string | null = null;
    let content = '';
    let timer: ReturnType<typeof setTimeout> | undefined;
    const restart = (): void => {
      clearTimeout(timer);
      this.#armedFor = null;
      if (document.visibilityState === 'hidden') return;
      timer = setTimeout(() => {
        this.#armedFor = shown;
      }, ARMING_DELAY);
    };
    // Runs before any other event, after whatever has changed what is shown or would be sent.
    $effect(() => {
      const before = { shown, content };
      [shown, content] = [this.#shown(), this.#made.content()];
      if (before.shown === null && isKnown) this.#armedFor = shown;
      else if (before.shown !== shown) restart();
      // What the person writes holds nothing up: neither what is armed, nor what soon will be.
      else if (before.content !== content && !untrack(this.#made.isByHand)) restart();
    });
    this.#restart = restart;
    document.addEventListener('visibilitychange', restart);
    return () => {
      clearTimeout(timer);
      if (this.#restart === restart) this.#restart = null;
      document.removeEventListener('visibilitychange', restart);
    };
  }

  /** Waits anew, since what is shown has come to stand elsewhere. */
  again(): void {
    this.#restart?.();
  }
}
