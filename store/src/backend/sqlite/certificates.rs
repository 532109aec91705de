//! The certificate inventory in SQL. Times are microseconds after the Unix epoch.

use super::{limit, signed, unsigned};
use crate::{
    backend::microseconds,
    inventory::{
        Certificate, CertificateChange, CertificateFilter, CertificateIntent, CertificatePage, CertificateState,
        ExpiryPage, Revocation, RevokedCertificate, SerialPage,
    },
};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params, params_from_iter, types::Value};

const INTENT: i64 = 0;
const ISSUED: i64 = 1;
const REVOKED: i64 = 2;

/// Applies a change; `false` if the certificate is not in the state the change needs.
pub(super) fn apply(connection: &Connection, change: &CertificateChange) -> rusqlite::Result<bool> {
    let changed = match change {
        CertificateChange::Intent(intent) => return insert(connection, intent),
        CertificateChange::Issued { mount, serial, der } => {
            let sql = "UPDATE certificates SET state = 1, der = ?3 WHERE mount = ?1 AND serial = ?2 AND state = 0";
            connection.prepare_cached(sql)?.execute(params![mount, serial, der])?
        }
        CertificateChange::Revoke { mount, serial, revocation } => {
            let sql = "UPDATE certificates SET state = 2, revoked_at = ?3, revocation_reason = ?4
                WHERE mount = ?1 AND serial = ?2 AND state = 1";
            let at = microseconds(revocation.at);
            connection.prepare_cached(sql)?.execute(params![mount, serial, at, revocation.reason])?
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
            not_after, created_at, state, der)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, 0, x'') ON CONFLICT (mount, serial) DO NOTHING";
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
             created_at, state, der, revoked_at, revocation_reason FROM certificates ",
            $rest
        )
    };
}

const SERIALS: &str = "SELECT serial FROM certificates WHERE mount = ?1 AND serial > ?2 AND state <> 0
        ORDER BY serial LIMIT ?3";
const REVOKED_OF_ISSUER: &str = "SELECT serial, revoked_at, revocation_reason, not_after FROM certificates
        WHERE mount = ?1 AND issuer = ?2 AND serial > ?3 AND state = 2 ORDER BY serial LIMIT ?4";
const EXPIRING: &str = select_certificates!(
    "WHERE mount = ?1 AND not_after < ?2 AND (not_after, id) > (?3, ?4) ORDER BY not_after, id LIMIT ?5"
);

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

pub(super) fn revoked(
    connection: &Connection,
    mount: &str,
    issuer: &str,
    page: &SerialPage,
) -> rusqlite::Result<Vec<RevokedCertificate>> {
    let mut statement = connection.prepare_cached(REVOKED_OF_ISSUER)?;
    let after = page.after.as_deref().unwrap_or_default();
    let rows = statement.query_map(params![mount, issuer, after, limit(page.limit)], |row| {
        let revocation = Revocation { at: time(row, 1)?, reason: row.get(2)? };
        Ok(RevokedCertificate { serial: row.get(0)?, revocation, not_after: time(row, 3)? })
    })?;
    rows.collect()
}

pub(super) fn expiring(
    connection: &Connection,
    mount: &str,
    before: Timestamp,
    page: ExpiryPage,
) -> rusqlite::Result<Vec<Certificate>> {
    let mut statement = connection.prepare_cached(EXPIRING)?;
    let (ended, id) = page.after.map_or((i64::MIN, -1), |(at, id)| (microseconds(at), signed(id)));
    let wanted = params![mount, microseconds(before), ended, id, limit(page.limit)];
    let rows = statement.query_map(wanted, certificate)?;
    rows.map(|row| row.and_then(|row| with_names(connection, row))).collect()
}

/// The conditions of a filter and their values.
#[derive(Default)]
struct Conditions {
    /// Which index, where the planner would not see that it is the best.
    index: &'static str,
    sql: String,
    values: Vec<Value>,
}

impl Conditions {
    fn require(&mut self, condition: &str) {
        self.sql.push_str(if self.sql.is_empty() { "WHERE " } else { " AND " });
        self.sql.push_str(condition);
    }

    fn add(&mut self, condition: &str, value: impl Into<Value>) {
        self.require(condition);
        self.values.push(value.into());
    }

