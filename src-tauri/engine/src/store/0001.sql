-- Environments are shared by the tasks that were submitted from one place, and rest sealed.
CREATE TABLE environments (
    digest BLOB PRIMARY KEY,
    sealed BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE tasks (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    label TEXT,
    command TEXT NOT NULL,
    command_text TEXT NOT NULL,
    cwd TEXT NOT NULL,
    output TEXT NOT NULL,
    session TEXT,
    parent INTEGER,
    timeout_ms INTEGER,
    ask_first INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    state TEXT NOT NULL,
    state_json TEXT NOT NULL,
    progress TEXT,
    environment BLOB NOT NULL REFERENCES environments (digest),
    environment_changes TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    started_at INTEGER,
    ended_at INTEGER
) STRICT;

CREATE INDEX tasks_unfinished ON tasks (id)
    WHERE state IN ('queued', 'starting', 'running', 'waiting', 'stopping');
CREATE INDEX tasks_by_state ON tasks (state, id);

CREATE TABLE attempts (
    task_id INTEGER NOT NULL REFERENCES tasks (id),
    number INTEGER NOT NULL,
    folder TEXT NOT NULL,
    token_hash BLOB NOT NULL,
    boot_id TEXT NOT NULL,
    process INTEGER,
    started_at INTEGER,
    exited_at INTEGER,
    ended_at INTEGER,
    exit TEXT,
    peak_memory INTEGER,
    cpu_ms INTEGER,
    left_processes TEXT NOT NULL DEFAULT '[]',
    size INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (task_id, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE requests (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    operation TEXT,
    task_id INTEGER NOT NULL REFERENCES tasks (id),
    attempt INTEGER NOT NULL,
    origin TEXT NOT NULL,
    shown TEXT NOT NULL,
    hash TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    closure TEXT
) STRICT;

CREATE INDEX requests_by_task ON requests (task_id);
CREATE INDEX requests_open ON requests (id) WHERE closure IS NULL;

CREATE TABLE events (
    seq INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    task_id INTEGER NOT NULL,
    what TEXT NOT NULL,
    detail TEXT
) STRICT;

CREATE INDEX events_by_task ON events (task_id, seq);

-- What clients asked for, so that the same thing sent again does nothing twice.
CREATE TABLE operations (
    id TEXT PRIMARY KEY,
    at INTEGER NOT NULL,
    result TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX operations_by_time ON operations (at);

-- Who answered what, and what they had been shown. Rows are only ever added.
CREATE TABLE audit (
    id INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    request_id INTEGER NOT NULL,
    task_id INTEGER NOT NULL,
    actor TEXT NOT NULL,
    answer TEXT NOT NULL,
    shown TEXT NOT NULL,
    hash TEXT NOT NULL
) STRICT;

CREATE TRIGGER audit_keeps_rows BEFORE DELETE ON audit
BEGIN
    SELECT RAISE (ABORT, 'the audit is append-only');
END;

CREATE TRIGGER audit_keeps_content BEFORE UPDATE ON audit
BEGIN
    SELECT RAISE (ABORT, 'the audit is append-only');
END;

-- How many tasks there are in each state, kept by the transaction that changes one.
CREATE TABLE counts (
    state TEXT PRIMARY KEY,
    n INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TRIGGER counts_a_new_task AFTER INSERT ON tasks
BEGIN
    INSERT INTO counts (state, n) VALUES (new.state, 1)
        ON CONFLICT (state) DO UPDATE SET n = n + 1;
END;

CREATE TRIGGER counts_a_changed_task AFTER UPDATE OF state ON tasks
WHEN old.state <> new.state
BEGIN
    UPDATE counts SET n = n - 1 WHERE state = old.state;
    INSERT INTO counts (state, n) VALUES (new.state, 1)
        ON CONFLICT (state) DO UPDATE SET n = n + 1;
END;

-- Ended tasks; the few unfinished ones are searched in their own table.
CREATE VIRTUAL TABLE task_search USING fts5 (label, command, tail, tokenize = 'trigram');
