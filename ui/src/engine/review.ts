/** What the app asks of its window beside events: a notification's Review was pressed. */

const REVIEW = 'nod:review';

/** Calls `review` each time. Returns how to stop that. */
export function onReview(review: () => void): () => void {
  window.addEventListener(REVIEW, review);
  return () => {
    window.removeEventListener(REVIEW, review);
  };
}
