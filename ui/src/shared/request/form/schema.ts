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
  | { readonly type: 'tuple'; readonly places: readonly unknown[] }
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
  const part = wholeOf(schema, root);
  const shape = shapeOf(part, root);
  return { title: text(part.title), description: text(part.description), shape };
}

function shapeOf(schema: Schema, root: unknown): Shape {
  const choices = choicesOf(schema, root);
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
      return listOf(schema);
    case undefined:
      return Array.isArray(schema.prefixItems) ? listOf(schema) : groupOf(schema);
    case 'object':
      return groupOf(schema);
    default:
      return { type: 'json' };
  }
}

function listOf({ items, prefixItems }: Schema): Shape {
  if (!Array.isArray(prefixItems)) {
    return isSchema(items) ? { type: 'list', items } : { type: 'json' };
  }
  // With more behind the places it has no end that one could show.
  const isFixed = prefixItems.length > 0 && (items === undefined || items === false);
  return isFixed ? { type: 'tuple', places: prefixItems } : { type: 'json' };
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

function choicesOf(schema: Schema, root: unknown): Choice[] | null {
  if (Array.isArray(schema.enum)) return schema.enum.map((value: Json) => choice(value, null));
  if (Object.hasOwn(schema, 'const')) return [choice(schema.const as Json, null)];
  // The way to give each value a title.
  const titled: unknown = schema.oneOf ?? schema.anyOf;
  if (!Array.isArray(titled) || titled.length === 0) return null;
  const found = titled.map((one) => valuesOf(wholeOf(one, root)));
  const choices = found.filter((values) => values !== null).flat();
  if (found.includes(null)) return null;
  const known = choices.map(({ value }) => JSON.stringify(value));
  return choices.filter(({ value }, n) => known.indexOf(JSON.stringify(value)) === n);
}

/** Returns the values that an alternative stands for; nothing where it is more than values. */
function valuesOf(schema: Schema): Choice[] | null {
  const title = text(schema.title);
  if (Object.hasOwn(schema, 'const')) return [choice(schema.const as Json, title)];
  if (schema.type === 'null') return [choice(null, title ?? 'None')];
  if (!Array.isArray(schema.enum)) return null;
  const only = schema.enum.length === 1 ? title : null;
  return schema.enum.map((value: Json) => choice(value, only));
}

function choice(value: Json, title: string | null): Choice {
  const words = typeof value === 'string' && value.trim() !== '' ? value : JSON.stringify(value);
  return { words: title ?? words, value };
}

/** What a part of `allOf` would ask for, beside plain fields; the rest only says what is wrong. */
const MORE_THAN_FIELDS = ['enum', 'const', 'oneOf', 'anyOf', 'items', 'prefixItems'];
/** What says nothing of a value. */
const NOTES = ['title', 'description', 'default', '$comment', '$schema', '$defs', 'definitions'];

/** Returns a part with what its references and its `allOf` say. */
function wholeOf(schema: unknown, root: unknown): Schema {
  const { allOf, ...own } = resolved(schema, root);
  if (!Array.isArray(allOf) || allOf.length === 0) return own;
  const parts = allOf.map((part) => wholeOf(part, root));
  const [only] = parts;
  // The way to write a title beside a reference.
  if (parts.length === 1 && Object.keys(own).every((key) => NOTES.includes(key))) {
    return { ...only, ...own };
  }
  return parts.every(isPlain) && isPlain(own) ? merged(own, parts) : withoutParts(own, parts);
}

function isPlain(schema: Schema): boolean {
  const isObject = schema.type === undefined || schema.type === 'object';
  return isObject && !MORE_THAN_FIELDS.some((word) => Object.hasOwn(schema, word));
}

/** Returns one object with the fields of several; they may not differ on a field. */
function merged(own: Schema, parts: readonly Schema[]): Schema {
  const fields = new Map<string, unknown>();
  for (const { properties } of [own, ...parts]) {
    if (!isSchema(properties)) continue;
    for (const [name, member] of Object.entries(properties)) {
      if (fields.has(name) && JSON.stringify(fields.get(name)) !== JSON.stringify(member)) {
        return notesOf(own);
      }
      fields.set(name, member);
    }
  }
  const required = [own, ...parts].flatMap((part): unknown[] =>
    Array.isArray(part.required) ? part.required : [],
  );
  return { ...own, properties: Object.fromEntries(fields), required };
}

/** Returns `own` alone where `parts` only say what is wrong with it; else nothing to make a field of. */
function withoutParts(own: Schema, parts: readonly Schema[]): Schema {
  const asks = parts.some((part) => isSchema(part.properties) || !isPlain(part));
  return asks ? notesOf(own) : own;
}

function notesOf(schema: Schema): Schema {
  return { title: schema.title, description: schema.description };
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
