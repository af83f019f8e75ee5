-- The processes that the answer to a question is for, where a program asked that is no task.
ALTER TABLE requests ADD COLUMN asked_for TEXT;

-- The triggers hold of an insert that would take the place of a row, too.
CREATE TRIGGER audit_is_only_added_to BEFORE INSERT ON audit
WHEN EXISTS (SELECT 1 FROM audit WHERE id = NEW.id)
BEGIN
    SELECT RAISE(ABORT, 'the audit is append-only');
END;
