-- Signals that nobody waited for yet. One that was handed over is gone.
CREATE TABLE signals (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    task_id INTEGER NOT NULL,
    key TEXT NOT NULL,
    data TEXT NOT NULL,
    at INTEGER NOT NULL
) STRICT;

-- Tasks that wait for a signal. One that was woken is an operation with its result.
CREATE TABLE waits (
    operation TEXT PRIMARY KEY,
    task_id INTEGER NOT NULL,
    key TEXT NOT NULL,
    began_at INTEGER NOT NULL,
    expires_at INTEGER,
    resume_at INTEGER
) STRICT, WITHOUT ROWID;

-- Messages that a task has not taken in yet.
CREATE TABLE messages (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    task_id INTEGER NOT NULL,
    at INTEGER NOT NULL,
    actor TEXT NOT NULL,
    content TEXT NOT NULL,
    interrupt INTEGER NOT NULL
) STRICT;

-- What tasks tell the conversation that their result is for.
CREATE TABLE notices (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    session TEXT,
    task_id INTEGER NOT NULL,
    at INTEGER NOT NULL,
    urgent INTEGER NOT NULL,
    content TEXT NOT NULL
) STRICT;

CREATE INDEX notices_by_session ON notices (session, id);
