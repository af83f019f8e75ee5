-- What is removed from the history: the folders of removed tasks wait here until they are gone.
CREATE TABLE leftovers (
    folder TEXT PRIMARY KEY
) STRICT, WITHOUT ROWID;

-- An environment goes with the last task that has it.
CREATE INDEX tasks_by_environment ON tasks (environment);
