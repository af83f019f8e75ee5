import { describe, expect, it } from 'vitest';
import { Draft } from '../draft.svelte';
import { fieldOf, hasErrors, type Field } from './fields.svelte';
import type { Json } from './schema';

const WHOLE = { name: '', required: true, inList: false };

const DEPLOY = {
  type: 'object',
  required: ['region', 'owner'],
  properties: {
    region: { enum: ['eu', 'us', 3], default: 'eu' },
    replicas: { type: 'integer', default: 2 },
    ratio: { type: 'number' },
    owner: {
      type: 'object',
      required: ['mail'],
      properties: { mail: { type: 'string' }, notify: { $ref: '#/$defs/yes' } },
    },
    tags: { type: 'array', items: { type: 'string' } },
    dry: { type: 'boolean' },
    window: { type: 'object', properties: { from: { type: 'string' } } },
    anything: {},
  },
  $defs: { yes: { type: 'boolean', default: true, title: 'Tell them' } },
};

function form(schema: unknown, initial?: Json): Field {
  return fieldOf(schema, schema, initial, WHOLE);
}

function deploy(): Field {
  return form(DEPLOY, { region: 'eu', replicas: 2, owner: { notify: true } });
}

function at(root: Field, ...path: string[]): Field {
  const found = path.reduce<Field | undefined>((field, name) => field?.member(name), root);
  if (!found) throw new Error(`nothing at ${path.join('/')}`);
  return found;
}

function write(field: Field, text: string): void {
  if (!('text' in field)) throw new Error(`one cannot write into a ${field.kind}`);
  field.text = text;
}

