import { describe, expect, it } from 'vitest';
import { Engine } from '../../engine/engine.svelte';
import { FakeHost } from '../../engine/fake';
import { aTask } from '../../engine/fake-scenes';
import { EngineError } from '../../engine/transport';
import { PART, Typing } from './typing';

function typing(): { host: FakeHost; typing: Typing; sent: () => string[]; lost: string[] } {
  const host = new FakeHost({ tasks: [aTask(1)], requests: [] });
  const lost: string[] = [];
  const decoded = (data: string): string =>
    new TextDecoder().decode(Uint8Array.from(atob(data), (byte) => byte.charCodeAt(0)));
  return {
    host,
    lost,
    typing: new Typing(new Engine(host), 1, (why) => lost.push(why)),
    sent: () => host.callsOf('input').map((call) => decoded(call.params.data)),
  };
}

/** Holds the calls that bring what was typed, until it is let go. */
function held(host: FakeHost): () => void {
  let release = (): void => undefined;
  host.gates.set('input', new Promise((resolve) => (release = resolve)));
  return release;
}

const settle = (): Promise<unknown> => new Promise((resolve) => setTimeout(resolve, 5));

describe('what is typed into a task', () => {
  it('arrives as it was typed, in bytes of UTF-8', async () => {
    const { typing: it, sent } = typing();
    it.type('rm -i *\r');
    await settle();
    it.type('はい 🚀\u0003\u001b[A');
    await settle();
    expect(sent()).toEqual(['rm -i *\r', 'はい 🚀\u0003\u001b[A']);
  });

  it('is one call at a time, and what comes meanwhile is the next one', async () => {
    const { host, typing: it, sent } = typing();
    const release = held(host);
    for (const key of 'abc') it.type(key);
    await settle();
    expect(sent()).toEqual(['a']);
    release();
    await settle();
    expect(sent()).toEqual(['a', 'bc']);
    const operations = host.callsOf('input').map((call) => call.params.operation);
    expect(new Set(operations).size).toBe(2);
    expect(operations).not.toContain(undefined);
  });

  it('is brought in parts where it is long, none of which ends within a character', async () => {
    const { typing: it, sent } = typing();
    const text = `${'y'.repeat(PART - 1)}🚀${'z'.repeat(PART)}`;
    it.type(text);
    await settle();
    expect(sent().join('')).toBe(text);
    expect(sent().map((part) => part.length)).toEqual([PART - 1, PART, 2]);
  });

  it('is dropped with a word where the engine does not take it, and taken again later', async () => {
    const { host, typing: it, sent, lost } = typing();
    const release = held(host);
    it.type('a');
    it.type('b');
    host.refusals.set('input', new EngineError('busy', 'the task reads nothing'));
    release();
    await settle();
    expect(lost).toEqual(['The task reads nothing']);
    expect(sent()).toEqual(['a']);
    host.refusals.clear();
    it.type('c');
    await settle();
    expect(sent()).toEqual(['a', 'c']);
  });

  it('is not what a program writes there, nor what is typed where a program moved the focus', async () => {
    const { host, typing: it, sent, lost } = typing();
    for (const hand of ['program', 'lent'] as const) {
      host.hand = () => hand;
      it.type('evil\r');
    }
    await settle();
    expect(sent()).toEqual([]);
    expect(lost.map((why) => why.slice(0, 20))).toEqual([
      'A program wrote this',
      'A program moved the ',
    ]);
    // What the terminal answers by itself comes of no event.
    host.hand = () => 'none';
    it.type('\u001b[?1;2c');
    await settle();
    expect(sent()).toEqual(['\u001b[?1;2c']);
  });

  it('goes with the size of the terminal, of which a task that has ended needs none', async () => {
    const { host, typing: it, lost } = typing();
    it.resize(90, 30);
    host.refusals.set('resize', new EngineError('conflict', 'task 1 has ended'));
    it.resize(91, 30);
    await settle();
    const sizes = host.callsOf('resize').map((call) => call.params);
    expect(sizes).toEqual([
      { id: 1, columns: 90, rows: 30 },
      { id: 1, columns: 91, rows: 30 },
    ]);
    expect(lost).toEqual([]);
  });
});
