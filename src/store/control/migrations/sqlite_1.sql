-- Objects of the control plane, sealed. A row without a body is a tombstone: what was deleted must
-- be told to processes that read what changed since the revision they know.
CREATE TABLE objects (
    kind TEXT NOT NULL,
    scope TEXT NOT NULL,
    id TEXT NOT NULL,
    revision INTEGER NOT NULL,
    body BLOB,
    PRIMARY KEY (kind, scope, id)
) WITHOUT ROWID;
CREATE INDEX objects_revision ON objects (revision);

CREATE TABLE meta (
    name TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;
INSERT INTO meta (name, value) VALUES ('revision', '0'), ('pruned_to', '0');