describe('a form', () => {
  it('has a field of the right kind for each part, a reference followed', () => {
    const kinds = deploy().members.map((field) => `${field.about.name} ${field.kind}`);
    expect(kinds).toEqual([
      ...['region choice', 'replicas number', 'ratio number', 'owner group', 'tags list'],
      ...['dry boolean', 'window group', 'anything json'],
    ]);
    expect(at(deploy(), 'owner', 'notify').about.title).toBe('Tell them');
  });

  it('refuses a number in JSON that it would not keep', () => {
    const field = form({});
    for (const text of ['12345678901234567890', '{"a": [-9007199254740993]}', '1e400']) {
      write(field, text);
      field.errors = [];
      expect(field.value()).toBeUndefined();
      expect(field.errors[0]).toContain('too large');
    }
    for (const text of ['{"12345678901234567890": 1.5}', '"1e400 \\" 1e400"', '9007199254740991']) {
      write(field, text);
      field.errors = [];
      expect(field.value()).toEqual(JSON.parse(text));
      expect(hasErrors(field)).toBe(false);
    }
  });

  it('holds its defaults, and leaves out what is left empty', () => {
    expect(deploy().value()).toEqual({ region: 'eu', replicas: 2, owner: { notify: true } });
  });

  it('answers with what was filled in', () => {
    const root = deploy();
    write(at(root, 'replicas'), ' 12 ');
    write(at(root, 'ratio'), '.5e1');
    write(at(root, 'owner', 'mail'), 'a@b');
    write(at(root, 'anything'), '{"deep": [1, null]}');
    const tags = at(root, 'tags');
    const [region, dry] = [at(root, 'region'), at(root, 'dry')];
    if (tags.kind !== 'list' || region.kind !== 'choice' || dry.kind !== 'boolean')
      throw new Error();
    for (const text of ['x', '', 'z']) {
      tags.add();
      write(at(tags, String(tags.members.length - 1)), text);
    }
    tags.remove(at(tags, '0'));
    region.chosen = 2;
    dry.checked = false;
    expect(root.value()).toEqual({
      ...{ region: 3, replicas: 12, ratio: 5, owner: { mail: 'a@b', notify: true } },
      ...{ tags: ['', 'z'], dry: false, anything: { deep: [1, null] } },
    });
  });

  it.each([
    ['replicas', '1.5', 'Write a whole number.'],
    ['replicas', '0x10', 'Write a whole number.'],
    // The engine would put the default in its place.
    ['replicas', '', 'Write a whole number.'],
    ['replicas', '9007199254740993', 'This number is too large.'],
    ['ratio', 'many', 'Write a number.'],
    ['ratio', '1e999', 'Write a number.'],
    ['anything', 'main', 'This is not JSON. A text needs quotation marks: "like this".'],
  ])('says that %s cannot be "%s"', (name, text, words) => {
    const root = deploy();
    write(at(root, name), text);
    root.value();
    expect(at(root, name).errors).toEqual([words]);
    expect(hasErrors(root)).toBe(true);
  });

  it('shows what stood there, also where it is not what the schema says', () => {
    const root = form(
      { properties: { a: { type: 'string' }, b: { enum: [1] } } },
      { a: { c: 1 }, b: 2 },
    );
    expect(root.members.map((field) => field.kind)).toEqual(['json', 'json']);
    expect(root.value()).toEqual({ a: { c: 1 }, b: 2 });
  });

  it('keeps a default that is emptied empty', () => {
    const root = form({ properties: { branch: { type: 'string' } } }, { branch: 'main' });
    write(at(root, 'branch'), '');
    expect(root.value()).toEqual({ branch: '' });
  });

  it('takes choices with titles, and a form that is a single value', () => {
    const root = form({ oneOf: [{ const: 1, title: 'One' }, { const: 'b' }] });
    if (root.kind !== 'choice') throw new Error(root.kind);
    expect(root.choices.map((choice) => choice.words)).toEqual(['One', 'b']);
    root.chosen = 0;
    expect(root.value()).toBe(1);
  });

  it('is one form for what several schemas say together', () => {
    const schema = {
      title: 'Release',
      allOf: [
        { $ref: '#/$defs/named' },
        { type: 'object', properties: { size: { type: 'integer' } }, required: ['size'] },
        { if: { required: ['size'] }, then: { required: ['name'] } },
      ],
      properties: { dry: { type: 'boolean' } },
      $defs: {
        named: { title: 'Named', properties: { name: { type: 'string' } }, required: ['name'] },
      },
    };
    const root = form(schema, { name: 'harbour' });
    expect(root.about.title).toBe('Release');
    const kinds = root.members.map(({ kind, about }) => [about.name, kind, about.required]);
    expect(kinds).toEqual([
      ['dry', 'boolean', false],
      ['name', 'text', true],
      ['size', 'number', true],
    ]);
    write(at(root, 'size'), '3');
    expect(root.value()).toEqual({ name: 'harbour', size: 3 });
  });

  it.each([
    ['a title beside a reference', { title: 'T', allOf: [{ type: 'integer' }] }, 'number'],
    ['what only says what is wrong', { type: 'string', allOf: [{ minLength: 2 }] }, 'text'],
    [
      'one field twice, otherwise',
      { allOf: [{ properties: { a: { type: 'string' } } }, { properties: { a: {} } }] },
      'json',
    ],
    ['a choice in a part', { properties: { a: {} }, allOf: [{ oneOf: [{}, {}] }] }, 'json'],
    ['a list in a part', { allOf: [{ properties: { a: {} } }, { items: {} }] }, 'json'],
    [
      'alternatives that are more than values',
      { anyOf: [{ const: 1 }, { type: 'string' }] },
      'json',
    ],
    ['a list with more behind its places', { prefixItems: [{}], items: {} }, 'json'],
    ['a list without places', { type: 'array', prefixItems: [] }, 'json'],
  ])('knows of allOf and the like: %s', (_name, schema, kind) => {
    expect(form(schema).kind).toBe(kind);
  });

  it('takes the values of alternatives as choices, each once, with their titles', () => {
    const root = form({
      anyOf: [
        { $ref: '#/$defs/fast' },
        { enum: ['slow', 'fast', 3] },
        { enum: ['still'], title: 'Not at all' },
        { type: 'null' },
      ],
      $defs: { fast: { const: 'fast', title: 'As fast as it goes' } },
    });
    if (root.kind !== 'choice') throw new Error(root.kind);
    expect(root.choices).toEqual([
      { words: 'As fast as it goes', value: 'fast' },
      { words: 'slow', value: 'slow' },
      { words: '3', value: 3 },
      { words: 'Not at all', value: 'still' },
      { words: 'None', value: null },
    ]);
    root.chosen = 4;
    expect(root.value()).toBeNull();
  });

  it('has a field for each place of a list that has places', () => {
    const pair = {
      ...{ type: 'array', title: 'Range', items: false, minItems: 3 },
      prefixItems: [{ type: 'integer', title: 'From' }, { type: 'integer' }, { enum: ['a', 'b'] }],
    };
    const root = form({ properties: { range: pair } });
    const range = at(root, 'range');
    expect(range.members.map(({ kind, about }) => [kind, about.title, about.isItem])).toEqual([
      ['number', 'From', false],
      ['number', '2', false],
      ['choice', '3', false],
    ]);
    // Nothing of it written, it is left out; something of it, and the rest is missing.
    expect(root.value()).toEqual({});
    write(at(range, '0'), '4');
    root.value();
    expect(at(range, '1').errors).toEqual(['Write a whole number.']);
    expect(at(range, '2').errors).toEqual(['Choose one.']);
    write(at(range, '1'), '7');
    const last = at(range, '2');
    if (last.kind !== 'choice') throw new Error(last.kind);
    last.chosen = 1;
    expect(root.value()).toEqual({ range: [4, 7, 'b'] });
    const given = form({ properties: { range: pair } }, { range: [1, 2, 'a'] });
    expect(given.value()).toEqual({ range: [1, 2, 'a'] });
    expect(at(form({ properties: { range: pair } }, { range: [1] }), 'range').kind).toBe('json');
  });

  it('takes names that objects have of themselves', () => {
    const schema = JSON.parse('{"properties":{"__proto__":{"type":"string"}}}') as unknown;
    const root = form(schema);
    write(at(root, '__proto__'), 'x');
    expect(JSON.stringify(root.value())).toBe('{"__proto__":"x"}');
  });
});

describe('the draft of an answer', () => {
  it('shows what the engine says at the field, or at the nearest one around it', () => {
    const draft = new Draft({ type: 'form', schema: DEPLOY, initial: { owner: {} } });
    const root = draft.form;
    if (root === null) throw new Error();
    const shown = draft.refused([
      { field: '/owner/mail', message: 'this is required' },
      { field: '/anything/3/x', message: 'is wrong.' },
      { field: '', message: 'additional properties are not allowed' },
    ]);
    expect(shown).toBe(true);
    expect(at(root, 'owner', 'mail').errors).toEqual(['This is required.']);
    expect(at(root, 'anything').errors).toEqual(['Is wrong.']);
    expect(root.errors).toEqual(['Additional properties are not allowed.']);
    // They are gone with the next attempt.
    expect(draft.read()).toEqual({ type: 'form', data: { owner: {} } });
    expect(hasErrors(root)).toBe(false);
  });
});
