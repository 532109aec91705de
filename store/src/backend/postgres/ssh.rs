//! The SSH inventory in PostgreSQL. Times are microseconds after the Unix epoch, serial numbers eight bytes big-endian.

use super::{
    Postgres,
    conditions::Conditions,
    entries::{limit, unsigned},
    failure,
    steps::{Step, Value, signed},
};
use crate::{
    StoreError,
    backend::{SshBackend, microseconds},
    ssh_inventory::{
        SshCertificate, SshCertificateKind, SshChange, SshFilter, SshPage, SshRevocation, SshRevocationOrder,
        SshRevocationTarget,
    },
};
use async_trait::async_trait;
use jiff::Timestamp;
use tokio_postgres::{Row, types::FromSql};

/// Adds the steps of a change. A state that is not there is a row that is not touched.
pub(super) fn apply<'b>(change: &'b SshChange, steps: &mut Vec<Step<'b>>) {
    match change {
        SshChange::Signed(certificate) => insert(certificate, steps),
        SshChange::Revoke(order) => revoke(order, steps),
        SshChange::Restore { mount, id } => {
            let sql = "DELETE FROM ssh_revocations WHERE mount = $1 AND id = $2";
            steps.push(Step::exactly(1, sql, vec![Box::new(mount), Box::new(signed(*id))]));
        }
        SshChange::ForgetEnded { mount, before, limit: most } => {
            let sql = "DELETE FROM ssh_certificates WHERE id IN (SELECT id FROM ssh_certificates
                WHERE mount = $1 AND valid_before < $2 ORDER BY valid_before LIMIT $3)";
            let values: Vec<Value<'b>> =
                vec![Box::new(mount), Box::new(microseconds(*before)), Box::new(limit(Some(*most)))];
            steps.push(Step::any(sql, values));
        }
        SshChange::ForgetRevocations { mount, before } => {
            let sql = "DELETE FROM ssh_revocations WHERE mount = $1 AND expires_at < $2";
            steps.push(Step::any(sql, vec![Box::new(mount), Box::new(microseconds(*before))]));
        }
        SshChange::DeleteMount { mount } => {
            steps.push(Step::any("DELETE FROM ssh_certificates WHERE mount = $1", vec![Box::new(mount)]));
            steps.push(Step::any("DELETE FROM ssh_revocations WHERE mount = $1", vec![Box::new(mount)]));
        }
    }
}

fn insert<'b>(certificate: &'b SshCertificate, steps: &mut Vec<Step<'b>>) {
    let sql = "INSERT INTO ssh_certificates (mount, serial, issuer, is_host, key_id, role, requester, source, key_type,
            fingerprint, valid_after, valid_before, created_at, certificate)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) ON CONFLICT (mount, serial) DO NOTHING";
    let serial = certificate.serial.to_be_bytes().to_vec();
    let values: Vec<Value<'b>> = vec![
        Box::new(&certificate.mount),
        Box::new(serial.clone()),
        Box::new(&certificate.issuer),
        Box::new(certificate.kind == SshCertificateKind::Host),
        Box::new(&certificate.key_id),
        Box::new(&certificate.role),
        Box::new(&certificate.requester),
        Box::new(&certificate.source),
        Box::new(&certificate.key_type),
        Box::new(&certificate.fingerprint),
        Box::new(microseconds(certificate.valid_after)),
        Box::new(microseconds(certificate.valid_before)),
        Box::new(microseconds(certificate.created_at)),
        Box::new(certificate.certificate.as_slice()),
    ];
    steps.push(Step::exactly(1, sql, values));
    if !certificate.principals.is_empty() {
        let sql = "INSERT INTO ssh_principals (certificate, position, name)
            SELECT id, given.position, given.name FROM ssh_certificates, unnest($3::text[]) WITH ORDINALITY
                AS given (name, position) WHERE mount = $1 AND serial = $2";
        let values: Vec<Value<'b>> =
            vec![Box::new(&certificate.mount), Box::new(serial), Box::new(&certificate.principals)];
        steps.push(Step::any(sql, values));
    }
}

fn revoke<'b>(order: &'b SshRevocationOrder, steps: &mut Vec<Step<'b>>) {
    let (kind, target) = match &order.target {
        SshRevocationTarget::Serials { first, last } => (0_i16, [first.to_be_bytes(), last.to_be_bytes()].concat()),
        SshRevocationTarget::KeyId(id) => (1, id.as_bytes().to_vec()),
        SshRevocationTarget::Key(key) => (2, key.clone()),
        SshRevocationTarget::Fingerprint(hash) => (3, hash.clone()),
    };
    let sql = "INSERT INTO ssh_revocations (mount, issuer, kind, target, requester, reason, revoked_at, expires_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    let values: Vec<Value<'b>> = vec![
        Box::new(&order.mount),
        Box::new(&order.issuer),
        Box::new(kind),
        Box::new(target),
        Box::new(&order.requester),
        Box::new(&order.reason),
        Box::new(microseconds(order.at)),
        Box::new(order.expires_at.map(microseconds)),
    ];
    steps.push(Step::any(sql, values));
}

/// The columns [`certificate`] reads, in its order.
const CERTIFICATES: &str =
    "SELECT mount, serial, issuer, is_host, key_id, role, requester, source, key_type, fingerprint,
    valid_after, valid_before, created_at, certificate,
    ARRAY(SELECT name FROM ssh_principals WHERE ssh_principals.certificate = id ORDER BY position)
    FROM ssh_certificates";

