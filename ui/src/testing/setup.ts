/** What jsdom lacks of a browser. */
import { vi } from 'vitest';

// It draws on a canvas. What is written to it is tested in features/detail.
vi.mock('../features/detail/terminal', () => ({
  openTerminal: () => ({ write: vi.fn(), clear: vi.fn(), dispose: vi.fn() }),
}));

HTMLDialogElement.prototype.showModal = function showModal(this: HTMLDialogElement) {
  this.open = true;
};
HTMLDialogElement.prototype.close = function close(this: HTMLDialogElement) {
  this.open = false;
};
Element.prototype.scrollIntoView = () => undefined;

class Observer {
  observe(): void {
    /* jsdom lays nothing out: nothing ever comes into sight or changes its size. */
  }
  unobserve(): void {
    /* See above. */
  }
  disconnect(): void {
    /* See above. */
  }
}
Object.assign(globalThis, { IntersectionObserver: Observer, ResizeObserver: Observer });
