/** What the fake host holds: builders of tasks and requests, and whole scenes to look at. */
import { EngineError } from './transport';
import { FakeHost, type FakeScene } from './fake';
import type {
  Progress,
  Request,
  Schedule,
  Task,
  TaskDetail,
  TaskId,
  TaskState,
  Wants,
} from './types';

const MINUTE = 60_000;

export function aTask(id: TaskId, changes: Partial<Task> = {}): Task {
  const now = Date.now();
  return {
    ...{ id, kind: 'command', label: null, command: { type: 'shell', line: `make part-${id}` } },
    ...{ cwd: '/home/mika/work/harbour', output: 'terminal', session: null, parent: null },
    ...{ timeout_ms: null, ask_first: false, attempt: 1, progress: null, schedule: aSchedule() },
    ...{ state: { name: 'running' }, created_at: now - 5 * MINUTE, started_at: now - 4 * MINUTE },
    options: { grace_ms: null, keep_children: false, log_limit: null },
    condition: {
      paused: false,
      disk_full: false,
      unbounded_log: false,
      prompt: null,
      wants_input: false,
    },
    ended_at: null,
    ...changes,
  };
}

export function aSchedule(changes: Partial<Schedule> = {}): Schedule {
  return {
    ...{ group: 'default', priority: 0, after: [], not_before: null, retry: null, uses: {} },
    ...{ key: null, relative: false },
    ...changes,
  };
}

export function aRequest(id: number, task: TaskId, changes: Partial<Request> = {}): Request {
  return {
    ...{ id, task, attempt: 1, origin: 'task', asked_by: { type: 'task', id: task } },
    ...{ hash: `hash-of-${id}`, on_timeout: 'deny', remind_ms: null },
    shown: {
      ...{ diff: null, wants: { type: 'approval' } },
      ...{ task_name: `make part-${task}`, question: 'Deploy to prod?', detail: null },
      ...{ argv: ['make', `part-${task}`], cwd: '/home/mika/work/harbour', environment: [] },
    },
    ...{ created_at: Date.now() - MINUTE, expires_at: null, closure: null },
    ...changes,
  };
}

export function progress(percent: number | null, message: string | null = null): Progress {
  return { percent, message, source: 'reported', phase: 0, phase_name: null };
}

function ended(outcome: Extract<TaskState, { name: 'ended' }>['outcome']): TaskState {
  return { name: 'ended', outcome };
}

const PERSON = { type: 'person', surface: 'window' } as const;

