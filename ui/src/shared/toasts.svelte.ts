/** Messages that belong to no place on the screen, such as a refused cancel in a list. */
import { createContext } from 'svelte';

const SHOWN_FOR = 10_000;

export interface Toast {
  readonly id: number;
  readonly message: string;
}

export class Toasts {
  #next = 1;
  #shown = $state<Toast[]>([]);

  get shown(): readonly Toast[] {
    return this.#shown;
  }

  show(message: string): void {
    const toast = { id: this.#next++, message };
    this.#shown = [...this.#shown.slice(-2), toast];
    setTimeout(() => {
      this.dismiss(toast.id);
    }, SHOWN_FOR);
  }

  dismiss(id: number): void {
    this.#shown = this.#shown.filter((toast) => toast.id !== id);
  }
}

export const [useToasts, provideToasts] = createContext<Toasts>();
