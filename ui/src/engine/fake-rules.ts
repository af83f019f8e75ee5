/** The rules of the fake host: kept, listed and refused as a real one does, matched word by word. */
import { EngineError } from './transport';
import type { Actor, AuditRow, KeptRule, Reply, Rule, RuleId, Task } from './types';

const PERSON: Actor = { type: 'person', surface: 'window' };

export class FakeRules {
  kept: KeptRule[] = [];
  audit: AuditRow[] = [];
  terminal_approvals = false;
  config_file = '/home/mika/.config/nod/config.toml';
  notes: string[] = [];
  /** The tasks whose environment could put another program in the place of the named one. */
  redirected: number[] = [];

  list(loosening: Extract<Reply, { type: 'rules' }>['loosening']): Reply {
    const { kept, terminal_approvals, config_file, notes } = this;
    return { type: 'rules', rules: kept, loosening, terminal_approvals, config_file, notes };
  }

  preview(rule: Rule, tasks: readonly Task[]): Reply {
    check(rule);
    const found = tasks.filter((task) => matches(rule, task));
    const redirected = this.redirected.filter((id) => found.some((task) => task.id === id));
    const let_pass = found.filter((task) => !redirected.includes(task.id));
    const [matching, looked_at] = [let_pass.length, tasks.length];
    return { type: 'preview', tasks: let_pass.slice(0, 50), matching, looked_at, redirected };
  }

  add(rule: Rule, now: number): void {
    check(rule);
    if (rule.then === 'need_not_ask' && rule.expires_at === null) {
      throw refusal('/expires_at', 'a rule that lets pass ends at some time: say when');
    }
    const id = Math.max(0, ...this.kept.map((kept) => kept.id ?? 0)) + 1;
    this.kept = [{ id, rule, made_at: now, made_by: PERSON, is_dropped: false }, ...this.kept];
  }

  revoke(id: RuleId): void {
    if (!this.kept.some((kept) => kept.id === id)) {
      throw new EngineError('not_found', `no rule made in the window has the number ${id}`);
    }
    this.kept = this.kept.filter((kept) => kept.id !== id);
  }
}

function check(rule: Rule): void {
  const [program, ...rest] = rule.match;
  if (program === undefined) throw refusal('/match', 'a rule needs a pattern of 1 to 64 words');
  if (rule.folder !== null && !rule.folder.startsWith('/')) {
    throw refusal('/folder', `the folder of a rule is an absolute path, not \`${rule.folder}\``);
  }
  if (rule.then === 'ask_first') return;
  if (isWild(program)) {
    throw refusal('/match/0', 'the first word of a rule that lets pass names a program');
  }
  const wild = rest.findIndex(isWild);
  if (program === '/bin/sh' && wild !== -1) {
    throw refusal(`/match/${wild + 1}`, '`/bin/sh` runs what it is told');
  }
}

function refusal(field: string, message: string): EngineError {
  return new EngineError('bad_request', message, [{ field, message }]);
}

function isWild(pattern: string): boolean {
  return /[*?]/.test(pattern.replaceAll(/\[[*?[]\]/g, ''));
}

function matches(rule: Rule, task: Task): boolean {
  const { command } = task;
  const argv = command.type === 'argv' ? command.argv : ['/bin/sh', '-c', command.line];
  const rest = rule.match.at(-1) === '**';
  const patterns = rest ? rule.match.slice(0, -1) : rule.match;
  if (rest ? argv.length < patterns.length : argv.length !== patterns.length) return false;
  const said = patterns.map((pattern) => pattern.replaceAll(/\[([*?[])\]/g, '$1'));
  return said.every((word, n) => patterns[n] === '*' || word === argv[n]);
}
