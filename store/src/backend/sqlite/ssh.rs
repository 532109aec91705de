//! The SSH inventory in SQL. Times are microseconds after the Unix epoch, serial numbers eight bytes big-endian.

use super::{Sqlite, limit, signed, unsigned};
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
use rusqlite::{Connection, OptionalExtension, Row, params, params_from_iter, types::Value};

/// Applies a change; `false` if the state it needs is not there.
pub(super) fn apply(connection: &Connection, change: &SshChange) -> rusqlite::Result<bool> {
    match change {
        SshChange::Signed(certificate) => insert(connection, certificate),
        SshChange::Revoke(order) => revoke(connection, order).map(|()| true),
        SshChange::Restore { mount, id } => {
            let sql = "DELETE FROM ssh_revocations WHERE mount = ?1 AND id = ?2";
            Ok(connection.prepare_cached(sql)?.execute(params![mount, signed(*id)])? == 1)
        }
        SshChange::ForgetEnded { mount, before, limit: most } => {
            let sql = "DELETE FROM ssh_certificates WHERE id IN (SELECT id FROM ssh_certificates
                WHERE mount = ?1 AND valid_before < ?2 ORDER BY valid_before LIMIT ?3)";
            connection.prepare_cached(sql)?.execute(params![mount, microseconds(*before), limit(Some(*most))])?;
            Ok(true)
        }
        SshChange::ForgetRevocations { mount, before } => {
            let sql = "DELETE FROM ssh_revocations WHERE mount = ?1 AND expires_at < ?2";
            connection.prepare_cached(sql)?.execute(params![mount, microseconds(*before)])?;
            Ok(true)
        }
        SshChange::DeleteMount { mount } => {
            connection.prepare_cached("DELETE FROM ssh_certificates WHERE mount = ?1")?.execute([mount])?;
            connection.prepare_cached("DELETE FROM ssh_revocations WHERE mount = ?1")?.execute([mount])?;
            Ok(true)
        }
    }
}

fn insert(connection: &Connection, certificate: &SshCertificate) -> rusqlite::Result<bool> {
    let sql = "INSERT INTO ssh_certificates (mount, serial, issuer, is_host, key_id, role, requester, source, key_type,
            fingerprint, valid_after, valid_before, created_at, certificate)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14) ON CONFLICT (mount, serial) DO NOTHING";
    let inserted = connection.prepare_cached(sql)?.execute(params![
        certificate.mount,
        certificate.serial.to_be_bytes(),
        certificate.issuer,
        certificate.kind == SshCertificateKind::Host,
        certificate.key_id,
        certificate.role,
        certificate.requester,
        certificate.source,
        certificate.key_type,
        certificate.fingerprint,
        microseconds(certificate.valid_after),
        microseconds(certificate.valid_before),
        microseconds(certificate.created_at),
        certificate.certificate,
    ])?;
    if inserted == 0 {
        return Ok(false);
    }
    let id = connection.last_insert_rowid();
    let sql = "INSERT INTO ssh_principals (certificate, position, name) VALUES (?1, ?2, ?3)";
    let mut statement = connection.prepare_cached(sql)?;
    for (position, name) in (0_i64..).zip(&certificate.principals) {
        statement.execute(params![id, position, name])?;
    }
    Ok(true)
}

fn revoke(connection: &Connection, order: &SshRevocationOrder) -> rusqlite::Result<()> {
    let (kind, target) = match &order.target {
        SshRevocationTarget::Serials { first, last } => (0, [first.to_be_bytes(), last.to_be_bytes()].concat()),
        SshRevocationTarget::KeyId(id) => (1, id.as_bytes().to_vec()),
        SshRevocationTarget::Key(key) => (2, key.clone()),
        SshRevocationTarget::Fingerprint(hash) => (3, hash.clone()),
    };
    let sql = "INSERT INTO ssh_revocations (mount, issuer, kind, target, requester, reason, revoked_at, expires_at)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    connection.prepare_cached(sql)?.execute(params![
        order.mount,
        order.issuer,
        kind,
        target,
        order.requester,
        order.reason,
        microseconds(order.at),
        order.expires_at.map(microseconds),
    ])?;
    Ok(())
}

/// The columns [`certificate`] reads, in its order.
macro_rules! select_certificates {
    ($rest:literal) => {
        concat!(
            "SELECT id, mount, serial, issuer, is_host, key_id, role, requester, source, key_type, fingerprint, \
             valid_after, valid_before, created_at, certificate FROM ssh_certificates ",
            $rest
        )
    };
}

