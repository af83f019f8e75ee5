-- Who put the same question while it was open, each with the operation that asked it.
ALTER TABLE requests ADD COLUMN also_asked TEXT;
ALTER TABLE audit ADD COLUMN also_asked TEXT;

-- What the person was last asked to confirm of the config file, so that each change is in the audit once.
ALTER TABLE guards ADD COLUMN asked TEXT;

-- Rules whose time is up, and of which the audit says so.
CREATE TABLE expired_rules (
    rule TEXT PRIMARY KEY,
    at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What concerns the rules is found without reading what concerns tasks.
CREATE INDEX audit_of_rules ON audit (id)
    WHERE what IN ('rule_added', 'rule_revoked', 'rule_expired', 'tightened', 'loosening_asked',
        'loosening_taken_back', 'loosened');
