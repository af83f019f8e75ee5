/**
 * Keeps a click or a key that was already on its way from doing what has just appeared: what is
 * shown is armed only once it has been in sight for a moment, and again when the window comes back.
 */

export const ARMING_DELAY = 500;

export class Arming {
  readonly #shown: () => string;
  #armedFor = $state<string | null>(null);

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
    document.addEventListener('visibilitychange', restart);
    return () => {
      clearTimeout(timer);
      document.removeEventListener('visibilitychange', restart);
    };
  }
}
