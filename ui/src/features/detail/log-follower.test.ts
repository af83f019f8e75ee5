import { describe, expect, it, vi } from 'vitest';
import { Engine } from '../../engine/engine.svelte';
import { FakeHost } from '../../engine/fake';
import { aTask } from '../../engine/fake-scenes';
import { EngineError } from '../../engine/transport';
import { BACKLOG, LogFollower, TAIL } from './log-follower.svelte';

/** A screen that draws nothing until it is told to. */
class SlowScreen {
  readonly shown: Uint8Array[] = [];
  cleared = 0;
  #waiting: (() => void)[] = [];

  write(bytes: Uint8Array, done: () => void): void {
    this.shown.push(bytes);
    this.#waiting.push(done);
  }

  clear(): void {
    this.cleared += 1;
    this.shown.length = 0;
  }

  draw(): void {
    for (const done of this.#waiting.splice(0)) done();
  }
}

function follow(log: string): { host: FakeHost; screen: SlowScreen; follower: LogFollower } {
  const host = new FakeHost({ tasks: [aTask(1)], requests: [], logs: new Map([[1, log]]) });
  const screen = new SlowScreen();
  return { host, screen, follower: new LogFollower(new Engine(host), 1, screen) };
}

const settle = (): Promise<unknown> => new Promise((resolve) => setTimeout(resolve, 5));

describe('LogFollower', () => {
  it('gives a screen that cannot keep up the end of the log', async () => {
    const { host, screen, follower } = follow('');
    void follower.start();
    await settle();
    const line = `${'y'.repeat(1_023)}\n`;
    host.print(1, line.repeat(BACKLOG / 1_024 + 1));
    host.print(1, 'not kept in the backlog\n');
    expect(screen.shown).toHaveLength(1);
    screen.draw();
    await settle();
    expect(screen.cleared).toBe(1);
    expect(follower.skipped).toBeGreaterThan(0);
    expect(new TextDecoder().decode(screen.shown[0]).endsWith('not kept in the backlog\n')).toBe(
      true,
    );
  });

  it('takes the end of a follow that it stopped itself for no error', async () => {
    const { host, screen, follower } = follow('');
    let refuse: (reason: Error) => void = () => undefined;
    vi.spyOn(host, 'followLog').mockImplementationOnce((_id, _offset, onBytes) => {
      queueMicrotask(() => {
        onBytes(new Uint8Array(BACKLOG + 1), 0);
      });
      return {
        ended: new Promise((_resolve, reject) => (refuse = reject)),
        stop: () => {
          refuse(new EngineError('not_found', 'no such follow'));
        },
      };
    });
    void follower.start();
    await settle();
    screen.draw();
    await settle();
    expect(screen.cleared).toBe(1);
    expect(follower.error).toBeNull();
  });

  it('says how much of a bounded log is gone', async () => {
    const { host, screen, follower } = follow('');
    vi.spyOn(host, 'followLog').mockImplementationOnce((_id, _offset, onBytes) => {
      onBytes(new TextEncoder().encode('head'), 0);
      onBytes(new TextEncoder().encode('tail'), 4 + 3 * 1_024 * 1_024);
      return { ended: Promise.resolve(), stop: () => undefined };
    });
    await follower.start();
    const shown = screen.shown.map((bytes) => new TextDecoder().decode(bytes));
    expect(shown[0]).toBe('head');
    expect(shown[1]).toContain('3.0 MiB of output are gone here');
    expect(shown[2]).toBe('tail');
  });

  it('says how much is gone of what comes before that which is shown', async () => {
    const { host, follower } = follow('y'.repeat(2 * TAIL));
    host.gaps.set(1, [64 * 1_024, TAIL]);
    void follower.start();
    await settle();
    expect([follower.skipped, follower.lost]).toEqual([TAIL, TAIL - 64 * 1_024]);
    const whole = new LogFollower(new Engine(new FakeHost()), 1, new SlowScreen());
    void whole.start();
    await settle();
    expect([whole.skipped, whole.lost]).toEqual([0, 0]);
  });

  it('shows nothing more once it is stopped', async () => {
    const { host, screen, follower } = follow('one');
    void follower.start();
    await settle();
    follower.stop();
    host.print(1, 'two');
    expect(screen.shown).toHaveLength(1);
  });

  it('says why there is no log', async () => {
    const { host, follower } = follow('');
    host.refusals.set('read_log', new EngineError('not_found', 'the log was removed'));
    await follower.start();
    expect(follower.error).toBe('The log was removed');
  });
});
