/** The answer that a person is making, or made: by what the question wants. */
import type { Answer, FieldError, Wants } from '../../engine/types';
import { sentence } from '../words';
import { clearErrors, fieldOf, hasErrors, placeError, type Field } from './form/fields.svelte';
import type { Json } from './form/schema';

export class Draft {
  readonly wants: Wants;
  choice = $state<string | null>(null);
  text = $state('');
  /** All of the form; nothing where none is wanted. */
  readonly form: Field | null;

  /** Begins with the defaults, or with what was answered. */
  constructor(wants: Wants, given: Answer | null = null) {
    this.wants = wants;
    if (given?.type === 'choice') this.choice = given.choice;
    else if (given?.type === 'text') this.text = given.text;
    else if (given === null && wants.type === 'choice') this.choice = wants.default;
    else if (given === null && wants.type === 'text') this.text = wants.default ?? '';
    this.form = wants.type === 'form' ? formOf(wants, given) : null;
  }

  /** Whether there is something to answer with. */
  get isReady(): boolean {
    switch (this.wants.type) {
      case 'approval':
      case 'form':
        return true;
      case 'choice':
        return this.choice !== null;
      case 'text':
        return this.text.trim() !== '' || this.wants.default !== null;
    }
  }

  /** All that the person has chosen and written. */
  get content(): unknown {
    return [this.choice, this.text, this.form?.content];
  }

  /** Returns the answer; nothing where a field says what is wrong with it. */
  read(): Answer | null {
    switch (this.wants.type) {
      case 'approval':
        return { type: 'approve' };
      case 'choice':
        return this.choice === null ? null : { type: 'choice', choice: this.choice };
      case 'text':
        return { type: 'text', text: this.text };
      case 'form':
        return this.#readForm();
    }
  }

  /** Shows at the fields what the engine said of them. Returns whether there was any to show. */
  refused(errors: readonly FieldError[]): boolean {
    if (this.form === null || errors.length === 0) return false;
    for (const { field, message } of errors) placeError(this.form, field, ended(sentence(message)));
    return true;
  }

  #readForm(): Answer | null {
    if (this.form === null) return null;
    clearErrors(this.form);
    const data = this.form.value();
    return hasErrors(this.form) ? null : { type: 'form', data: data ?? null };
  }
}

function formOf(
  { schema, initial }: Extract<Wants, { type: 'form' }>,
  given: Answer | null,
): Field {
  const held = given?.type === 'form' ? given.data : initial;
  // Without any default the whole of a form is null.
  const value = (held ?? undefined) as Json | undefined;
  return fieldOf(schema, schema, value, { name: 'Your answer', required: true, inList: false });
}

function ended(text: string): string {
  return /[.!?…]$/.test(text) ? text : `${text}.`;
}
