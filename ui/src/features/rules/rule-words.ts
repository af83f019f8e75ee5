/** The words for what a rule says, and until when. */
import type { Rule, Then, Timestamp } from '../../engine/types';
import { duration } from '../../shared/time';

export function thenWords(then: Then): string {
  return then === 'ask_first' ? 'Ask first' : 'Need not ask';
}

/** Returns whether the rule means nothing any more. */
export function isOver({ expires_at }: Pick<Rule, 'expires_at'>, now: Timestamp): boolean {
  return expires_at !== null && expires_at <= now;
}

/** Returns when a rule ends, or ended, as seen from now. */
export function endWords(at: Timestamp, now: Timestamp): string {
  return at > now ? `ends in ${duration(at - now)}` : `ended ${duration(now - at)} ago`;
}
