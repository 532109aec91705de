//! The certificate inventory in SQL. Times are microseconds after the Unix epoch.

mod search;

pub(super) use search::{count, search};

use super::{limit, signed, unsigned};
use crate::{
    backend::microseconds,
    inventory::{
        Certificate, CertificateChange, CertificateIntent, CertificateState, Revocation, RevokedCertificate,
        RevokedPage, RevokedScope, SerialPage,
    },
};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

const INTENT: i64 = 0;
const ISSUED: i64 = 1;
const REVOKED: i64 = 2;

/// Applies a change, as part of the commit `sequence`; `false` if the certificate is not in the state the change needs.
pub(super) fn apply(connection: &Connection, change: &CertificateChange, sequence: i64) -> rusqlite::Result<bool> {
    let changed = match change {
        CertificateChange::Intent(intent) => return insert(connection, intent),
        CertificateChange::Issued { mount, serial, der } => {
            let sql = "UPDATE certificates SET state = 1, der = ?3 WHERE mount = ?1 AND serial = ?2 AND state = 0";
            connection.prepare_cached(sql)?.execute(params![mount, serial, der])?
        }
        CertificateChange::Revoke { mount, serial, revocation } => {
            let sql =
                "UPDATE certificates SET state = 2, revoked_at = ?3, revocation_reason = ?4, revoked_sequence = ?5
                WHERE mount = ?1 AND serial = ?2 AND state = 1";
            let at = microseconds(revocation.at);
            connection.prepare_cached(sql)?.execute(params![mount, serial, at, revocation.reason, sequence])?
        }
        CertificateChange::Abandon { mount, serial } => {
            let sql = "DELETE FROM certificates WHERE mount = ?1 AND serial = ?2 AND state = 0";
            connection.prepare_cached(sql)?.execute(params![mount, serial])?
        }
        CertificateChange::Delete { mount, serial } => {
            let sql = "DELETE FROM certificates WHERE mount = ?1 AND serial = ?2";
            connection.prepare_cached(sql)?.execute(params![mount, serial])?;
            return Ok(true);
        }
        CertificateChange::DeleteMount { mount } => {
            connection.prepare_cached("DELETE FROM certificates WHERE mount = ?1")?.execute([mount])?;
            return Ok(true);
        }
    };
    Ok(changed == 1)
}

fn insert(connection: &Connection, intent: &CertificateIntent) -> rusqlite::Result<bool> {
    let sql = "INSERT INTO certificates (mount, serial, issuer, role, requester, common_name, key_type, not_before,
            not_after, created_at, shard, state, der)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, 0, x'') ON CONFLICT (mount, serial) DO NOTHING";
    let inserted = connection.prepare_cached(sql)?.execute(params![
        intent.mount,
        intent.serial,
        intent.issuer,
        intent.role,
        intent.requester,
        intent.common_name,
        intent.key_type,
        microseconds(intent.not_before),
        microseconds(intent.not_after),
        microseconds(intent.created_at),
        intent.shard,
    ])?;
    if inserted == 0 {
        return Ok(false);
    }
    let id = connection.last_insert_rowid();
    let mut statement =
        connection.prepare_cached("INSERT INTO certificate_names (certificate, position, name) VALUES (?1, ?2, ?3)")?;
    for (position, name) in (0_i64..).zip(&intent.names) {
        statement.execute(params![id, position, name])?;
    }
    Ok(true)
}

/// The columns [`certificate`] reads, in its order.
macro_rules! select_certificates {
    ($rest:literal) => {
        concat!(
            "SELECT id, mount, serial, issuer, role, requester, common_name, key_type, not_before, not_after, \
             created_at, state, der, revoked_at, revocation_reason, shard FROM certificates ",
            $rest
        )
    };
}

const SERIALS: &str = "SELECT serial FROM certificates WHERE mount = ?1 AND serial > ?2 AND state <> 0
        ORDER BY serial LIMIT ?3";
const REVOKED_SERIALS: &str = "SELECT serial FROM certificates INDEXED BY certificates_revoked_by_serial
        WHERE mount = ?1 AND serial > ?2 AND state = 2 ORDER BY serial LIMIT ?3";
const REVOKED_OF_ISSUER: &str = "SELECT serial, revoked_at, revocation_reason, not_after, revoked_sequence
        FROM certificates INDEXED BY certificates_revoked_of_issuer
        WHERE mount = ?1 AND issuer = ?2 AND (revoked_sequence, serial) > (?3, ?4) AND state = 2
        ORDER BY revoked_sequence, serial LIMIT ?5";
const REVOKED_OF_SHARD: &str = "SELECT serial, revoked_at, revocation_reason, not_after, revoked_sequence
        FROM certificates INDEXED BY certificates_revoked_of_shard
        WHERE mount = ?1 AND issuer = ?2 AND (revoked_sequence, serial) > (?3, ?4) AND state = 2 AND shard = ?6
        ORDER BY revoked_sequence, serial LIMIT ?5";

