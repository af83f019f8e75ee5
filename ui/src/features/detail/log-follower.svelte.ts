/**
 * Brings a task's output to a screen as it is written: the last part of a long
 * log at once, then every byte in order. A screen that cannot keep up is
 * emptied and given the end again.
 */
import type { Engine } from '../../engine/engine.svelte';
import { EngineError, type Follow } from '../../engine/transport';
import type { TaskId } from '../../engine/types';
import { byteSize } from '../../shared/size';

export interface Screen {
  write(bytes: Uint8Array, done: () => void): void;
  clear(): void;
}

/** How much of a long log is shown, in bytes. */
export const TAIL = 256 * 1024;
/** How many bytes may wait for the screen. */
export const BACKLOG = 4 * 1024 * 1024;
/** How much of the beginning of a bounded log stays, in bytes. */
const HEAD = 64 * 1024;
const NEWLINE = 10;

/** Returns what stands in place of output that a bounded log has lost. */
function gap(size: number): Uint8Array {
  const words = `${byteSize(size)} of output are gone here, over the limit of the log`;
  return new TextEncoder().encode(`\r\n\x1b[0m\x1b[2m[${words}]\x1b[0m\r\n`);
}

export class LogFollower {
  readonly #engine: Engine;
  readonly #id: TaskId;
  readonly #screen: Screen;
  #follow: Follow | null = null;
  #skipped = $state(0);
  #lost = $state(0);
  #hasOutput = $state(false);
  #isEmpty = $state(false);
  #error = $state<string | null>(null);
  #backlog = 0;
  #behind = false;
  #stopped = false;

  constructor(engine: Engine, id: TaskId, screen: Screen) {
    this.#engine = engine;
    this.#id = id;
    this.#screen = screen;
  }

  /** How many bytes of the log's beginning are not shown. */
  get skipped(): number {
    return this.#skipped;
  }

  /** How many bytes of its middle a bounded log no longer has. */
  get lost(): number {
    return this.#lost;
  }

  /** Whether there was nothing in the log when it was looked at, and nothing has come since. */
  get isEmpty(): boolean {
    return this.#isEmpty && !this.#hasOutput;
  }

  get error(): string | null {
    return this.#error;
  }

  async start(): Promise<void> {
    try {
      const size = await this.#engine.logSize(this.#id);
      if (this.#isStopped()) return;
      this.#isEmpty = size === 0;
      this.#lost = size > TAIL ? await this.#engine.logGap(this.#id, HEAD) : 0;
      if (this.#isStopped()) return;
      await this.#followFrom(Math.max(0, size - TAIL));
    } catch (reason) {
      if (!this.#isStopped()) this.#error = EngineError.from(reason).message;
    }
  }

  stop(): void {
    this.#stopped = true;
    this.#follow?.stop();
  }

  async #followFrom(offset: number): Promise<void> {
    this.#skipped = offset;
    // A log cut anywhere may begin within a character or a colour: begin with a line.
    let atLineStart = offset === 0;
    let expected: number | null = null;
    const follow = this.#engine.followLog(this.#id, offset, (bytes, from) => {
      if (expected === null && from > offset) this.#skipped = from;
      else if (expected !== null && from > expected) this.#show(gap(from - expected));
      expected = from + bytes.length;
      const shown = atLineStart ? bytes : bytes.subarray(bytes.indexOf(NEWLINE) + 1);
      atLineStart = true;
      this.#show(shown);
    });
    this.#follow = follow;
    try {
      await follow.ended;
    } catch (reason) {
      // How a follow ends that was stopped from here says nothing.
      if (this.#follow === follow) throw reason;
    }
  }

  #show(bytes: Uint8Array): void {
    if (this.#stopped || this.#behind || bytes.length === 0) return;
    this.#hasOutput = true;
    this.#backlog += bytes.length;
    this.#screen.write(bytes, () => {
      this.#backlog -= bytes.length;
      if (this.#behind && this.#backlog === 0) this.#catchUp();
    });
    if (this.#backlog > BACKLOG) {
      this.#behind = true;
      this.#follow?.stop();
      this.#follow = null;
    }
  }

  #catchUp(): void {
    if (this.#stopped) return;
    this.#behind = false;
    this.#screen.clear();
    void this.start();
  }

  // Set while a call was on its way, which the compiler cannot see.
  #isStopped(): boolean {
    return this.#stopped;
  }
}
