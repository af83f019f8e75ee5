/**
 * What a JSON Schema asks for, as far as a plain form can show it. What it cannot show is asked
 * for as JSON. Whether an answer obeys the schema is for the engine to say.
 */

export type Json = null | boolean | number | string | Json[] | { [name: string]: Json };

export interface Choice {
  readonly words: string;
  readonly value: Json;
}

export interface Member {
  readonly name: string;
  readonly schema: unknown;
  readonly required: boolean;
}

export type Shape =
  | { readonly type: 'text' | 'boolean' | 'json' }
  | { readonly type: 'number'; readonly whole: boolean }
  | { readonly type: 'choice'; readonly choices: readonly Choice[] }
  | { readonly type: 'list'; readonly items: unknown }
  | { readonly type: 'group'; readonly members: readonly Member[] };

export interface Part {
  readonly title: string | null;
  readonly description: string | null;
  readonly shape: Shape;
}

type Schema = Record<string, unknown>;

/** As deep as a host lets references go. */
const REFERENCES = 64;

/** Returns what a part of the schema `root` asks for. */
export function partOf(schema: unknown, root: unknown): Part {
  const part = resolved(schema, root);
  return { title: text(part.title), description: text(part.description), shape: shapeOf(part) };
}

function shapeOf(schema: Schema): Shape {
  const choices = choicesOf(schema);
  if (choices !== null) return { type: 'choice', choices };
  switch (schema.type) {
    case 'string':
      return { type: 'text' };
    case 'number':
    case 'integer':
      return { type: 'number', whole: schema.type === 'integer' };
    case 'boolean':
      return { type: 'boolean' };
    case 'array':
      return isSchema(schema.items) && !Array.isArray(schema.prefixItems)
        ? { type: 'list', items: schema.items }
        : { type: 'json' };
    case 'object':
    case undefined:
      return groupOf(schema);
    default:
      return { type: 'json' };
  }
}

function groupOf(schema: Schema): Shape {
  if (!isSchema(schema.properties)) return { type: 'json' };
  const required: unknown[] = Array.isArray(schema.required) ? schema.required : [];
  const members = Object.entries(schema.properties).map(([name, member]) => ({
    name,
    schema: member,
    required: required.includes(name),
  }));
  return members.length === 0 ? { type: 'json' } : { type: 'group', members };
}

function choicesOf(schema: Schema): Choice[] | null {
  if (Array.isArray(schema.enum)) return schema.enum.map((value: Json) => choice(value, null));
  if (Object.hasOwn(schema, 'const')) return [choice(schema.const as Json, null)];
  // The way to give each value a title.
  const titled: unknown = schema.oneOf;
  if (!Array.isArray(titled) || titled.length === 0) return null;
  const constants = titled.filter(isSchema).filter((one) => Object.hasOwn(one, 'const'));
  if (constants.length < titled.length) return null;
  return constants.map((one) => choice(one.const as Json, text(one.title)));
}

function choice(value: Json, title: string | null): Choice {
  const words = typeof value === 'string' && value.trim() !== '' ? value : JSON.stringify(value);
  return { words: title ?? words, value };
}

/** Returns a part with what its references say; what stands beside a reference goes first. */
function resolved(schema: unknown, root: unknown): Schema {
  let part: Schema = isSchema(schema) ? schema : {};
  for (let n = 0; typeof part.$ref === 'string' && n < REFERENCES; n += 1) {
    const found = targetOf(part.$ref, root);
    const target: Schema = isSchema(found) ? found : {};
    part = { ...target, ...part, $ref: target.$ref };
  }
  return part;
}

function targetOf(reference: string, root: unknown): unknown {
  let target = root;
  for (const name of segmentsOf(decoded(reference.replace(/^#/, '')))) {
    if (typeof target !== 'object' || target === null || !Object.hasOwn(target, name)) return null;
    target = (target as Schema)[name];
  }
  return target;
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** Returns the names in a JSON pointer (RFC 6901). */
export function segmentsOf(pointer: string): string[] {
  return pointer
    .split('/')
    .slice(1)
    .map((name) => name.replaceAll('~1', '/').replaceAll('~0', '~'));
}

function isSchema(value: unknown): value is Schema {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function text(value: unknown): string | null {
  return typeof value === 'string' && value.trim() !== '' ? value : null;
}
