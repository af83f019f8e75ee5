-- Tries whose shim is gone and whose processes may still be there: a host that ends them takes the row
-- away, and one that dies before leaves it to the next.
CREATE TABLE sweeps (
    task_id INTEGER NOT NULL,
    number INTEGER NOT NULL,
    PRIMARY KEY (task_id, number)
) STRICT, WITHOUT ROWID;

-- The last number that an event had when events were removed: no number is given twice.
CREATE TABLE last_event (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    seq INTEGER NOT NULL
) STRICT;

-- What ended first is removed first.
CREATE INDEX tasks_by_end ON tasks (coalesce(ended_at, created_at), id)
    WHERE state NOT IN ('queued', 'starting', 'running', 'waiting', 'stopping');

-- What a try printed last, and how many bytes of the disk its files take.
ALTER TABLE attempts ADD COLUMN tail TEXT;
ALTER TABLE attempts ADD COLUMN disk INTEGER;
