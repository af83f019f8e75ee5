/**
 * A rule that a person is making: what of it is wide or narrow, what it would have meant for the
 * tasks so far, and what the engine refused.
 */
import { untrack } from 'svelte';
import type { Engine } from '../../engine/engine.svelte';
import { EngineError } from '../../engine/transport';
import type { FieldError, Rule, RulePreview, Task, Then, Timestamp } from '../../engine/types';
import { Intent } from '../intent.svelte';
import { endOfDay } from '../time';
import { visible } from '../visible';
import { sentence } from '../words';
import { ANY_WORD, ANY_WORDS, patternOf } from './pattern';

/** When the rule ends: after so many days, at the end of a day, or never. */
export type Ending = '1' | '7' | '30' | 'day' | 'never';

/** How long nothing has to change before the engine is asked what the rule would have meant. */
export const PREVIEW_DELAY = 200;
const DAY = 24 * 60 * 60 * 1_000;

/** What a rule is begun from: a command that is asked about. */
export interface About {
  readonly argv: readonly string[];
  readonly cwd: string;
  readonly task: Task | undefined;
}

export class RuleWord {
  /** The pattern that it began with; nothing for one that was added. */
  readonly given: string | null;
  pattern = $state('');

  constructor(pattern: string, isGiven: boolean) {
    this.given = isGiven ? pattern : null;
    this.pattern = pattern;
  }

  get isWritable(): boolean {
    return isWritable(this.pattern);
  }

  get isAny(): boolean {
    return this.pattern === ANY_WORD;
  }

  /** Widens it to any word, or makes it again what it was. */
  toggleAny(): void {
    this.pattern = this.isAny ? (this.given ?? '') : ANY_WORD;
  }
}

export class RuleDraft {
  readonly #engine: Engine;
  readonly #intent = new Intent();
  readonly about: About | null;
  #words = $state.raw<readonly RuleWord[]>([]);
  #preview = $state.raw<RulePreview | null>(null);
  #isStale = $state(true);
  #errors = $state.raw<readonly FieldError[]>([]);
  #refusal = $state<string | null>(null);
  then = $state<Then>('need_not_ask');
  folder = $state('');
  session = $state('');
  kind = $state('');
  ending = $state<Ending>('7');
  day = $state('');
  name = $state('');

  /** All of the rule but what it is called and when it ends: those change nothing of what it means. */
  readonly #meaning = $derived.by((): Omit<Rule, 'name' | 'expires_at'> => ({
    match: this.#words.map((word) => word.pattern),
    then: this.then,
    folder: filled(this.folder),
    session: filled(this.session),
    kind: filled(this.kind),
  }));

  constructor(engine: Engine, about: About | null) {
    this.#engine = engine;
    this.about = about;
    this.then = about === null ? 'ask_first' : 'need_not_ask';
    this.ending = about === null ? 'never' : '7';
    this.folder = about?.cwd ?? '';
    this.kind = about?.task === undefined ? '' : kindOf(about.task);
    const words = about?.argv.map((word) => new RuleWord(patternOf(word), true));
    this.#words = words ?? [new RuleWord('', false)];
  }

  get words(): readonly RuleWord[] {
    return this.#words;
  }

  /** What the rule would have meant so far; nothing while the engine has not said so. */
  get preview(): RulePreview | null {
    return this.#preview;
  }

  /** Whether the preview is of what stood here before. */
  get isStale(): boolean {
    return this.#isStale;
  }

  get pending(): boolean {
    return this.#intent.pending;
  }

  get refusal(): string | null {
    return this.#refusal;
  }

  /** Whether a rule of this sort may hold for ever. */
  get canBeEndless(): boolean {
    return this.then === 'ask_first';
  }

  say(then: Then): void {
    this.then = then;
    if (!this.canBeEndless && this.ending === 'never') this.ending = '7';
  }

  /** All that a person can say of the rule, as a text. */
  get content(): string {
    return JSON.stringify([this.#meaning, filled(this.name), this.ending, this.day]);
  }

  /** Returns when the rule would end if it was made now; nothing where it never does, or says it wrong. */
  endsAt(): Timestamp | null {
    if (this.ending === 'never') return null;
    if (this.ending === 'day') return endOfDay(this.day);
    return this.#engine.clock.now + Number(this.ending) * DAY;
  }

  /** Returns what is wrong with a part of the rule, which a JSON pointer names. */
  errorAt(pointer: string): string | null {
    const found = this.#errors.find((error) => error.field === pointer);
    return found === undefined ? null : `${sentence(found.message)}.`;
  }

  addWord(pattern: '' | typeof ANY_WORDS): void {
    this.#words = [...this.#words, new RuleWord(pattern, false)];
  }

  removeWord(word: RuleWord): void {
    this.#words = this.#words.filter((other) => other !== word);
  }

  /** Asks what the rule would have meant, once nothing changes for a moment. Returns how to stop. */
  look(): () => void {
    const rule: Rule = { ...this.#meaning, name: null, expires_at: null };
    let isOver = false;
    untrack(() => {
      this.#isStale = true;
      this.#errors = [];
      this.#refusal = null;
    });
    const ask = async (): Promise<void> => {
      try {
        const preview = await this.#engine.previewRule(rule);
        if (!isOver) [this.#preview, this.#isStale] = [preview, false];
      } catch (reason) {
        if (isOver) return;
        [this.#preview, this.#isStale] = [null, false];
        this.#refuse(EngineError.from(reason));
      }
    };
    const timer = setTimeout(() => void ask(), PREVIEW_DELAY);
    return () => {
      isOver = true;
      clearTimeout(timer);
    };
  }

  /** Makes the rule. Returns whether the engine did. */
  async save(): Promise<boolean> {
    const expires_at = this.endsAt();
    if (this.ending === 'day' && (expires_at === null || expires_at <= this.#engine.clock.now)) {
      const message = 'write a day to come, such as 2030-12-31';
      this.#errors = [{ field: '/expires_at', message }];
      return false;
    }
    this.#errors = [];
    this.#refusal = null;
    const rule: Rule = { ...this.#meaning, name: filled(this.name), expires_at };
    // What is sent again is the same wish, though its end has moved meanwhile.
    const sent = await this.#intent.send(this.content, (operation) =>
      this.#engine.addRule(operation, rule),
    );
    if (this.#intent.error !== null) this.#refuse(this.#intent.error);
    return sent !== null;
  }

  #refuse(error: EngineError): void {
    this.#errors = error.fields;
    this.#refusal = error.fields.length === 0 ? error.message : null;
  }
}

/** What a task is that was made without a kind. */
const PLAIN_KIND = 'command';

function kindOf(task: Task): string {
  return task.kind === PLAIN_KIND ? '' : task.kind;
}

// As it stands: a folder or a session may well begin or end with a space.
function filled(text: string): string | null {
  return text.trim() === '' ? null : text;
}

/** Returns whether a field shows `text` as it is: what cannot be seen would not be seen in one. */
export function isWritable(text: string): boolean {
  return !text.includes('\n') && visible(text) === text;
}
