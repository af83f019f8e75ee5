/** Whether a task can still be cancelled. */
import type { TaskState } from '../engine/types';

export function canCancel(state: TaskState): boolean {
  switch (state.name) {
    case 'queued':
    case 'starting':
    case 'running':
    case 'waiting':
      return true;
    case 'stopping':
      // A person may hurry what its deadline or its own end began.
      return state.cause.type !== 'cancelled' && state.cancelled_by === undefined;
    case 'ended':
      return false;
  }
}
