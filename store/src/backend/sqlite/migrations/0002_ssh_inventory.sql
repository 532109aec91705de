-- Serial numbers are 64 bits without sign, eight bytes big-endian: so they sort, and so they fit.
CREATE TABLE ssh_certificates (
    id INTEGER PRIMARY KEY,
    mount TEXT NOT NULL,
    serial BLOB NOT NULL CHECK (length(serial) = 8),
    issuer TEXT NOT NULL,
    is_host INTEGER NOT NULL CHECK (is_host IN (0, 1)),
    key_id TEXT NOT NULL,
    role TEXT NOT NULL,
    requester TEXT NOT NULL,
    source TEXT NOT NULL,
    key_type TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    valid_after INTEGER NOT NULL,
    valid_before INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    certificate BLOB NOT NULL,
    UNIQUE (mount, serial)
) STRICT;
CREATE INDEX ssh_certificates_by_issuer ON ssh_certificates (mount, issuer, valid_before);
CREATE INDEX ssh_certificates_by_end ON ssh_certificates (mount, valid_before);
CREATE INDEX ssh_certificates_by_role ON ssh_certificates (mount, role, serial);
CREATE INDEX ssh_certificates_by_requester ON ssh_certificates (mount, requester, serial);
CREATE INDEX ssh_certificates_by_key_id ON ssh_certificates (mount, key_id, serial);
CREATE INDEX ssh_certificates_by_fingerprint ON ssh_certificates (mount, fingerprint, serial);

CREATE TABLE ssh_principals (
    certificate INTEGER NOT NULL REFERENCES ssh_certificates (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    name TEXT NOT NULL,
    PRIMARY KEY (certificate, position)
) STRICT, WITHOUT ROWID;
CREATE INDEX ssh_principals_by_name ON ssh_principals (name, certificate);

CREATE TABLE ssh_revocations (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    mount TEXT NOT NULL,
    issuer TEXT NOT NULL,
    -- 0 serial numbers, 1 key id, 2 key, 3 fingerprint
    kind INTEGER NOT NULL CHECK (kind IN (0, 1, 2, 3)),
    -- Serial numbers: the first and the last, eight bytes each. Otherwise the key id, the key or the hash.
    target BLOB NOT NULL,
    requester TEXT NOT NULL,
    reason TEXT NOT NULL,
    revoked_at INTEGER NOT NULL,
    expires_at INTEGER
) STRICT;
CREATE INDEX ssh_revocations_by_mount ON ssh_revocations (mount, id);
CREATE INDEX ssh_revocations_by_expiry ON ssh_revocations (mount, expires_at) WHERE expires_at IS NOT NULL;
