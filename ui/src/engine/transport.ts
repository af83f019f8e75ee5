/**
 * How the window reaches a host, and what can go wrong on the way.
 *
 * Knows neither Tauri (client.ts) nor what is done with the replies.
 */
import type { Hand } from './hand';
import type { Call, ErrorCode, ErrorReply, Event, FieldError, Reply, TaskId } from './types';

export type ReplyType = Reply['type'];
export type ReplyOf<Type extends ReplyType> = Extract<Reply, { type: Type }>;

/**
 * Takes the next bytes of a log and the offset they begin at: beyond those before, where a
 * bounded log has lost what was between.
 */
export type OnBytes = (bytes: Uint8Array, offset: number) => void;

/** A log that is being followed. */
export interface Follow {
  /** Settles when the task has ended and every byte was handed over. */
  readonly ended: Promise<void>;
  stop(): void;
}

export interface Transport {
  rpc(call: Call): Promise<Reply>;
  /** Hands over every event after the reply, in order. */
  events(onEvent: (event: Event) => void): Promise<ReplyOf<'subscribed'>>;
  followLog(id: TaskId, offset: number, onBytes: OnBytes): Follow;
  /** Whose work goes on just now; where nobody guards the window, a hand's. */
  readonly hand?: () => Hand;
}

/** What a host, or the way to it, refused. */
export class EngineError extends Error {
  override readonly name = 'EngineError';

  constructor(
    readonly code: ErrorCode,
    message: string,
    /** What is wrong with the fields of an answer. */
    readonly fields: readonly FieldError[] = [],
  ) {
    super(sentence(message));
  }

  /** Whether the host may have done it all the same, so that only the same operation is safe. */
  get isUncertain(): boolean {
    return this.code === 'stopping' || this.code === 'internal';
  }

  static from(reason: unknown): EngineError {
    if (reason instanceof EngineError) return reason;
    if (isErrorReply(reason)) return new EngineError(reason.code, reason.message, reason.fields);
    const message = reason instanceof Error ? reason.message : String(reason);
    return new EngineError('internal', message);
  }
}

/** Returns `text` as a sentence begins, unless its first word is a name or a path. */
function sentence(text: string): string {
  return text.replace(/^[a-z](?=[a-z]* )/, (letter) => letter.toUpperCase());
}

function isErrorReply(reason: unknown): reason is ErrorReply {
  return (
    typeof reason === 'object' &&
    reason !== null &&
    'code' in reason &&
    'message' in reason &&
    typeof reason.code === 'string' &&
    typeof reason.message === 'string'
  );
}

/** Returns `reply` as the type that the call promises. */
export function expectReply<Type extends ReplyType>(reply: Reply, type: Type): ReplyOf<Type> {
  if (reply.type !== type) {
    throw new EngineError('internal', `the host replied ${reply.type} instead of ${type}`);
  }
  return reply as ReplyOf<Type>;
}