    fn of(filter: &CertificateFilter) -> Self {
        let mut conditions = Self::default();
        let texts = [
            ("mount = ?", &filter.mount),
            ("issuer = ?", &filter.issuer),
            ("role = ?", &filter.role),
            ("requester = ?", &filter.requester),
            ("common_name = ?", &filter.common_name),
            ("id IN (SELECT certificate FROM certificate_names WHERE name = ?)", &filter.name),
        ];
        for (condition, value) in texts {
            if let Some(value) = value {
                conditions.add(condition, value.clone());
            }
        }
        let times = [
            ("not_after >= ?", filter.expires_from),
            ("not_after < ?", filter.expires_before),
            ("created_at < ?", filter.created_before),
        ];
        for (condition, at) in times {
            if let Some(at) = at {
                conditions.add(condition, microseconds(at));
            }
        }
        // Written out, not bound: only so do the partial indexes apply.
        match filter.state {
            None => {}
            Some(CertificateState::Intent) => {
                // Intents are few at any time, certificates are many.
                conditions.index = "INDEXED BY certificates_intended";
                conditions.require("state = 0");
            }
            Some(CertificateState::Issued) => conditions.require("state = 1"),
            Some(CertificateState::Revoked) => conditions.require("state = 2"),
        }
        conditions
    }
}

fn search_sql(conditions: &Conditions) -> String {
    format!("{} {} {} ORDER BY id LIMIT ?", select_certificates!(""), conditions.index, conditions.sql)
}

pub(super) fn search(
    connection: &Connection,
    filter: &CertificateFilter,
    page: CertificatePage,
) -> rusqlite::Result<Vec<Certificate>> {
    let mut conditions = Conditions::of(filter);
    if let Some(after) = page.after {
        conditions.add("id > ?", signed(after));
    }
    let sql = search_sql(&conditions);
    conditions.values.push(limit(page.limit).into());
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map(params_from_iter(conditions.values), certificate)?;
    rows.map(|row| row.and_then(|row| with_names(connection, row))).collect()
}

pub(super) fn count(connection: &Connection, filter: &CertificateFilter) -> rusqlite::Result<u64> {
    let conditions = Conditions::of(filter);
    let sql = format!("SELECT count(*) FROM certificates {} {}", conditions.index, conditions.sql);
    let mut statement = connection.prepare_cached(&sql)?;
    statement.query_row(params_from_iter(conditions.values), |row| unsigned(0, row.get(0)?))
}

#[cfg(test)]
mod tests {
    use super::{super::tests::migrated, Conditions, EXPIRING, REVOKED_OF_ISSUER, SERIALS, search_sql};
    use crate::{
        backend::sqlite::tests::plan,
        inventory::{CertificateFilter, CertificateState},
    };
    use jiff::Timestamp;

    #[test]
    fn every_list_walks_an_index() {
        let folder = tempfile::tempdir().unwrap();
        let database = migrated(&folder);
        for (sql, index) in [
            (SERIALS, "sqlite_autoindex_certificates_1"),
            (REVOKED_OF_ISSUER, "COVERING INDEX certificates_revoked"),
            (EXPIRING, "certificates_by_expiry"),
        ] {
            let steps = plan(&database, sql);
            assert!(steps.len() == 1 && steps[0].contains(index), "{sql}: {steps:?}");
        }
    }

    #[test]
    fn every_search_walks_an_index() {
        let folder = tempfile::tempdir().unwrap();
        let database = migrated(&folder);
        let none = CertificateFilter::default;
        let text = Some("x".to_owned());
        let at = Some(Timestamp::UNIX_EPOCH);
        let of_mount = || CertificateFilter { mount: text.clone(), ..none() };
        let (intent, revoked) = (Some(CertificateState::Intent), Some(CertificateState::Revoked));
        // Filter, index, and whether the index gives the order of creation, so that a page costs what it answers.
        let cases = [
            (of_mount(), "certificates_by_mount", true),
            (CertificateFilter { issuer: text.clone(), ..of_mount() }, "certificates_by_issuer", true),
            (CertificateFilter { role: text.clone(), ..of_mount() }, "certificates_by_role", true),
            (CertificateFilter { requester: text.clone(), ..none() }, "certificates_by_requester", true),
            (CertificateFilter { common_name: text.clone(), ..none() }, "certificates_by_common_name", true),
            (CertificateFilter { state: revoked, ..of_mount() }, "certificates_revoked_by_mount", true),
            (CertificateFilter { name: text.clone(), ..none() }, "certificate_names_by_name", true),
            (CertificateFilter { expires_from: at, expires_before: at, ..none() }, "certificates_by_end", false),
            (CertificateFilter { state: intent, created_before: at, ..none() }, "certificates_intended", false),
        ];
        for (filter, index, ordered) in cases {
            let steps = plan(&database, &search_sql(&Conditions::of(&filter)));
            assert!(steps.iter().any(|step| step.contains(index)), "{filter:?}: {steps:?}");
            assert!(!steps.iter().any(|step| step == "SCAN certificates"), "{filter:?}: {steps:?}");
            assert!(!ordered || !steps.iter().any(|step| step.contains("ORDER BY")), "{filter:?}: {steps:?}");
        }
    }
}
