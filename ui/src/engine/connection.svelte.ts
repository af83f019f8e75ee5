/**
 * Keeps the store in step with the host: subscribes, asks for a snapshot,
 * applies events in order, and asks again when some were missed.
 */
import type { HostClock } from './clock.svelte';
import type { TaskStore } from './task-store.svelte';
import { EngineError, expectReply, type ReplyOf, type Transport } from './transport';
import type { Event } from './types';

export type ConnectionStatus = 'connecting' | 'connected' | 'reconnecting' | 'unreachable';

const RETRY_DELAYS = [250, 500, 1_000, 2_000, 5_000] as const;
/** How many snapshots in a row may be outdated when they arrive. */
const ROUNDS = 5;

export class Connection {
  #status = $state<ConnectionStatus>('connecting');
  #error = $state<string | null>(null);
  /** Events that came while a snapshot was on its way. */
  #held: Event[] = [];
  #syncing = false;
  #missed = false;
  #epoch: string | null = null;
  readonly #transport: Transport;
  readonly #store: TaskStore;
  readonly #clock: HostClock;

  constructor(transport: Transport, store: TaskStore, clock: HostClock) {
    this.#transport = transport;
    this.#store = store;
    this.#clock = clock;
  }

  get status(): ConnectionStatus {
    return this.#status;
  }

  /** What the host, or the way to it, said when it could not be reached. */
  get error(): string | null {
    return this.#error;
  }

  /** Connects for the first time, or again after the host could not be reached. */
  async start(): Promise<void> {
    if (this.#syncing) return;
    this.#status = 'connecting';
    this.#error = null;
    await this.#synchronise(() => {
      this.#status = 'unreachable';
      return Promise.resolve(false);
    });
  }

  /** Asks for a snapshot, again and again until the host gives one. */
  async resync(): Promise<void> {
    if (this.#syncing) {
      this.#missed = true;
      return;
    }
    this.#status = 'reconnecting';
    await this.#synchronise(async (failures) => {
      const delay = RETRY_DELAYS[Math.min(failures, RETRY_DELAYS.length) - 1];
      await new Promise((resolve) => setTimeout(resolve, delay));
      return true;
    });
  }

  async #synchronise(onFailure: (failures: number) => Promise<boolean>): Promise<void> {
    this.#syncing = true;
    try {
      for (let failures = 0, rounds = 0; ; rounds += 1) {
        try {
          if (await this.#catchUp()) return;
          if (rounds >= ROUNDS) throw new EngineError('internal', 'the host changes all the time');
        } catch (reason) {
          this.#error = EngineError.from(reason).message;
          failures += 1;
          if (!(await onFailure(failures))) return;
        }
      }
    } finally {
      this.#syncing = false;
    }
  }

  /** Returns whether the store is now in step. */
  async #catchUp(): Promise<boolean> {
    this.#missed = false;
    if (this.#epoch === null) await this.#subscribe();
    const snapshot = expectReply(await this.#transport.rpc({ method: 'snapshot' }), 'snapshot');
    if (snapshot.epoch !== this.#epoch) {
      // Another run of the host: its events come over a subscription of its own.
      this.#epoch = null;
      return false;
    }
    this.#take(snapshot);
    if (!this.#releaseHeld() || this.#wasToldToAskAgain()) return false;
    this.#status = 'connected';
    this.#error = null;
    return true;
  }

  // Set by another call while a snapshot was on its way, which the compiler cannot see.
  #wasToldToAskAgain(): boolean {
    return this.#missed;
  }

  async #subscribe(): Promise<void> {
    this.#held = [];
    let current: string | null = null;
    const { epoch } = await this.#transport.events((event) => {
      // A subscription to an earlier run of the host has nothing more to say.
      if (current === null || current === this.#epoch) this.#receive(event);
    });
    current = epoch;
    this.#epoch = epoch;
  }

  #take(snapshot: ReplyOf<'snapshot'>): void {
    this.#clock.set(snapshot.now);
    this.#store.replace(snapshot);
  }

  #receive(event: Event): void {
    if (this.#syncing) {
      this.#held.push(event);
      return;
    }
    if (this.#store.apply(event) === 'missed') void this.resync();
  }

  /** Returns whether every held event followed on the snapshot. */
  #releaseHeld(): boolean {
    const held = this.#held;
    this.#held = [];
    return held.every((event) => this.#store.apply(event) !== 'missed');
  }
}
