/** What is being typed into the form of a new task, and what the engine said to it. */
import type { Engine } from '../../engine/engine.svelte';
import type { Submit, TaskId } from '../../engine/types';
import { Arming } from '../../shared/arming.svelte';
import { Intent } from '../../shared/intent.svelte';
import { parseDuration } from '../../shared/time';

export class NewTask {
  readonly #engine: Engine;
  readonly #intent = new Intent();
  readonly #arming = new Arming(() => '', {
    content: () => JSON.stringify(this.#written),
    isByHand: () => this.#engine.hand === 'own',
  });
  #complaint = $state<{ field: 'command' | 'timeout'; message: string } | null>(null);
  line = $state('');
  folder = $state('');
  label = $state('');
  askFirst = $state(false);
  timeout = $state('');
  /** Empty for the one that is usual. */
  group = $state('');

  constructor(engine: Engine) {
    this.#engine = engine;
    this.folder = engine.tasks.home;
  }

  /** The groups to choose from; none where there is only one. */
  get groups(): string[] {
    const names = this.#engine.tasks.groups.map((group) => group.name);
    return names.length > 1 ? names : [];
  }

  /** Whether it can be sent: not just after a program has written something into it. */
  get canSubmit(): boolean {
    return this.#arming.isArmed && !this.#intent.pending;
  }

  /** Sees from now on to it that nothing is sent that the person has not seen. */
  arm(): () => void {
    return this.#arming.begin(true);
  }

  get pending(): boolean {
    return this.#intent.pending;
  }

  get refusal(): string | null {
    return this.#intent.error?.message ?? null;
  }

  complaint(field: 'command' | 'timeout'): string | null {
    return this.#complaint?.field === field ? this.#complaint.message : null;
  }

  /** Returns the task that the engine made of it; nothing when it refused, or something is amiss. */
  async submit(): Promise<TaskId | null> {
    if (!this.canSubmit) return null;
    this.#complaint = null;
    this.#intent.forgetError();
    if (this.line.trim() === '') {
      this.#complaint = { field: 'command', message: 'Write the command to run.' };
      return null;
    }
    const timeout_ms = this.timeout.trim() === '' ? null : parseDuration(this.timeout);
    if (timeout_ms === null && this.timeout.trim() !== '') {
      const message = 'Write a time such as 90s, 10m or 1h30m.';
      this.#complaint = { field: 'timeout', message };
      return null;
    }
    const sent = await this.#send(timeout_ms);
    return sent?.result ?? null;
  }

  get #written(): unknown {
    return [this.line, this.folder, this.label, this.askFirst, this.timeout, this.group];
  }

  #send(timeout_ms: number | null): Promise<{ result: TaskId } | null> {
    const label = this.label.trim();
    const wanted: Omit<Submit, 'operation'> = {
      command: { type: 'shell', line: this.line },
      cwd: this.folder.trim(),
      environment: null,
      extra_environment: {},
      label: label === '' ? null : label,
      session: null,
      output: 'terminal',
      options: { grace_ms: null, keep_children: false, log_limit: null },
      timeout_ms,
      ask_first: this.askFirst,
      scheduling: {
        ...{ group: this.group === '' ? null : this.group, priority: null, after: [], uses: {} },
        ...{ not_before: null, delay_ms: null, retry: null, key: null, kind: null },
      },
    };
    return this.#intent.send(JSON.stringify(wanted), (operation) =>
      this.#engine.submit({ operation, ...wanted }),
    );
  }
}
