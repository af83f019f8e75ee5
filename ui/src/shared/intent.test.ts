import { describe, expect, it } from 'vitest';
import { EngineError } from '../engine/transport';
import { Intent } from './intent.svelte';

describe('Intent', () => {
  it('sends one operation while an answer is awaited', async () => {
    const intent = new Intent();
    const operations: string[] = [];
    let finish = (): void => undefined;
    const work = (operation: string): Promise<void> => {
      operations.push(operation);
      return new Promise((resolve) => (finish = resolve));
    };
    const first = intent.send('x', work);
    const second = intent.send('x', work);
    expect(intent.pending).toBe(true);
    finish();
    expect(await first).not.toBeNull();
    expect(await second).toBeNull();
    expect(operations).toHaveLength(1);
    expect(intent.pending).toBe(false);
  });

  async function operationsOf(
    code: 'internal' | 'conflict',
    contents: string[],
  ): Promise<string[]> {
    const intent = new Intent();
    const operations: string[] = [];
    for (const content of contents) {
      await intent.send(content, (operation) => {
        operations.push(operation);
        return Promise.reject(new EngineError(code, 'no'));
      });
    }
    return operations;
  }

  it('is the same operation again where it may have been done already', async () => {
    const [first, second] = await operationsOf('internal', ['x', 'x']);
    expect(second).toBe(first);
  });

  it('is another operation after a refusal, and for another wish', async () => {
    expect(new Set(await operationsOf('conflict', ['x', 'x'])).size).toBe(2);
    expect(new Set(await operationsOf('internal', ['x', 'y'])).size).toBe(2);
  });

  it('keeps the refusal until it is sent again', async () => {
    const intent = new Intent();
    await intent.send('x', () => Promise.reject(new EngineError('conflict', 'too late')));
    expect(intent.error?.code).toBe('conflict');
    await intent.send('x', () => Promise.resolve());
    expect(intent.error).toBeNull();
  });
});