const LAST_END: &str = "SELECT max(valid_before) FROM ssh_certificates WHERE mount = ?1 AND issuer = ?2";
const REVOCATIONS: &str = "SELECT id, mount, issuer, kind, target, requester, reason, revoked_at, expires_at
        FROM ssh_revocations WHERE mount = ?1 AND id > ?2 ORDER BY id LIMIT ?3";

fn certificate(row: &Row<'_>) -> rusqlite::Result<(i64, SshCertificate)> {
    let certificate = SshCertificate {
        mount: row.get(1)?,
        serial: u64::from_be_bytes(row.get(2)?),
        issuer: row.get(3)?,
        kind: if row.get(4)? { SshCertificateKind::Host } else { SshCertificateKind::User },
        key_id: row.get(5)?,
        principals: Vec::new(),
        role: row.get(6)?,
        requester: row.get(7)?,
        source: row.get(8)?,
        key_type: row.get(9)?,
        fingerprint: row.get(10)?,
        valid_after: time(11, row.get(11)?)?,
        valid_before: time(12, row.get(12)?)?,
        created_at: time(13, row.get(13)?)?,
        certificate: row.get(14)?,
    };
    Ok((row.get(0)?, certificate))
}

fn time(column: usize, value: i64) -> rusqlite::Result<Timestamp> {
    Timestamp::from_microsecond(value).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, value))
}

fn with_principals(connection: &Connection, (id, mut row): (i64, SshCertificate)) -> rusqlite::Result<SshCertificate> {
    let sql = "SELECT name FROM ssh_principals WHERE certificate = ?1 ORDER BY position";
    let mut statement = connection.prepare_cached(sql)?;
    row.principals = statement.query_map([id], |row| row.get(0))?.collect::<Result<_, _>>()?;
    Ok(row)
}

fn revocation(row: &Row<'_>) -> rusqlite::Result<SshRevocation> {
    let kind: i64 = row.get(3)?;
    let target: Vec<u8> = row.get(4)?;
    let unreadable = || rusqlite::Error::IntegralValueOutOfRange(3, kind);
    let target = match kind {
        0 => {
            let (first, last) = target.split_first_chunk::<8>().ok_or_else(unreadable)?;
            let last = last.first_chunk::<8>().ok_or_else(unreadable)?;
            SshRevocationTarget::Serials { first: u64::from_be_bytes(*first), last: u64::from_be_bytes(*last) }
        }
        1 => SshRevocationTarget::KeyId(String::from_utf8(target).map_err(|_| unreadable())?),
        2 => SshRevocationTarget::Key(target),
        _ => SshRevocationTarget::Fingerprint(target),
    };
    let order = SshRevocationOrder {
        mount: row.get(1)?,
        issuer: row.get(2)?,
        target,
        requester: row.get(5)?,
        reason: row.get(6)?,
        at: time(7, row.get(7)?)?,
        expires_at: row.get::<_, Option<i64>>(8)?.map(|at| time(8, at)).transpose()?,
    };
    Ok(SshRevocation { id: unsigned(0, row.get(0)?)?, order })
}

/// The text of a search and its values.
fn search_sql(mount: String, filter: SshFilter, page: SshPage) -> (String, Vec<Value>) {
    let mut sql = select_certificates!("WHERE mount = ?").to_owned();
    let mut values = vec![Value::Text(mount)];
    let texts = [
        ("issuer = ?", filter.issuer),
        ("role = ?", filter.role),
        ("requester = ?", filter.requester),
        ("key_id = ?", filter.key_id),
        ("fingerprint = ?", filter.fingerprint),
        ("id IN (SELECT certificate FROM ssh_principals WHERE name = ?)", filter.principal),
    ];
    let times = [("valid_before >= ?", filter.ends_from), ("valid_before < ?", filter.ends_before)];
    let mut conditions: Vec<(&str, Value)> =
        texts.into_iter().filter_map(|(condition, text)| Some((condition, Value::Text(text?)))).collect();
    conditions.extend(times.into_iter().filter_map(|(condition, at)| Some((condition, microseconds(at?).into()))));
    if let Some(kind) = filter.kind {
        conditions.push(("is_host = ?", Value::Integer(i64::from(kind == SshCertificateKind::Host))));
    }
    if let Some(after) = page.after {
        conditions.push(("serial > ?", Value::Blob(after.to_be_bytes().to_vec())));
    }
    for (condition, value) in conditions {
        sql.push_str(" AND ");
        sql.push_str(condition);
        values.push(value);
    }
    sql.push_str(" ORDER BY serial LIMIT ?");
    values.push(limit(page.limit).into());
    (sql, values)
}

