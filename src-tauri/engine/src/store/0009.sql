-- What a task is bound to beside what everybody sees of it: the folder as it was when a person was
-- asked, and the program that may type into it.
ALTER TABLE tasks ADD COLUMN bound TEXT;
