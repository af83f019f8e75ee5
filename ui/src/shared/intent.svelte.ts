/**
 * One wish of the person. However often it is pressed, the engine gets one
 * operation: nothing is sent while an answer is awaited, and what may have
 * been done already is sent again under the same name.
 */
import { EngineError } from '../engine/transport';
import type { OperationId } from '../engine/types';

export class Intent {
  #pending = $state(false);
  #error = $state<EngineError | null>(null);
  #uncertain: { operation: OperationId; content: string } | null = null;

  get pending(): boolean {
    return this.#pending;
  }

  get error(): EngineError | null {
    return this.#error;
  }

  /**
   * Carries the wish out. `content` says what is wanted: another content is
   * another operation. Returns nothing when it was refused or is on its way.
   */
  async send<Result>(
    content: string,
    work: (operation: OperationId) => Promise<Result>,
  ): Promise<{ result: Result } | null> {
    if (this.#pending) return null;
    this.#pending = true;
    this.#error = null;
    const operation = this.#operationFor(content);
    try {
      const result = await work(operation);
      this.#uncertain = null;
      return { result };
    } catch (reason) {
      const error = EngineError.from(reason);
      this.#uncertain = error.isUncertain ? { operation, content } : null;
      this.#error = error;
      return null;
    } finally {
      this.#pending = false;
    }
  }

  forgetError(): void {
    this.#error = null;
  }

  #operationFor(content: string): OperationId {
    if (this.#uncertain?.content === content) return this.#uncertain.operation;
    return crypto.randomUUID();
  }
}
