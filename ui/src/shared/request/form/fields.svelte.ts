/**
 * The fields of a form while a person fills them in.
 *
 * A field that is left empty is left out of the answer, so that the engine can say that it is
 * required; unless a default stood there, which the engine would put back.
 */
import { partOf, segmentsOf, type Choice, type Json, type Part, type Shape } from './schema';

/** What is known of a field but for its kind. */
interface About {
  readonly name: string;
  readonly title: string;
  readonly description: string | null;
  readonly required: boolean;
  /** Part of a list, which has no place for nothing. */
  readonly inList: boolean;
  /** One of several that stand for the same, and need no words of their own. */
  readonly isItem: boolean;
  /** It began with a value. */
  readonly given: boolean;
}

abstract class Base {
  /** What is wrong with it, by its own rules or by the engine's. */
  errors = $state.raw<readonly string[]>([]);
  readonly about: About;

  constructor(about: About) {
    this.about = about;
  }

  /** Returns what it adds to the answer. Says in `errors` what cannot be one. */
  abstract value(): Json | undefined;

  get members(): readonly Field[] {
    return [];
  }

  /** Whether nothing has been written or chosen in it. */
  abstract get isEmpty(): boolean;

  /** What has been written or chosen in it, whether it can be part of an answer or not. */
  get content(): unknown {
    return this.members.map((member) => member.content);
  }

  /** Returns the field inside it that a part of a JSON pointer names. */
  abstract member(segment: string): Field | undefined;

  protected get mustHaveValue(): boolean {
    return this.about.inList || this.about.given;
  }

  /** Says what is wrong, and stands for no value. */
  protected refused(words: string): Json | undefined {
    this.errors = [words];
    return;
  }
}

abstract class Leaf extends Base {
  member(): Field | undefined {
    return undefined;
  }
}

export class TextField extends Leaf {
  readonly kind = 'text';
  text = $state('');
  /** One that began with several lines must not lose them. */
  readonly long: boolean;

  constructor(about: About, initial: string) {
    super(about);
    this.text = initial;
    this.long = initial.includes('\n');
  }

  override get content(): unknown {
    return this.text;
  }

  get isEmpty(): boolean {
    return this.text.trim() === '';
  }

  value(): Json | undefined {
    return this.text === '' && !this.mustHaveValue ? undefined : this.text;
  }
}

export class NumberField extends Leaf {
  readonly kind = 'number';
  text = $state('');
  readonly whole: boolean;

  constructor(about: About, whole: boolean, initial: number | null) {
    super(about);
    this.whole = whole;
    this.text = initial === null ? '' : String(initial);
  }

  override get content(): unknown {
    return this.text;
  }

  get isEmpty(): boolean {
    return this.text.trim() === '';
  }

  value(): Json | undefined {
    const text = this.text.trim();
    if (text === '' && !this.mustHaveValue) return undefined;
    const number = Number(text);
    if (!/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text) || !Number.isFinite(number)) {
      return this.refused(this.whole ? 'Write a whole number.' : 'Write a number.');
    }
    if (!Number.isInteger(number))
      return this.whole ? this.refused('Write a whole number.') : number;
    // Beyond this an answer would not be the number that was written.
    return Number.isSafeInteger(number) ? number : this.refused('This number is too large.');
  }
}

export class BooleanField extends Leaf {
  readonly kind = 'boolean';
  checked = $state<boolean | null>(null);

  constructor(about: About, initial: boolean | null) {
    super(about);
    this.checked = initial;
  }

  override get content(): unknown {
    return this.checked;
  }

  get isEmpty(): boolean {
    return this.checked === null;
  }

  value(): Json | undefined {
    return this.checked ?? (this.about.required || this.about.inList ? false : undefined);
  }
}

export class ChoiceField extends Leaf {
  readonly kind = 'choice';
  chosen = $state<number | null>(null);
  readonly choices: readonly Choice[];

  constructor(about: About, choices: readonly Choice[], chosen: number | null) {
    super(about);
    this.choices = choices;
    this.chosen = chosen;
  }

