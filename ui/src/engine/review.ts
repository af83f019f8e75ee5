/** What the app asks of its window beside events: a notification was pressed. */
import type { RequestId } from './types';

const REVIEW = 'nod:review';

/**
 * Calls `review` each time, with the question that is to be looked at; without one it is about
 * whatever waits. Returns how to stop that.
 */
export function onReview(review: (request: RequestId | null) => void): () => void {
  const listener = (event: Event): void => {
    const detail: unknown = event instanceof CustomEvent ? event.detail : null;
    review(typeof detail === 'number' ? detail : null);
  };
  window.addEventListener(REVIEW, listener);
  return () => {
    window.removeEventListener(REVIEW, listener);
  };
}
