CREATE TABLE change_sequence (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    value INTEGER NOT NULL
) STRICT;
INSERT INTO change_sequence (id, value) VALUES (1, 0);

CREATE TABLE barrier_records (
    name TEXT PRIMARY KEY,
    version INTEGER NOT NULL,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE entries (
    id INTEGER PRIMARY KEY,
    path TEXT NOT NULL UNIQUE,
    version INTEGER NOT NULL,
    value BLOB NOT NULL,
    expires_at INTEGER
) STRICT;
CREATE INDEX entries_by_expiry ON entries (expires_at, path) WHERE expires_at IS NOT NULL;

CREATE TABLE certificates (
    id INTEGER PRIMARY KEY,
    mount TEXT NOT NULL,
    serial BLOB NOT NULL,
    issuer TEXT NOT NULL,
    role TEXT NOT NULL,
    requester TEXT NOT NULL,
    common_name TEXT NOT NULL,
    key_type TEXT NOT NULL,
    not_before INTEGER NOT NULL,
    not_after INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    state INTEGER NOT NULL CHECK (state IN (0, 1, 2)),
    der BLOB NOT NULL,
    revoked_at INTEGER,
    revocation_reason INTEGER,
    UNIQUE (mount, serial),
    CHECK ((state = 2) = (revoked_at IS NOT NULL)),
    CHECK ((state = 2) = (revocation_reason IS NOT NULL))
) STRICT;
CREATE INDEX certificates_by_mount ON certificates (mount);
CREATE INDEX certificates_by_expiry ON certificates (mount, not_after);
CREATE INDEX certificates_by_issuer ON certificates (mount, issuer);
CREATE INDEX certificates_by_role ON certificates (mount, role);
CREATE INDEX certificates_by_requester ON certificates (requester);
CREATE INDEX certificates_by_common_name ON certificates (common_name);
CREATE INDEX certificates_by_end ON certificates (not_after);
CREATE INDEX certificates_revoked ON certificates (mount, issuer, serial, revoked_at, revocation_reason, not_after)
    WHERE state = 2;
CREATE INDEX certificates_revoked_by_mount ON certificates (mount) WHERE state = 2;
CREATE INDEX certificates_intended ON certificates (created_at) WHERE state = 0;

CREATE TABLE certificate_names (
    certificate INTEGER NOT NULL REFERENCES certificates (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    name TEXT NOT NULL,
    PRIMARY KEY (certificate, position)
) STRICT, WITHOUT ROWID;
CREATE INDEX certificate_names_by_name ON certificate_names (name, certificate);
