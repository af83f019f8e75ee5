-- The history's own clock, which nobody sets: what it showed when the machine booted, and when a
-- host looked last. Until now it has gone with the wall.
ALTER TABLE clock ADD COLUMN history_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE clock ADD COLUMN seen_ms INTEGER NOT NULL DEFAULT 0;
UPDATE clock SET history_ms = offset_ms, seen_ms = offset_ms;

-- When a task ended by that clock: how old it is does not change with a clock that is set.
ALTER TABLE tasks ADD COLUMN kept_since INTEGER;

DROP INDEX tasks_by_end;
CREATE INDEX tasks_by_end ON tasks (coalesce(kept_since, ended_at, created_at), id)
    WHERE state NOT IN ('queued', 'starting', 'running', 'waiting', 'stopping');