  /** Whether the person may choose nothing. */
  get canBeNone(): boolean {
    return !this.about.required && !this.mustHaveValue;
  }

  override get content(): unknown {
    return this.chosen;
  }

  get isEmpty(): boolean {
    return this.chosen === null;
  }

  value(): Json | undefined {
    if (this.chosen === null) return this.mustHaveValue ? this.refused('Choose one.') : undefined;
    return this.choices[this.chosen]?.value;
  }
}

export class JsonField extends Leaf {
  readonly kind = 'json';
  text = $state('');

  constructor(about: About, initial: Json | undefined) {
    super(about);
    this.text = initial === undefined ? '' : JSON.stringify(initial, null, 2);
  }

  override get content(): unknown {
    return this.text;
  }

  get isEmpty(): boolean {
    return this.text.trim() === '';
  }

  value(): Json | undefined {
    if (this.text.trim() === '' && !this.mustHaveValue) return undefined;
    let value: Json;
    try {
      value = JSON.parse(this.text) as Json;
    } catch {
      return this.refused('This is not JSON. A text needs quotation marks: "like this".');
    }
    const inexact = inexactNumber(this.text);
    return inexact === null
      ? value
      : this.refused(`${inexact} is too large to be kept exactly. Write it as a text.`);
  }
}

/** Returns the first number in JSON that would be another one once it is read. */
function inexactNumber(json: string): string | null {
  const numbers = json.replace(/"(?:[^"\\]|\\.)*"/g, '""').match(/-?\d+(?:\.\d+)?(?:e[+-]?\d+)?/gi);
  const isInexact = (text: string): boolean =>
    /^-?\d+$/.test(text) ? !Number.isSafeInteger(Number(text)) : !Number.isFinite(Number(text));
  return numbers?.find(isInexact) ?? null;
}

export class ListField extends Base {
  readonly kind = 'list';
  #items = $state.raw<readonly Field[]>([]);
  readonly #fresh: (initial: Json | undefined, n: number) => Field;

  constructor(about: About, items: unknown, root: unknown, initial: readonly Json[]) {
    super(about);
    this.#fresh = (value, n) =>
      fieldOf(items, root, value, {
        ...{ name: String(n + 1), required: true, inList: true, isItem: true },
      });
    this.#items = initial.map(this.#fresh);
  }

  override get members(): readonly Field[] {
    return this.#items;
  }

  member(segment: string): Field | undefined {
    return this.#items[Number(segment)];
  }

  add(): void {
    this.#items = [...this.#items, this.#fresh(undefined, this.#items.length)];
  }

  remove(item: Field): void {
    this.#items = this.#items.filter((other) => other !== item);
  }

  get isEmpty(): boolean {
    return this.#items.length === 0;
  }

  value(): Json | undefined {
    const values = this.#items.map((item) => item.value() ?? null);
    return values.length === 0 && !this.about.required && !this.mustHaveValue ? undefined : values;
  }
}

/** Fields that belong together, and are always the same ones. */
abstract class Members extends Base {
  readonly #members: readonly Field[];

  constructor(about: About, members: readonly Field[]) {
    super(about);
    this.#members = members;
  }

  override get members(): readonly Field[] {
    return this.#members;
  }

  get isEmpty(): boolean {
    return this.members.every((member) => member.isEmpty);
  }
}

/** A list of which each place is of its own kind. */
export class TupleField extends Members {
  readonly kind = 'tuple';

  member(segment: string): Field | undefined {
    return this.members[Number(segment)];
  }

  value(): Json | undefined {
    if (this.isEmpty && !this.about.required && !this.mustHaveValue) return undefined;
    return this.members.map((member) => member.value() ?? null);
  }
}

export class GroupField extends Members {
  readonly kind = 'group';

  member(segment: string): Field | undefined {
    return this.members.find((member) => member.about.name === segment);
  }

  value(): Json | undefined {
    const values = this.members.map((member) => [member.about.name, member.value()] as const);
    const known = values.filter((entry): entry is [string, Json] => entry[1] !== undefined);
    if (known.length === 0 && !this.about.required && !this.mustHaveValue) return undefined;
    return Object.fromEntries(known);
  }
}

