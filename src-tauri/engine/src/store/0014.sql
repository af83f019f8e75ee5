-- Up to which event some are gone of those that no task has any more.
ALTER TABLE last_event ADD COLUMN forgotten INTEGER NOT NULL DEFAULT 0;

-- Those: of removed tasks, and of no task at all.
CREATE INDEX events_of_no_task ON events (seq) WHERE what = 'removed' OR task_id = 0;