/** Twenty tasks in all states, with the names that break layouts. */
export function everyState(): FakeScene {
  const now = Date.now();
  const running: TaskState = { name: 'running' };
  const shell = (line: string): Task['command'] => ({ type: 'shell', line });
  const over = (id: TaskId, minutesAgo: number, changes: Partial<Task>): Task =>
    aTask(id, {
      created_at: now - (minutesAgo + 6) * MINUTE,
      started_at: now - (minutesAgo + 5.4) * MINUTE,
      ended_at: now - minutesAgo * MINUTE,
      ...changes,
    });
  const queued = { started_at: null, created_at: now - 2 * MINUTE } satisfies Partial<Task>;
  const tasks = [
    aTask(20, { ...queued, label: 'Nightly backup of the photo archive', state: slot() }),
    aTask(19, {
      ...queued,
      ...{ label: 'Deploy harbour to production', ask_first: true, session: 'claude-7f3a' },
      command: {
        type: 'argv',
        argv: ['./deploy.sh', '--env', 'prod', '--message', 'autumn release'],
      },
      state: { name: 'queued', reason: { type: 'gate', request: 1 } },
    }),
    aTask(18, { label: 'Starting the container', state: { name: 'starting' } }),
    aTask(17, {
      label: 'cargo build --release',
      command: { type: 'argv', argv: ['cargo', 'build', '--release'] },
      ...{ state: running, progress: progress(42, 'compiling nod-engine (217/512)') },
    }),
    aTask(16, {
      label: '画像を変換しています：夏休みの写真（全三百二十四枚）',
      progress: progress(73.5, '残り 86 枚'),
    }),
    aTask(15, {
      label:
        'An exceedingly long label that somebody generated from a whole prompt and that goes on and on, well past any sensible width, to see whether the row holds',
      progress: progress(
        null,
        'resolving dependencies of the workspace, which can take a while on a cold cache',
      ),
    }),
    aTask(14, {
      label: '🚀 Train the little model 👩‍💻',
      progress: progress(8, 'epoch 1/12 · loss 2.31'),
    }),
    aTask(13, {
      label: 'Migrate the customer database',
      ...{
        state: { name: 'waiting', open: [2] },
        progress: progress(60, 'waiting for a decision'),
      },
    }),
    aTask(12, {
      label: 'Long-running dev server',
      started_at: now - 27 * 60 * MINUTE,
      state: {
        ...{ name: 'stopping', cause: { type: 'cancelled', by: PERSON } },
        stage: {
          signal: 'SIGINT',
          next_at: now + 5_000,
          waits_for: ['node (4711)', 'esbuild (4712)'],
          refused: ['cannot kill pid 4713 of root'],
        },
      },
    }),
    aTask(11, {
      command: shell(
        'tar -C /srv -cf - media | zstd -T0 > "/mnt/backup/media $(date +%F).tar.zst"',
      ),
    }),
    over(10, 3, {
      label: 'Unit tests',
      state: ended({ type: 'succeeded' }),
      progress: progress(99, '412 passed'),
    }),
    over(9, 8, {
      ...{ label: 'Lint', progress: progress(31, 'checking src/engine') },
      state: ended({ type: 'failed', failure: { type: 'exit', code: 2 } }),
    }),
    over(8, 14, {
      label: 'Fuzz the parser',
      state: ended({ type: 'failed', failure: { type: 'signal', signal: 9 } }),
    }),
    over(7, 21, {
      command: { type: 'argv', argv: ['pyton3', 'report.py'] },
      state: ended({
        ...{ type: 'failed' },
        failure: {
          type: 'spawn',
          error: {
            ...{ program: 'pyton3', cwd: '/home/mika/work/harbour', not_found: true },
            message: 'No such file or directory',
          },
        },
      }),
    }),
    over(6, 34, { label: 'Render the trailer', state: ended({ type: 'cancelled', by: PERSON }) }),
    over(5, 55, {
      label: 'Wait for the mirror',
      timeout_ms: 10 * MINUTE,
      state: ended({ type: 'timed_out' }),
    }),
    over(4, 90, {
      ...{ label: 'Drop the staging tables', started_at: null },
      state: ended({
        ...{ type: 'denied' },
        denial: { type: 'by_person', by: PERSON, reason: 'Not before the backup is verified.' },
      }),
    }),
    over(3, 130, {
      ...{ label: 'Rotate the signing keys', started_at: null },
      state: ended({ type: 'denied', denial: { type: 'expired' } }),
    }),
    over(2, 200, {
      ...{ label: 'Publish the packages', started_at: null },
      state: ended({ type: 'skipped', dependency: 9 }),
    }),
    over(1, 1_600, {
      label: 'Index the mail',
      state: ended({ type: 'lost', why: 'the computer was restarted while it ran' }),
    }),
  ];
  return { tasks, requests: openRequests(), details: details(), logs: logs() };
}

function slot(): TaskState {
  return { name: 'queued', reason: { type: 'slot' } };
}

function openRequests(): Request[] {
  const now = Date.now();
  return [
    aRequest(1, 19, {
      ...{ origin: 'gate', created_at: now - 2 * MINUTE, expires_at: now + 28 * MINUTE },
      shown: {
        ...{ diff: null, wants: { type: 'approval' } },
        task_name: 'Deploy harbour to production',
        ...{ question: 'May this task start?', detail: null, cwd: '/home/mika/work/harbour' },
        argv: ['./deploy.sh', '--env', 'prod', '--message', 'autumn release', ''],
        environment: [
          { name: 'DEPLOY_TARGET', change: 'added', value: 'eu-west-1', masked: false },
          { name: 'DEPLOY_TOKEN', change: 'added', value: null, masked: true },
          {
            name: 'PATH',
            change: 'changed',
            value: '/home/mika/.cargo/bin:/usr/local/bin:/usr/bin',
            masked: false,
          },
          { name: 'LC_ALL', change: 'removed', value: null, masked: false },
        ],
      },
    }),
    aRequest(2, 13, {
      ...{ created_at: now - MINUTE, expires_at: now + 95_000 },
      shown: {
        ...{ diff: null, wants: { type: 'approval' } },
        task_name: 'Migrate the customer database',
        question:
          'Three customers have no address. Drop their rows and go on?\nDenying stops the migration; nothing has been written yet.',
        detail:
          'id     name                 orders\n1041   Ada Byron                 0\n1187   \u202Egnp.eciovni\u202C              2\n2203   \u001b[31mred herring\u001b[0m         0',
        argv: ['python3', 'migrate.py', '--step', '4'],
        ...{ cwd: '/home/mika/work/harbour', environment: [] },
      },
    }),
  ];
}