fn certificate(row: &Row) -> Result<SshCertificate, StoreError> {
    Ok(SshCertificate {
        mount: read(row, 0)?,
        serial: number(read(row, 1)?)?,
        issuer: read(row, 2)?,
        kind: if read(row, 3)? { SshCertificateKind::Host } else { SshCertificateKind::User },
        key_id: read(row, 4)?,
        principals: read(row, 14)?,
        role: read(row, 5)?,
        requester: read(row, 6)?,
        source: read(row, 7)?,
        key_type: read(row, 8)?,
        fingerprint: read(row, 9)?,
        valid_after: time(read(row, 10)?)?,
        valid_before: time(read(row, 11)?)?,
        created_at: time(read(row, 12)?)?,
        certificate: read(row, 13)?,
    })
}

fn revocation(row: &Row) -> Result<SshRevocation, StoreError> {
    let target: &[u8] = read(row, 4)?;
    let target = match read::<i16>(row, 3)? {
        0 => {
            let (first, last) = target.split_at_checked(8).ok_or_else(damaged)?;
            SshRevocationTarget::Serials { first: number(first)?, last: number(last)? }
        }
        1 => SshRevocationTarget::KeyId(String::from_utf8(target.to_vec()).map_err(|_| damaged())?),
        2 => SshRevocationTarget::Key(target.to_vec()),
        _ => SshRevocationTarget::Fingerprint(target.to_vec()),
    };
    let order = SshRevocationOrder {
        mount: read(row, 1)?,
        issuer: read(row, 2)?,
        target,
        requester: read(row, 5)?,
        reason: read(row, 6)?,
        at: time(read(row, 7)?)?,
        expires_at: read::<Option<i64>>(row, 8)?.map(time).transpose()?,
    };
    Ok(SshRevocation { id: unsigned(read(row, 0)?), order })
}

fn read<'r, T: FromSql<'r>>(row: &'r Row, column: usize) -> Result<T, StoreError> {
    row.try_get(column).map_err(|error| failure::told("postgres SELECT", &error))
}

fn number(bytes: &[u8]) -> Result<u64, StoreError> {
    bytes.try_into().map(u64::from_be_bytes).map_err(|_| damaged())
}

fn time(value: i64) -> Result<Timestamp, StoreError> {
    Timestamp::from_microsecond(value).map_err(|_| damaged())
}

fn damaged() -> StoreError {
    StoreError::corrupt("SSH inventory")
}

#[async_trait]
impl SshBackend for Postgres {
    async fn ssh_certificate(&self, mount: String, serial: u64) -> Result<Option<SshCertificate>, StoreError> {
        let sql = format!("{CERTIFICATES} WHERE mount = $1 AND serial = $2");
        let found = self.readers.query(&sql, &[&mount, &serial.to_be_bytes().as_slice()]).await?;
        found.first().map(certificate).transpose()
    }

    async fn ssh_search(
        &self,
        mount: String,
        filter: SshFilter,
        page: SshPage,
    ) -> Result<Vec<SshCertificate>, StoreError> {
        let mut conditions = Conditions::default();
        conditions.add("mount = ?", mount);
        let texts = [
            ("issuer = ?", filter.issuer),
            ("role = ?", filter.role),
            ("requester = ?", filter.requester),
            ("left(key_id, 256) = left(?, 256) AND key_id = ?", filter.key_id),
            ("fingerprint = ?", filter.fingerprint),
            (
                "id IN (SELECT certificate FROM ssh_principals WHERE left(name, 256) = left(?, 256) AND name = ?)",
                filter.principal,
            ),
        ];
        for (condition, text) in texts {
            conditions.add_some(condition, text);
        }
        conditions.add_some("valid_before >= ?", filter.ends_from.map(microseconds));
        conditions.add_some("valid_before < ?", filter.ends_before.map(microseconds));
        conditions.add_some("is_host = ?", filter.kind.map(|kind| kind == SshCertificateKind::Host));
        conditions.add_some("serial > ?", page.after.map(|after| after.to_be_bytes().to_vec()));
        let sql = conditions.select(CERTIFICATES, "ORDER BY serial", page.limit);
        let found = self.readers.query(&sql, &conditions.values()).await?;
        found.iter().map(certificate).collect()
    }

    async fn ssh_last_end(&self, mount: String, issuer: String) -> Result<Option<Timestamp>, StoreError> {
        let sql = "SELECT max(valid_before) FROM ssh_certificates WHERE mount = $1 AND issuer = $2";
        let found = self.readers.query(sql, &[&mount, &issuer]).await?;
        let Some(row) = found.first() else { return Ok(None) };
        read::<Option<i64>>(row, 0)?.map(time).transpose()
    }

    async fn ssh_revocations(&self, mount: String, page: SshPage) -> Result<Vec<SshRevocation>, StoreError> {
        let sql = "SELECT id, mount, issuer, kind, target, requester, reason, revoked_at, expires_at
            FROM ssh_revocations WHERE mount = $1 AND id > $2 ORDER BY id LIMIT $3";
        let after = signed(page.after.unwrap_or(0));
        let found = self.readers.query(sql, &[&mount, &after, &limit(page.limit)]).await?;
        found.iter().map(revocation).collect()
    }
}
