CREATE TABLE change_sequence (
    id integer PRIMARY KEY CHECK (id = 1),
    value bigint NOT NULL
);
INSERT INTO change_sequence (id, value) VALUES (1, 0);

CREATE TABLE change_log (
    sequence bigint PRIMARY KEY,
    token bytea NOT NULL UNIQUE,
    node bytea NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    paths text[] NOT NULL,
    prefixes text[] NOT NULL,
    records text[] NOT NULL,
    whole boolean NOT NULL
);

CREATE TABLE job_leases (
    name text COLLATE "C" PRIMARY KEY,
    holder text COLLATE "C" NOT NULL,
    epoch bigint NOT NULL,
    expires_at timestamptz NOT NULL
);

CREATE TABLE barrier_records (
    name text COLLATE "C" PRIMARY KEY,
    version bigint NOT NULL,
    value bytea NOT NULL
);

CREATE TABLE entries (
    path text COLLATE "C" PRIMARY KEY,
    version bigint NOT NULL,
    value bytea NOT NULL,
    expires_at bigint
);
CREATE INDEX entries_by_expiry ON entries (expires_at, path) WHERE expires_at IS NOT NULL;

CREATE TABLE certificates (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    mount text COLLATE "C" NOT NULL,
    serial bytea NOT NULL,
    issuer text COLLATE "C" NOT NULL,
    role text COLLATE "C" NOT NULL,
    requester text COLLATE "C" NOT NULL,
    common_name text COLLATE "C" NOT NULL,
    key_type text COLLATE "C" NOT NULL,
    not_before bigint NOT NULL,
    not_after bigint NOT NULL,
    created_at bigint NOT NULL,
    state smallint NOT NULL CHECK (state IN (0, 1, 2)),
    der bytea NOT NULL,
    revoked_at bigint,
    revocation_reason smallint,
    revoked_sequence bigint,
    -- The shard that the certificate's distribution point names; 0: none.
    shard bigint NOT NULL,
    UNIQUE (mount, serial),
    CHECK ((state = 2) = (revoked_at IS NOT NULL)),
    CHECK ((state = 2) = (revocation_reason IS NOT NULL))
);
-- One index for each column that is searched or sorted by, each in the order of expiry behind it.
CREATE INDEX certificates_by_mount ON certificates (mount, id);
CREATE INDEX certificates_by_expiry ON certificates (mount, not_after, id);
CREATE INDEX certificates_by_issuer ON certificates (mount, issuer, not_after, id);
CREATE INDEX certificates_by_role ON certificates (mount, role, not_after, id);
CREATE INDEX certificates_by_requester ON certificates (mount, requester, not_after, id);
CREATE INDEX certificates_by_common_name ON certificates (mount, common_name, not_after, id);
CREATE INDEX certificates_by_key_type ON certificates (mount, key_type, not_after, id);
CREATE INDEX certificates_by_state ON certificates (mount, state, not_after, id);

-- What is revoked: by serial number, and what CRLs list in the order of revocation.
CREATE INDEX certificates_revoked_by_serial ON certificates (mount, serial) WHERE state = 2;
CREATE INDEX certificates_revoked_of_issuer ON certificates (mount, issuer, revoked_sequence, serial)
    INCLUDE (revoked_at, revocation_reason, not_after) WHERE state = 2;
CREATE INDEX certificates_revoked_of_shard ON certificates (mount, issuer, shard, revoked_sequence, serial)
    INCLUDE (revoked_at, revocation_reason, not_after) WHERE state = 2;

CREATE TABLE certificate_names (
    certificate bigint NOT NULL REFERENCES certificates (id) ON DELETE CASCADE,
    position integer NOT NULL,
    name text COLLATE "C" NOT NULL,
    PRIMARY KEY (certificate, position)
);
CREATE INDEX certificate_names_by_name ON certificate_names (left(name, 256), certificate);
