/** Where the keyboard is. */

/** A view that takes the focus itself, where nothing in it could. */
export const VIEW = '[data-view]';

/** Returns whether nothing that works has the focus: what had it is gone, or disabled. */
export function isFocusLost(): boolean {
  const active = document.activeElement;
  return active === null || active === document.body || active.matches(':disabled');
}
