-- The rules that the person made in the window.
CREATE TABLE rules (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    rule TEXT NOT NULL,
    made_at INTEGER NOT NULL,
    made_by TEXT NOT NULL,
    revoked_at INTEGER
) STRICT;

-- What of the config file holds: what it asks for less waits for the person, across restarts too.
CREATE TABLE guards (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    held TEXT NOT NULL
) STRICT;
