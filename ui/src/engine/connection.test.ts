import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Engine } from './engine.svelte';
import { FakeHost } from './fake';
import { aTask } from './fake-scenes';
import { EngineError } from './transport';

describe('Connection', () => {
  let host: FakeHost;
  let engine: Engine;

  beforeEach(() => {
    vi.useFakeTimers();
    host = new FakeHost({ tasks: [aTask(1)], requests: [] });
    engine = new Engine(host);
  });

  afterEach(() => {
    vi.useRealTimers();
  });

  const label = (): string | null | undefined => engine.tasks.task(1)?.label;
  const snapshots = (): number => host.callsOf('snapshot').length;
  const settle = (milliseconds = 0): Promise<unknown> => vi.advanceTimersByTimeAsync(milliseconds);

  it('subscribes before it asks for a snapshot, and loses nothing in between', async () => {
    let release = (): void => undefined;
    host.gates.set('snapshot', new Promise((resolve) => (release = resolve)));
    const started = engine.connection.start();
    await settle();
    expect(host.subscriptions).toBe(1);
    // Stored after the subscription, sent before the snapshot was taken: it is part of both.
    host.setTask(aTask(1, { label: 'meanwhile' }));
    release();
    await started;
    expect(label()).toBe('meanwhile');
    expect(engine.connection.status).toBe('connected');
    expect(snapshots()).toBe(1);
  });

  it('applies what follows on the snapshot', async () => {
    await engine.connection.start();
    host.setTask(aTask(1, { label: 'next' }));
    expect(label()).toBe('next');
    expect(snapshots()).toBe(1);
  });

  it('asks for a snapshot when a number is missing', async () => {
    await engine.connection.start();
    host.tasks.set(1, aTask(1, { label: 'missed' }));
    host.seq += 3;
    host.publish({ type: 'task', task: aTask(2) });
    expect(engine.connection.status).toBe('reconnecting');
    await settle();
    expect(label()).toBe('missed');
    expect(engine.connection.status).toBe('connected');
    expect(snapshots()).toBe(2);
  });

  it('asks for a snapshot when the host says that it lagged', async () => {
    await engine.connection.start();
    host.tasks.set(1, aTask(1, { label: 'missed' }));
    host.lag();
    await settle();
    expect(label()).toBe('missed');
    expect(host.subscriptions).toBe(1);
  });

  it('subscribes anew to another run of the host', async () => {
    await engine.connection.start();
    const old = host.epoch;
    host.lag();
    host.restart();
    await settle();
    expect(host.epoch).not.toBe(old);
    expect(host.subscriptions).toBe(1);
    host.setTask(aTask(1, { label: 'from the new run' }));
    expect(label()).toBe('from the new run');
    expect(engine.connection.status).toBe('connected');
  });

  it('says that it cannot reach the host, and tries again when told to', async () => {
    host.refusals.set('subscribe', new EngineError('internal', 'no such file'));
    await engine.connection.start();
    expect(engine.connection.status).toBe('unreachable');
    expect(engine.connection.error).toBe('No such file');
    host.refusals.clear();
    await engine.connection.start();
    expect(engine.connection.status).toBe('connected');
    expect(engine.connection.error).toBeNull();
  });

  it('keeps what it knows and asks again while the host is going', async () => {
    await engine.connection.start();
    host.refusals.set('snapshot', new EngineError('stopping', 'going'));
    host.lag();
    await settle(1_000);
    expect(engine.connection.status).toBe('reconnecting');
    expect(engine.tasks.task(1)).toBeDefined();
    host.refusals.clear();
    await settle(5_000);
    expect(engine.connection.status).toBe('connected');
  });

  it('asks once more when told to while a snapshot is on its way', async () => {
    await engine.connection.start();
    let release = (): void => undefined;
    host.gates.set('snapshot', new Promise((resolve) => (release = resolve)));
    void engine.connection.resync();
    void engine.connection.resync();
    host.gates.clear();
    release();
    await settle();
    expect(snapshots()).toBe(3);
  });

  it('counts by the clock of the host', async () => {
    host.clockAhead = 3_600_000;
    await engine.connection.start();
    expect(engine.clock.now).toBe(Date.now() + 3_600_000);
  });
});