export type Field =
  | TextField
  | NumberField
  | BooleanField
  | ChoiceField
  | JsonField
  | ListField
  | TupleField
  | GroupField;

/** Where a field stands. */
interface Place {
  readonly name: string;
  readonly required: boolean;
  readonly inList: boolean;
  readonly isItem?: boolean;
}

/** Returns the field of a part of the schema `root`, holding `initial`. */
export function fieldOf(
  schema: unknown,
  root: unknown,
  initial: Json | undefined,
  place: Place,
): Field {
  const part = partOf(schema, root);
  const about = aboutOf(part, place, initial !== undefined);
  const { shape } = part;
  // What stood there is shown, also where it is not what the schema says.
  if (!holds(shape, initial)) return new JsonField(about, initial);
  switch (shape.type) {
    case 'text':
      return new TextField(about, (initial as string | undefined) ?? '');
    case 'number':
      return new NumberField(about, shape.whole, (initial as number | undefined) ?? null);
    case 'boolean':
      return new BooleanField(about, (initial as boolean | undefined) ?? null);
    case 'choice':
      return new ChoiceField(about, shape.choices, indexOf(shape.choices, initial));
    case 'list':
      return new ListField(about, shape.items, root, (initial as Json[] | undefined) ?? []);
    case 'tuple':
      return new TupleField(about, placesOf(shape, root, (initial as Json[] | undefined) ?? []));
    case 'group':
      return new GroupField(about, membersOf(shape, root, initial));
    case 'json':
      return new JsonField(about, initial);
  }
}

function membersOf(
  { members }: Extract<Shape, { type: 'group' }>,
  root: unknown,
  initial: Json | undefined,
): Field[] {
  const values = (initial ?? {}) as Record<string, Json>;
  return members.map(({ name, schema, required }) => {
    const value = Object.hasOwn(values, name) ? values[name] : undefined;
    return fieldOf(schema, root, value, { name, required, inList: false });
  });
}

function placesOf(
  { places }: Extract<Shape, { type: 'tuple' }>,
  root: unknown,
  initial: readonly Json[],
): Field[] {
  return places.map((schema, n) =>
    fieldOf(schema, root, initial[n], { name: String(n + 1), required: true, inList: true }),
  );
}

function aboutOf({ title, description }: Part, place: Place, given: boolean): About {
  return { isItem: false, ...place, title: title ?? place.name, description, given };
}

function holds(shape: Shape, initial: Json | undefined): boolean {
  if (initial === undefined) return true;
  switch (shape.type) {
    case 'text':
      return typeof initial === 'string';
    case 'number':
      return typeof initial === 'number';
    case 'boolean':
      return typeof initial === 'boolean';
    case 'choice':
      return indexOf(shape.choices, initial) !== null;
    case 'list':
      return Array.isArray(initial);
    case 'tuple':
      return Array.isArray(initial) && initial.length === shape.places.length;
    case 'group':
      return holdsOnly(shape, initial);
    case 'json':
      return true;
  }
}

function holdsOnly({ members }: Extract<Shape, { type: 'group' }>, initial: Json): boolean {
  if (typeof initial !== 'object' || initial === null || Array.isArray(initial)) return false;
  return Object.keys(initial).every((name) => members.some((member) => member.name === name));
}

function indexOf(choices: readonly Choice[], value: Json | undefined): number | null {
  const wanted = JSON.stringify(value);
  const index = choices.findIndex((choice) => JSON.stringify(choice.value) === wanted);
  return index === -1 ? null : index;
}

/** Puts a message at the field that a JSON pointer names, or at the one that it lies in. */
export function placeError(root: Field, pointer: string, message: string): void {
  let field = root;
  for (const segment of segmentsOf(pointer)) {
    const member = field.member(segment);
    if (!member) break;
    field = member;
  }
  field.errors = [...field.errors, message];
}

export function clearErrors(field: Field): void {
  field.errors = [];
  for (const member of field.members) clearErrors(member);
}

export function hasErrors(field: Field): boolean {
  return field.errors.length > 0 || field.members.some(hasErrors);
}