function details(): Map<TaskId, Partial<TaskDetail>> {
  const now = Date.now();
  const at = (minutes: number): number => now - minutes * MINUTE;
  return new Map<TaskId, Partial<TaskDetail>>([
    [
      17,
      {
        attempts: [
          {
            ...{ number: 1, process: 48_213, started_at: at(4), exited_at: null, ended_at: null },
            ...{
              exit: null,
              peak_memory: null,
              cpu_ms: null,
              left: [],
              outcome: null,
              log_path: '/home/mika/.local/share/nod/tasks/1-1/out.log',
            },
          },
        ],
        environment: [
          { name: 'CARGO_TERM_COLOR', change: 'added', value: 'always', masked: false },
          { name: 'GITHUB_TOKEN', change: 'added', value: null, masked: true },
          { name: 'LANG', change: 'changed', value: 'ja_JP.UTF-8', masked: false },
          { name: 'NO_COLOR', change: 'removed', value: null, masked: false },
        ],
        events: [
          { seq: 41, at: at(5), what: 'submitted', detail: 'by the command line (process 4410)' },
          { seq: 42, at: at(4.1), what: 'starting', detail: null },
          { seq: 43, at: at(4), what: 'running', detail: 'process 48213' },
          {
            seq: 61,
            at: at(3),
            what: 'request_opened',
            detail: 'Fetch the crates from the mirror?',
          },
          {
            seq: 62,
            at: at(2.5),
            what: 'request_closed',
            detail: 'approved by a person in the window',
          },
        ],
      },
    ],
    [
      9,
      {
        attempts: [
          {
            ...{
              number: 1,
              process: 40_112,
              started_at: at(13.4),
              exited_at: at(8),
              ended_at: at(8),
            },
            ...{ exit: { type: 'code', code: 2 }, peak_memory: 182_452_224, cpu_ms: 48_230 },
            left: ['watchman (40119): ended by SIGTERM'],
            ...{ outcome: null, log_path: '/home/mika/.local/share/nod/tasks/2-1/out.log' },
          },
        ],
      },
    ],
  ]);
}

function logs(): Map<TaskId, string> {
  const crates = ['serde', 'tokio', 'rusqlite', 'rustix', 'nod-core', 'nod-shim', 'nod-client'];
  const compiled = crates.map(
    (crate) => `\u001b[1m\u001b[32m   Compiling\u001b[0m ${crate} v1.0.${crate.length}`,
  );
  const lines = Array.from({ length: 40 }, (_, line) => compiled[line % compiled.length] ?? '');
  const warning =
    '\u001b[1m\u001b[33mwarning\u001b[0m\u001b[1m: unused variable: `stage`\u001b[0m\r\n  \u001b[1m\u001b[34m-->\u001b[0m src-tauri/engine/src/recovery.rs:118:9\r\n';
  const bar =
    '\u001b[1m\u001b[36m    Building\u001b[0m [=========>               ] 217/512: nod-engine\r';
  return new Map([
    [
      17,
      `${lines.join('\r\n')}\r\n${warning}日本語の出力もそのまま見えます ✅\r\n\u001b]8;;https://example.com\u001b\\not a link\u001b]8;;\u001b\\\r\n${bar}`,
    ],
    [
      9,
      'src/engine/store.ts\r\n  12:3  \u001b[31merror\u001b[0m  Unexpected any\r\n\r\n\u001b[31m✖ 1 problem\u001b[0m\r\n',
    ],
    [13, 'step 1 … ok\r\nstep 2 … ok\r\nstep 3 … ok\r\n'],
  ]);
}

function manyTasks(): FakeScene {
  const tasks = Array.from({ length: 1_000 }, (_, n) =>
    aTask(n + 1, { progress: progress(n % 99) }),
  );
  return { tasks, requests: [] };
}

