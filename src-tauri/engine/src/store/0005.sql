-- When a task may start, where that is not as usual.
ALTER TABLE tasks ADD COLUMN schedule TEXT;
ALTER TABLE tasks ADD COLUMN key TEXT;

-- Of the unfinished tasks of a kind only one has a key.
CREATE UNIQUE INDEX tasks_by_key ON tasks (kind, key)
    WHERE key IS NOT NULL AND state IN ('queued', 'starting', 'running', 'waiting', 'stopping');

-- What came of each try, also where others followed.
ALTER TABLE attempts ADD COLUMN outcome TEXT;
-- Where its deadline was moved to, in milliseconds of the time since boot; 0 where it was taken away.
ALTER TABLE attempts ADD COLUMN deadline INTEGER;

-- What was said of groups beside the config file.
CREATE TABLE groups (
    name TEXT PRIMARY KEY,
    slots INTEGER,
    paused INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

CREATE TRIGGER counts_a_removed_task AFTER DELETE ON tasks
BEGIN
    UPDATE counts SET n = n - 1 WHERE state = old.state;
END;
