-- Objects of the control plane, sealed. A row without a body is a tombstone: what was deleted must
-- be told to processes that read what changed since the revision they know.
CREATE TABLE objects (
    kind TEXT COLLATE "C" NOT NULL,
    scope TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    revision BIGINT NOT NULL,
    body BYTEA,
    PRIMARY KEY (kind, scope, id)
);
-- Sealed bytes do not compress.
ALTER TABLE objects ALTER COLUMN body SET STORAGE EXTERNAL;
CREATE INDEX objects_revision ON objects (revision);

CREATE TABLE meta (
    name TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
);
INSERT INTO meta (name, value) VALUES ('revision', '0'), ('pruned_to', '0');