/** A question of each sort. */
export function everyQuestion(): FakeScene {
  const form: Wants = {
    type: 'form',
    schema: {
      type: 'object',
      required: ['region', 'owner'],
      properties: {
        region: { title: 'Region', enum: ['eu', 'us'], default: 'eu' },
        replicas: { type: 'integer', minimum: 1, default: 2, description: 'How many run at once.' },
        owner: {
          title: 'Owner',
          type: 'object',
          required: ['mail'],
          properties: {
            mail: { type: 'string', title: '担当者のメール' },
            notify: { type: 'boolean', title: 'Tell them when it is done', default: true },
          },
        },
        tags: { title: 'Tags', type: 'array', items: { type: 'string' } },
        ratio: { type: 'number' },
        more: { description: 'Anything else.' },
      },
    },
    initial: { region: 'eu', replicas: 2, owner: { notify: true } },
  };
  const wants: Wants[] = [
    { type: 'choice', choices: ['eu-west', 'us-east', '東京'], default: 'us-east' },
    { type: 'text', default: null },
    form,
  ];
  const questions = ['Where to?', 'What is new in this release?', 'How shall it run?'];
  const diff = [
    'diff --git a/deploy.yaml b/deploy.yaml',
    '--- a/deploy.yaml',
    '+++ b/deploy.yaml',
    '@@ -1,3 +1,3 @@',
    ' replicas:',
    '-  2',
    '+  3',
    ' image: harbour:2.4.0',
  ].join('\n');
  const requests = wants.map((wanted, n) => {
    const question = questions[n] ?? '';
    const shown = { ...aRequest(n + 1, n + 1).shown, wants: wanted, question };
    return aRequest(n + 1, n + 1, { shown: n === 0 ? { ...shown, diff } : shown });
  });
  const tasks = requests.map(({ id }) => aTask(id, { state: { name: 'waiting', open: [id] } }));
  return { tasks, requests };
}

/** A command, a label and a question without a space, as long as they get. */
function oneLongWord(): FakeScene {
  const line = `sleep 0.2; : ${'y'.repeat(100_000)}`;
  const asking = aTask(2, { label: 'z'.repeat(100_000), state: { name: 'waiting', open: [1] } });
  const added = { change: 'added', masked: false } as const;
  const environment = [
    { ...added, name: 'LONG', value: 'v'.repeat(100_000) },
    { ...added, name: 'n'.repeat(20_000), value: 'x' },
  ];
  const shown = { ...aRequest(1, 2).shown, task_name: 'z'.repeat(100_000), environment };
  const request = {
    origin: 'gate' as const,
    shown: { ...shown, detail: 'd'.repeat(64_000), argv: ['/bin/sh', '-c', line] },
  };
  return {
    tasks: [aTask(1, { command: { type: 'shell', line } }), asking],
    requests: [aRequest(1, 2, request)],
  };
}

/** Returns the host of a scene by name, for `?fake=…` in a browser. */
export function fakeHost(scene: string): FakeHost {
  if (scene === 'many') return busy(new FakeHost(manyTasks()));
  if (scene === 'questions') return new FakeHost(everyQuestion());
  if (scene === 'long') return new FakeHost(oneLongWord());
  const host = new FakeHost(scene === 'empty' ? undefined : everyState());
  if (scene === 'unreachable') {
    const error = new EngineError(
      'internal',
      'the data directory /home/mika/.local/share/nod cannot be read',
    );
    host.refusals.set('subscribe', error);
  }
  if (scene === 'reconnecting') {
    setTimeout(() => {
      host.refusals.set('snapshot', new EngineError('stopping', 'the host is going'));
      host.lag();
    }, 300);
  }
  if (scene === 'refusing') {
    const error = new EngineError('storage', 'the disk is full: free some space and try again');
    for (const method of ['submit', 'cancel', 'answer', 'run_again', 'list'] as const) {
      host.refusals.set(method, error);
    }
  }
  return scene === 'still' ? host : busy(host);
}

/** Lets the running tasks of the host go on. */
function busy(host: FakeHost): FakeHost {
  setInterval(() => {
    for (const task of host.tasks.values()) {
      const percent = task.progress?.percent ?? null;
      if (task.state.name !== 'running' || task.progress === null || percent === null) continue;
      host.progress(task.id, { ...task.progress, percent: Math.min(99, percent + 0.4) });
    }
  }, 1_000);
  return host;
}
