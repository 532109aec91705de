-- Serial numbers are 64 bits without sign, eight bytes big-endian: so they sort, and so they fit.
CREATE TABLE ssh_certificates (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    mount text COLLATE "C" NOT NULL,
    serial bytea NOT NULL CHECK (length(serial) = 8),
    issuer text COLLATE "C" NOT NULL,
    is_host boolean NOT NULL,
    key_id text COLLATE "C" NOT NULL,
    role text COLLATE "C" NOT NULL,
    requester text COLLATE "C" NOT NULL,
    source text COLLATE "C" NOT NULL,
    key_type text COLLATE "C" NOT NULL,
    fingerprint text COLLATE "C" NOT NULL,
    valid_after bigint NOT NULL,
    valid_before bigint NOT NULL,
    created_at bigint NOT NULL,
    certificate bytea NOT NULL,
    UNIQUE (mount, serial)
);
CREATE INDEX ssh_certificates_by_issuer ON ssh_certificates (mount, issuer, valid_before);
CREATE INDEX ssh_certificates_by_end ON ssh_certificates (mount, valid_before);
CREATE INDEX ssh_certificates_by_role ON ssh_certificates (mount, role, serial);
CREATE INDEX ssh_certificates_by_requester ON ssh_certificates (mount, requester, serial);
CREATE INDEX ssh_certificates_by_key_id ON ssh_certificates (mount, left(key_id, 256), serial);
CREATE INDEX ssh_certificates_by_fingerprint ON ssh_certificates (mount, fingerprint, serial);

CREATE TABLE ssh_principals (
    certificate bigint NOT NULL REFERENCES ssh_certificates (id) ON DELETE CASCADE,
    position integer NOT NULL,
    name text COLLATE "C" NOT NULL,
    PRIMARY KEY (certificate, position)
);
CREATE INDEX ssh_principals_by_name ON ssh_principals (left(name, 256), certificate);

CREATE TABLE ssh_revocations (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    mount text COLLATE "C" NOT NULL,
    issuer text COLLATE "C" NOT NULL,
    -- 0 serial numbers, 1 key id, 2 key, 3 fingerprint
    kind smallint NOT NULL CHECK (kind IN (0, 1, 2, 3)),
    -- Serial numbers: the first and the last, eight bytes each. Otherwise the key id, the key or the hash.
    target bytea NOT NULL,
    requester text COLLATE "C" NOT NULL,
    reason text COLLATE "C" NOT NULL,
    revoked_at bigint NOT NULL,
    expires_at bigint
);
CREATE INDEX ssh_revocations_by_mount ON ssh_revocations (mount, id);
CREATE INDEX ssh_revocations_by_expiry ON ssh_revocations (mount, expires_at) WHERE expires_at IS NOT NULL;