fn certificate(row: &Row<'_>) -> rusqlite::Result<Certificate> {
    let intent = CertificateIntent {
        mount: row.get(1)?,
        serial: row.get(2)?,
        issuer: row.get(3)?,
        role: row.get(4)?,
        requester: row.get(5)?,
        common_name: row.get(6)?,
        names: Vec::new(),
        key_type: row.get(7)?,
        not_before: time(row, 8)?,
        not_after: time(row, 9)?,
        created_at: time(row, 10)?,
        shard: row.get(15)?,
    };
    let state = match row.get(11)? {
        INTENT => CertificateState::Intent,
        ISSUED => CertificateState::Issued,
        REVOKED => CertificateState::Revoked,
        other => return Err(rusqlite::Error::IntegralValueOutOfRange(11, other)),
    };
    let revocation = match state {
        CertificateState::Revoked => Some(Revocation { at: time(row, 13)?, reason: row.get(14)? }),
        CertificateState::Intent | CertificateState::Issued => None,
    };
    Ok(Certificate { id: unsigned(0, row.get(0)?)?, intent, state, der: row.get(12)?, revocation })
}

fn time(row: &Row<'_>, column: usize) -> rusqlite::Result<Timestamp> {
    let value = row.get(column)?;
    Timestamp::from_microsecond(value).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, value))
}

fn with_names(connection: &Connection, mut certificate: Certificate) -> rusqlite::Result<Certificate> {
    let sql = "SELECT name FROM certificate_names WHERE certificate = ?1 ORDER BY position";
    let mut statement = connection.prepare_cached(sql)?;
    let names = statement.query_map([signed(certificate.id)], |row| row.get(0))?;
    certificate.intent.names = names.collect::<Result<_, _>>()?;
    Ok(certificate)
}

pub(super) fn by_serial(connection: &Connection, mount: &str, serial: &[u8]) -> rusqlite::Result<Option<Certificate>> {
    let mut statement = connection.prepare_cached(select_certificates!("WHERE mount = ?1 AND serial = ?2"))?;
    let found = statement.query_row(params![mount, serial], certificate).optional()?;
    found.map(|found| with_names(connection, found)).transpose()
}

pub(super) fn serials(connection: &Connection, mount: &str, page: &SerialPage) -> rusqlite::Result<Vec<Vec<u8>>> {
    let mut statement = connection.prepare_cached(SERIALS)?;
    let after = page.after.as_deref().unwrap_or_default();
    statement.query_map(params![mount, after, limit(page.limit)], |row| row.get(0))?.collect()
}

/// The certificate with this id, unless it was deleted meanwhile.
fn by_id(connection: &Connection, id: i64) -> rusqlite::Result<Option<Certificate>> {
    let mut statement = connection.prepare_cached(select_certificates!("WHERE id = ?1"))?;
    let found = statement.query_row([id], certificate).optional()?;
    found.map(|found| with_names(connection, found)).transpose()
}

pub(super) fn revoked_serials(
    connection: &Connection,
    mount: &str,
    page: &SerialPage,
) -> rusqlite::Result<Vec<Vec<u8>>> {
    let mut statement = connection.prepare_cached(REVOKED_SERIALS)?;
    let after = page.after.as_deref().unwrap_or_default();
    statement.query_map(params![mount, after, limit(page.limit)], |row| row.get(0))?.collect()
}

pub(super) fn revoked(
    connection: &Connection,
    mount: &str,
    scope: &RevokedScope,
    page: &RevokedPage,
) -> rusqlite::Result<Vec<RevokedCertificate>> {
    // Serial numbers are never empty, so the first place behind a commit is before all of the next one.
    let since = (page.since.saturating_add(1), Vec::new());
    let (sequence, serial) = page.after.as_ref().filter(|after| **after > since).unwrap_or(&since);
    let (sequence, most) = (signed(*sequence), limit(page.limit));
    let read = |row: &Row<'_>| {
        let revocation = Revocation { at: time(row, 1)?, reason: row.get(2)? };
        let sequence = unsigned(4, row.get(4)?)?;
        Ok(RevokedCertificate { serial: row.get(0)?, revocation, not_after: time(row, 3)?, sequence })
    };
    match scope.shard {
        None => connection
            .prepare_cached(REVOKED_OF_ISSUER)?
            .query_map(params![mount, scope.issuer, sequence, serial, most], read)?
            .collect(),
        Some(shard) => connection
            .prepare_cached(REVOKED_OF_SHARD)?
            .query_map(params![mount, scope.issuer, sequence, serial, most, shard], read)?
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::migrated, REVOKED_OF_ISSUER, REVOKED_OF_SHARD, REVOKED_SERIALS, SERIALS};
    use crate::backend::sqlite::tests::plan;

    #[test]
    fn every_list_walks_an_index() {
        let folder = tempfile::tempdir().unwrap();
        let database = migrated(&folder);
        for (sql, index) in [
            (SERIALS, "sqlite_autoindex_certificates_1"),
            (REVOKED_SERIALS, "COVERING INDEX certificates_revoked_by_serial"),
            (REVOKED_OF_ISSUER, "COVERING INDEX certificates_revoked_of_issuer"),
            (REVOKED_OF_SHARD, "COVERING INDEX certificates_revoked_of_shard"),
        ] {
            let steps = plan(&database, sql);
            assert!(steps.len() == 1 && steps[0].contains(index), "{sql}: {steps:?}");
        }
    }
}
