-- The shard that a certificate's distribution point names (0: none), and the commit that revoked it.
ALTER TABLE certificates ADD COLUMN shard INTEGER NOT NULL DEFAULT 0;
ALTER TABLE certificates ADD COLUMN revoked_sequence INTEGER;
UPDATE certificates SET revoked_sequence = 1 WHERE state = 2;

-- One index for each column that is searched or sorted by, each in the order of expiry behind it.
DROP INDEX certificates_by_issuer;
DROP INDEX certificates_by_role;
DROP INDEX certificates_by_requester;
DROP INDEX certificates_by_common_name;
DROP INDEX certificates_by_end;
DROP INDEX certificates_revoked;
DROP INDEX certificates_revoked_by_mount;
CREATE INDEX certificates_by_issuer ON certificates (mount, issuer, not_after);
CREATE INDEX certificates_by_role ON certificates (mount, role, not_after);
CREATE INDEX certificates_by_requester ON certificates (mount, requester, not_after);
CREATE INDEX certificates_by_common_name ON certificates (mount, common_name, not_after);
CREATE INDEX certificates_by_key_type ON certificates (mount, key_type, not_after);
CREATE INDEX certificates_by_state ON certificates (mount, state, not_after);

-- What is revoked: by serial number, and what CRLs list in the order of revocation.
CREATE INDEX certificates_revoked_by_serial ON certificates (mount, serial) WHERE state = 2;
CREATE INDEX certificates_revoked_of_issuer
    ON certificates (mount, issuer, revoked_sequence, serial, revoked_at, revocation_reason, not_after) WHERE state = 2;
CREATE INDEX certificates_revoked_of_shard
    ON certificates (mount, issuer, shard, revoked_sequence, serial, revoked_at, revocation_reason, not_after)
    WHERE state = 2;
