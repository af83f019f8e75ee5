/**
 * A person answering one request: when an answer is armed, the draft of it, whether a reason is
 * being written, what is on its way, and what the engine refused.
 */
import { untrack } from 'svelte';
import type { Engine } from '../../engine/engine.svelte';
import type { Answer, Request, Wants } from '../../engine/types';
import { Arming } from '../arming.svelte';
import { Intent } from '../intent.svelte';
import { Draft } from './draft.svelte';

export class Answering {
  readonly #engine: Engine;
  readonly #request: () => Request;
  readonly #intent = new Intent();
  #denying = $state(false);
  #accepted = $state(false);
  #wanted = $state<Answer['type'] | null>(null);
  /** The reason of a denial, or the comment beside another answer. */
  words = $state('');
  readonly #shown = $derived.by(() => this.#request().hash);
  readonly #firstShown: string;
  readonly #arming = new Arming(() => this.#shown, {
    content: () => JSON.stringify([this.words, this.draft.content]),
    isByHand: () => this.#engine.hand === 'own',
  });
  // As a text, so that a reminder of the same question leaves what was written as it is.
  readonly #wants = $derived.by(() => JSON.stringify(this.#request().shown.wants));
  readonly draft = $derived(new Draft(JSON.parse(this.#wants) as Wants));

  constructor(engine: Engine, request: () => Request) {
    this.#engine = engine;
    this.#request = request;
    this.#firstShown = untrack(() => request().hash);
  }

  /** What sort of answer is wanted. */
  get wants(): Wants {
    return this.#request().shown.wants;
  }

  /** Whether something else is shown than at first. */
  get hasChanged(): boolean {
    return this.#shown !== this.#firstShown;
  }

  /** Whether an answer other than a denial can be given. */
  get canGive(): boolean {
    return this.#arming.isArmed && this.canAnswer && this.draft.isReady;
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

  /** Arms the answer once what is shown has been in sight long enough. Returns how to stop that. */
  arm(): () => void {
    return this.#arming.begin();
  }

  /** Arms it anew, since the card has come to stand elsewhere. */
  armAgain(): void {
    this.#arming.again();
  }

  /** Approves, or answers with the draft. */
  async give(): Promise<void> {
    if (!this.canGive) return;
    this.#intent.forgetError();
    const answer = this.draft.read();
    if (answer === null) return;
    await this.#send(answer, this.#writtenWords());
    const fields = this.#intent.error?.fields ?? [];
    if (this.draft.refused(fields)) this.#intent.forgetError();
  }

  startDenying(): void {
    this.#denying = true;
  }

  stopDenying(): void {
    this.#denying = false;
  }

  async deny(): Promise<void> {
    if (this.canAnswer) await this.#send({ type: 'deny', reason: this.#writtenWords() }, null);
  }

  #writtenWords(): string | null {
    const words = this.words.trim();
    return words === '' ? null : words;
  }

  async #send(answer: Answer, comment: string | null): Promise<void> {
    this.#wanted = answer.type;
    const request = this.#request();
    const content = JSON.stringify([request.id, request.hash, answer, comment]);
    const sent = await this.#intent.send(content, (operation) =>
      this.#engine.answer(operation, request, answer, comment),
    );
    // The card stays as it is until the engine says that the request is closed.
    if (sent) this.#accepted = true;
  }
}