#[async_trait]
impl SshBackend for Sqlite {
    async fn ssh_certificate(&self, mount: String, serial: u64) -> Result<Option<SshCertificate>, StoreError> {
        let read = move |connection: &Connection| {
            let mut statement = connection.prepare_cached(select_certificates!("WHERE mount = ?1 AND serial = ?2"))?;
            let found = statement.query_row(params![mount, serial.to_be_bytes()], certificate).optional()?;
            found.map(|found| with_principals(connection, found)).transpose()
        };
        self.readers.run(read).await
    }

    async fn ssh_search(
        &self,
        mount: String,
        filter: SshFilter,
        page: SshPage,
    ) -> Result<Vec<SshCertificate>, StoreError> {
        let (sql, values) = search_sql(mount, filter, page);
        let read = move |connection: &Connection| {
            let mut statement = connection.prepare_cached(&sql)?;
            let rows = statement.query_map(params_from_iter(&values), certificate)?;
            rows.map(|row| row.and_then(|row| with_principals(connection, row))).collect()
        };
        self.readers.run(read).await
    }

    async fn ssh_last_end(&self, mount: String, issuer: String) -> Result<Option<Timestamp>, StoreError> {
        let read = move |connection: &Connection| {
            let mut statement = connection.prepare_cached(LAST_END)?;
            let end: Option<i64> = statement.query_row([&mount, &issuer], |row| row.get(0))?;
            end.map(|end| time(0, end)).transpose()
        };
        self.readers.run(read).await
    }

    async fn ssh_revocations(&self, mount: String, page: SshPage) -> Result<Vec<SshRevocation>, StoreError> {
        let read = move |connection: &Connection| {
            let mut statement = connection.prepare_cached(REVOCATIONS)?;
            let after = signed(page.after.unwrap_or(0));
            let rows = statement.query_map(params![mount, after, limit(page.limit)], revocation)?;
            rows.collect()
        };
        self.readers.run(read).await
    }
}

#[cfg(test)]
mod tests {
    use super::{LAST_END, REVOCATIONS, search_sql};
    use crate::{
        backend::sqlite::tests::{migrated, plan},
        ssh_inventory::{SshFilter, SshPage},
    };
    use jiff::Timestamp;

    #[test]
    fn every_ssh_read_walks_an_index() {
        let folder = tempfile::tempdir().unwrap();
        let database = migrated(&folder);
        let text = Some("x".to_owned());
        let cases = [
            (SshFilter::default(), "sqlite_autoindex_ssh_certificates_1", true),
            (SshFilter { role: text.clone(), ..SshFilter::default() }, "ssh_certificates_by_role", true),
            (SshFilter { requester: text.clone(), ..SshFilter::default() }, "ssh_certificates_by_requester", true),
            (SshFilter { key_id: text.clone(), ..SshFilter::default() }, "ssh_certificates_by_key_id", true),
            (SshFilter { fingerprint: text.clone(), ..SshFilter::default() }, "ssh_certificates_by_fingerprint", true),
            (SshFilter { issuer: text.clone(), ..SshFilter::default() }, "", false),
            (SshFilter { principal: text.clone(), ..SshFilter::default() }, "ssh_principals_by_name", false),
            (SshFilter { ends_before: Some(Timestamp::UNIX_EPOCH), ..SshFilter::default() }, "", false),
        ];
        for (filter, index, ordered) in cases {
            let steps = plan(&database, &search_sql("m".to_owned(), filter.clone(), SshPage::default()).0);
            assert!(steps.iter().any(|step| step.contains(index)), "{filter:?}: {steps:?}");
            assert!(!steps.iter().any(|step| step == "SCAN ssh_certificates"), "{filter:?}: {steps:?}");
            assert!(!ordered || !steps.iter().any(|step| step.contains("ORDER BY")), "{filter:?}: {steps:?}");
        }
        let steps = plan(&database, LAST_END);
        assert!(steps.iter().any(|step| step.contains("ssh_certificates_by_issuer")), "{steps:?}");
        let steps = plan(&database, REVOCATIONS);
        assert!(steps.len() == 1 && steps[0].contains("ssh_revocations_by_mount"), "{steps:?}");
    }
}
