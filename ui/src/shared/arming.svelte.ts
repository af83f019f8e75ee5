/**
 * Keeps a click or a key that was already on its way from doing what has just appeared: what is
 * shown is armed only once it has been in sight for a moment, and again when the window comes back
 * or when it stands in another place.
 */

export const ARMING_DELAY = 500;

export class Arming {
  readonly #shown: () => string;
  #armedFor = $state<string | null>(null);
  #restart: (() => void) | null = null;

  /** `shown` names exactly what is shown: something else has to be in sight for as long again. */
  constructor(shown: () => string) {
    this.#shown = shown;
  }

  get isArmed(): boolean {
    return this.#armedFor === this.#shown();
  }

  /** Begins to wait. Returns how to stop that. */
  begin(): () => void {
    const shown = this.#shown();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const restart = (): void => {
      clearTimeout(timer);
      this.#armedFor = null;
      if (document.visibilityState === 'hidden') return;
      timer = setTimeout(() => {
        this.#armedFor = shown;
      }, ARMING_DELAY);
    };
    restart();
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
