-- How a task is to be run, and what is true of it beside its state.
ALTER TABLE tasks ADD COLUMN options TEXT NOT NULL DEFAULT '{}';
ALTER TABLE tasks ADD COLUMN condition TEXT NOT NULL DEFAULT '{}';
