/** What a task's progress bar shows. */
import type { Progress, TaskState } from '../engine/types';
import { stateTone, type Tone } from './words';

export interface Bar {
  /** 0 to 100; nothing while the task works without knowing how much is left. */
  readonly percent: number | null;
  readonly tone: Tone;
}

/** Returns the bar; nothing where there is none. Full only on success. */
export function barOf(state: TaskState, progress: Progress | null): Bar | null {
  const tone = stateTone(state);
  const percent = progress?.percent ?? null;
  switch (state.name) {
    case 'queued':
      return null;
    case 'waiting':
      // It does not move by itself: a moving bar would say that it does.
      return percent === null ? null : { percent: unfinished(percent), tone };
    case 'starting':
    case 'running':
    case 'stopping':
      return { percent: percent === null ? null : unfinished(percent), tone };
    case 'ended':
      if (state.outcome.type === 'succeeded') return { percent: 100, tone };
      return percent === null ? null : { percent: unfinished(percent), tone };
  }
}

function unfinished(percent: number): number {
  return Math.min(99, Math.max(0, percent));
}
