/**
 * The host as the rest of the window sees it: what it last said, and what can
 * be asked of it. Calls that change something take the operation from the
 * person's intent (shared/intent.svelte.ts), so that a repeated click is the
 * same operation.
 */
import { createContext } from 'svelte';
import { HostClock } from './clock.svelte';
import { Connection } from './connection.svelte';
import type { Hand } from './hand';
import { TaskStore } from './task-store.svelte';
import { EngineError, expectReply, type Follow, type OnBytes, type Transport } from './transport';
import type {
  Answer,
  AuditPage,
  AuditQuery,
  Call,
  ListQuery,
  OperationId,
  Page,
  Reply,
  Request,
  Rule,
  RuleId,
  RuleList,
  RulePreview,
  Settings,
  Submit,
  TaskDetail,
  TaskId,
} from './types';

export class Engine {
  readonly clock = new HostClock();
  readonly tasks = new TaskStore();
  readonly connection: Connection;
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
    this.connection = new Connection(transport, this.tasks, this.clock);
  }

  /** Whose work goes on just now: for as long as what an event has set off runs. */
  get hand(): Hand {
    return this.#transport.hand?.() ?? 'own';
  }

  async submit(submit: Submit): Promise<TaskId> {
    return expectReply(await this.#call({ method: 'submit', params: submit }), 'submitted').id;
  }

  async runAgain(operation: OperationId, id: TaskId): Promise<TaskId> {
    const reply = await this.#call({ method: 'run_again', params: { operation, id } });
    return expectReply(reply, 'submitted').id;
  }

  async cancel(operation: OperationId, id: TaskId): Promise<void> {
    await this.#call({ method: 'cancel', params: { operation, id } });
  }

  async pause(operation: OperationId, id: TaskId): Promise<void> {
    await this.#call({ method: 'pause', params: { operation, id } });
  }

  async resume(operation: OperationId, id: TaskId): Promise<void> {
    await this.#call({ method: 'resume', params: { operation, id } });
  }

  /** Types into a task that has its terminal as input; done once the task's shim has taken it. */
  async typeIn(operation: OperationId, id: TaskId, text: string): Promise<void> {
    const data = toBase64(new TextEncoder().encode(text));
    await this.#call({ method: 'input', params: { operation, id, data, session: null } });
  }

  async resize(id: TaskId, columns: number, rows: number): Promise<void> {
    await this.#call({ method: 'resize', params: { id, columns, rows } });
  }

  /** Answers exactly what `request` shows. */
  async answer(
    operation: OperationId,
    request: Request,
    answer: Answer,
    comment: string | null = null,
  ): Promise<void> {
    const params = { operation, request: request.id, answer, comment, shown: request.hash };
    await this.#call({ method: 'answer', params });
  }

  /** Lets a change of the config file hold that asks for less: the one that was shown. */
  async confirmLoosening(operation: OperationId, shown: string): Promise<void> {
    await this.#call({ method: 'confirm_loosening', params: { operation, shown } });
  }

  /** Returns the rules that hold, in the order in which they are looked at. */
  async rules(): Promise<RuleList> {
    return expectReply(await this.#call({ method: 'rules' }), 'rules');
  }

  /** Returns which of the tasks so far a rule would have spoken of. */
  async previewRule(rule: Rule): Promise<RulePreview> {
    const reply = await this.#call({ method: 'preview_rule', params: { rule } });
    return expectReply(reply, 'preview');
  }

  async addRule(operation: OperationId, rule: Rule): Promise<void> {
    await this.#call({ method: 'add_rule', params: { operation, rule } });
  }

  async revokeRule(operation: OperationId, id: RuleId): Promise<void> {
    await this.#call({ method: 'revoke_rule', params: { operation, id } });
  }

  /** Returns what the person has set, and what is in force of the config file. */
  async settings(): Promise<Settings> {
    return expectReply(await this.#call({ method: 'settings' }), 'settings');
  }

  /** Has Approve be a button of notifications, or no longer. */
  async allowNotificationApprovals(operation: OperationId, allowed: boolean): Promise<void> {
    const params = { operation, allowed };
    await this.#call({ method: 'allow_notification_approvals', params });
  }

  async audit(query: AuditQuery): Promise<AuditPage> {
    return expectReply(await this.#call({ method: 'audit', params: query }), 'audit');
  }

  async list(query: ListQuery): Promise<Page> {
    return expectReply(await this.#call({ method: 'list', params: query }), 'tasks');
  }

  async show(id: TaskId): Promise<TaskDetail> {
    return expectReply(await this.#call({ method: 'show', params: { id } }), 'task');
  }

  /** Returns how long the log is, in bytes. */
  async logSize(id: TaskId): Promise<number> {
    const params = { id, offset: 0, limit: 0 };
    return expectReply(await this.#call({ method: 'read_log', params }), 'log').size;
  }

  /** Returns how many bytes from `offset` on a bounded log has lost. */
  async logGap(id: TaskId, offset: number): Promise<number> {
    const params = { id, offset, limit: 1 };
    const part = expectReply(await this.#call({ method: 'read_log', params }), 'log');
    return part.offset - offset;
  }

  followLog(id: TaskId, offset: number, onBytes: OnBytes): Follow {
    return this.#transport.followLog(id, offset, onBytes);
  }

  async #call(call: Call): Promise<Reply> {
    try {
      return await this.#transport.rpc(call);
    } catch (reason) {
      const error = EngineError.from(reason);
      if (error.code === 'stopping') void this.connection.resync();
      throw error;
    }
  }
}

function toBase64(bytes: Uint8Array): string {
  return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(''));
}

/** The engine of this window, for every component below the one that set it. */
export const [useEngine, provideEngine] = createContext<Engine>();
