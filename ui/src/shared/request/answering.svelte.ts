/**
 * A person answering one request: when Approve is armed, whether a reason is
 * being written, what is on its way, and what the engine refused.
 */
import type { Engine } from '../../engine/engine.svelte';
import type { Answer, Request, Wants } from '../../engine/types';
import { Intent } from '../intent.svelte';

/** A click or key that is already on its way must not approve what has just appeared. */
export const ARMING_DELAY = 500;

export class Answering {
  readonly #engine: Engine;
  readonly #request: () => Request;
  readonly #intent = new Intent();
  #armed = $state(false);
  #denying = $state(false);
  #accepted = $state(false);
  #wanted = $state<Answer['type'] | null>(null);
  reason = $state('');

  constructor(engine: Engine, request: () => Request) {
    this.#engine = engine;
    this.#request = request;
  }

  /** What sort of answer is wanted. */
  get wants(): Wants {
    return this.#request().shown.wants;
  }

  get canApprove(): boolean {
    return this.wants.type === 'approval' && this.#armed && this.canAnswer;
  }

  /** Whether nothing has been sent, and the engine has not said that it is closed. */
  get canAnswer(): boolean {
    return this.#request().closure === null && !this.#intent.pending && !this.#accepted;
  }

  /** The answer that is on its way. */
  get sending(): Answer['type'] | null {
    return this.#intent.pending ? this.#wanted : null;
  }

  /** Whether the reason for a denial is being asked for. */
  get denying(): boolean {
    return this.#denying;
  }

  get error(): string | null {
    return this.#intent.error?.message ?? null;
  }

  /** Arms Approve once the card has been in sight long enough. Returns how to stop that. */
  arm(): () => void {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const restart = (): void => {
      clearTimeout(timer);
      this.#armed = false;
      if (document.visibilityState === 'hidden') return;
      timer = setTimeout(() => {
        this.#armed = true;
      }, ARMING_DELAY);
    };
    restart();
    document.addEventListener('visibilitychange', restart);
    return () => {
      clearTimeout(timer);
      document.removeEventListener('visibilitychange', restart);
    };
  }

  async approve(): Promise<void> {
    if (this.canApprove) await this.#send({ type: 'approve' });
  }

  startDenying(): void {
    this.#denying = true;
  }

  stopDenying(): void {
    this.#denying = false;
  }

  async deny(): Promise<void> {
    const reason = this.reason.trim();
    if (this.canAnswer) await this.#send({ type: 'deny', reason: reason === '' ? null : reason });
  }

  async #send(answer: Answer): Promise<void> {
    this.#wanted = answer.type;
    const request = this.#request();
    const content = JSON.stringify([request.id, request.hash, answer]);
    const sent = await this.#intent.send(content, (operation) =>
      this.#engine.answer(operation, request, answer),
    );
    // The card stays as it is until the engine says that the request is closed.
    if (sent) this.#accepted = true;
  }
}
