-- How the wall clock stood to the time since the machine booted, so that a clock that is set while
-- no host runs is noticed by the next one.
CREATE TABLE clock (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    boot_id TEXT NOT NULL,
    offset_ms INTEGER NOT NULL
) STRICT;
