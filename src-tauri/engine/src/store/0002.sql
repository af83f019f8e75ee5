-- Questions of every sort, also of programs that are no tasks.
CREATE TABLE questions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    operation TEXT,
    task_id INTEGER REFERENCES tasks (id),
    attempt INTEGER NOT NULL,
    origin TEXT NOT NULL,
    asked_by TEXT,
    shown TEXT NOT NULL,
    hash TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    on_timeout TEXT NOT NULL DEFAULT '"deny"',
    remind_ms INTEGER,
    closure TEXT
) STRICT;

INSERT INTO questions (id, operation, task_id, attempt, origin, shown, hash, created_at,
    expires_at, closure)
SELECT id, operation, task_id, attempt, origin, shown, hash, created_at, expires_at, closure
FROM requests;

DROP TABLE requests;
ALTER TABLE questions RENAME TO requests;
CREATE INDEX requests_by_task ON requests (task_id);
CREATE INDEX requests_open ON requests (id) WHERE closure IS NULL;

-- Who decided what, from where, and what they had been shown. Rows are only ever added.
CREATE TABLE decisions (
    id INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    what TEXT NOT NULL,
    actor TEXT NOT NULL,
    from_where TEXT,
    task_id INTEGER,
    request_id INTEGER,
    asked_by TEXT,
    shown TEXT,
    hash TEXT,
    answer TEXT,
    comment TEXT,
    detail TEXT
) STRICT;

INSERT INTO decisions (id, at, what, actor, task_id, request_id, shown, hash, answer)
SELECT id, at, 'answered', actor, task_id, request_id, shown, hash, answer FROM audit;

DROP TABLE audit;
ALTER TABLE decisions RENAME TO audit;
CREATE INDEX audit_by_task ON audit (task_id, id);

CREATE TRIGGER audit_keeps_rows BEFORE DELETE ON audit
BEGIN
    SELECT RAISE (ABORT, 'the audit is append-only');
END;

CREATE TRIGGER audit_keeps_content BEFORE UPDATE ON audit
BEGIN
    SELECT RAISE (ABORT, 'the audit is append-only');
END;
