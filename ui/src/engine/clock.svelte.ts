/**
 * The host's clock, for elapsed times and countdowns.
 *
 * One interval for the whole window. It runs only while something on the
 * screen reads the time and the window can be seen.
 */
import { createSubscriber } from 'svelte/reactivity';

const TICK = 1_000;

export class HostClock {
  #offset = $state(0);
  readonly #subscribe = createSubscriber((update) => {
    let timer: ReturnType<typeof setInterval> | undefined;
    const adjust = (): void => {
      clearInterval(timer);
      timer = undefined;
      if (document.visibilityState === 'hidden') return;
      timer = setInterval(update, TICK);
      update();
    };
    if (document.visibilityState !== 'hidden') timer = setInterval(update, TICK);
    document.addEventListener('visibilitychange', adjust);
    return () => {
      clearInterval(timer);
      document.removeEventListener('visibilitychange', adjust);
    };
  });

  /** Milliseconds since 1970 by the host's clock. Ticks where it is read reactively. */
  get now(): number {
    this.#subscribe();
    return Date.now() + this.#offset;
  }

  /** Corrects the clock by what the host says it is now. */
  set(hostNow: number): void {
    this.#offset = hostNow - Date.now();
  }
}
