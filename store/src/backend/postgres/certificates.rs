//! The certificate inventory in PostgreSQL. Times are microseconds after the Unix epoch.

use super::{
    conditions::{Bound, Conditions},
    entries::{limit, unsigned},
    readers::Readers,
    rows,
    steps::{Step, Value, signed},
};
use crate::{
    StoreError,
    backend::microseconds,
    inventory::{
        Certificate, CertificateChange, CertificateFilter, CertificateIntent, CertificateOrder, CertificateQuery,
        CertificateState, Revocation, RevokedCertificate, RevokedPage, RevokedScope, SerialPage,
    },
};
use jiff::Timestamp;
use tokio_postgres::Row;

/// Adds the steps of a change. A certificate that is not in the state the change needs is a row that is not touched.
pub(super) fn apply<'b>(change: &'b CertificateChange, sequence: i64, steps: &mut Vec<Step<'b>>) {
    let place = |mount: &'b String, serial: &'b Vec<u8>| -> Vec<Value<'b>> {
        vec![Box::new(mount), Box::new(serial.as_slice())]
    };
    match change {
        CertificateChange::Intent(intent) => insert(intent, steps),
        CertificateChange::Issued { mount, serial, der } => {
            let sql = "UPDATE certificates SET state = 1, der = $3 WHERE mount = $1 AND serial = $2 AND state = 0";
            let mut values = place(mount, serial);
            values.push(Box::new(der.as_slice()));
            steps.push(Step::exactly(1, sql, values));
        }
        CertificateChange::Revoke { mount, serial, revocation } => {
            let sql = "UPDATE certificates
                SET state = 2, revoked_at = $3, revocation_reason = $4, revoked_sequence = $5
                WHERE mount = $1 AND serial = $2 AND state = 1";
            let mut values = place(mount, serial);
            values.push(Box::new(microseconds(revocation.at)));
            values.push(Box::new(i16::from(revocation.reason)));
            values.push(Box::new(sequence));
            steps.push(Step::exactly(1, sql, values));
        }
        CertificateChange::Abandon { mount, serial } => {
            let sql = "DELETE FROM certificates WHERE mount = $1 AND serial = $2 AND state = 0";
            steps.push(Step::exactly(1, sql, place(mount, serial)));
        }
        CertificateChange::Delete { mount, serial } => {
            let sql = "DELETE FROM certificates WHERE mount = $1 AND serial = $2";
            steps.push(Step::any(sql, place(mount, serial)));
        }
        CertificateChange::DeleteMount { mount } => {
            steps.push(Step::any("DELETE FROM certificates WHERE mount = $1", vec![Box::new(mount)]));
        }
    }
}

fn insert<'b>(intent: &'b CertificateIntent, steps: &mut Vec<Step<'b>>) {
    let sql = "INSERT INTO certificates (mount, serial, issuer, role, requester, common_name, key_type, not_before,
            not_after, created_at, shard, state, der)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 0, '') ON CONFLICT (mount, serial) DO NOTHING";
    steps.push(Step::exactly(
        1,
        sql,
        vec![
            Box::new(&intent.mount),
            Box::new(intent.serial.as_slice()),
            Box::new(&intent.issuer),
            Box::new(&intent.role),
            Box::new(&intent.requester),
            Box::new(&intent.common_name),
            Box::new(&intent.key_type),
            Box::new(microseconds(intent.not_before)),
            Box::new(microseconds(intent.not_after)),
            Box::new(microseconds(intent.created_at)),
            Box::new(i64::from(intent.shard)),
        ],
    ));
    if !intent.names.is_empty() {
        let sql = "INSERT INTO certificate_names (certificate, position, name)
            SELECT id, given.position, given.name FROM certificates, unnest($3::text[]) WITH ORDINALITY
                AS given (name, position) WHERE mount = $1 AND serial = $2";
        let values: Vec<Value<'b>> =
            vec![Box::new(&intent.mount), Box::new(intent.serial.as_slice()), Box::new(&intent.names)];
        steps.push(Step::any(sql, values));
    }
}

/// The columns [`certificate`] reads, in its order.
const CERTIFICATES: &str =
    "SELECT id, mount, serial, issuer, role, requester, common_name, key_type, not_before, not_after,
    created_at, state, der, revoked_at, revocation_reason,
    ARRAY(SELECT name FROM certificate_names WHERE certificate = id ORDER BY position), shard FROM certificates";

fn certificate(row: &Row) -> Result<Certificate, StoreError> {
    let intent = CertificateIntent {
        mount: read(row, 1)?,
        serial: read(row, 2)?,
        issuer: read(row, 3)?,
        role: read(row, 4)?,
        requester: read(row, 5)?,
        common_name: read(row, 6)?,
        names: read(row, 15)?,
        key_type: read(row, 7)?,
        not_before: time(row, 8)?,
        not_after: time(row, 9)?,
        created_at: time(row, 10)?,
        shard: u32::try_from(read::<i64>(row, 16)?).map_err(|_| damaged())?,
    };
    let state = match read::<i16>(row, 11)? {
        0 => CertificateState::Intent,
        1 => CertificateState::Issued,
        2 => CertificateState::Revoked,
        _ => return Err(damaged()),
    };
    let revocation = match state {
        CertificateState::Revoked => Some(revocation(row, 13)?),
        CertificateState::Intent | CertificateState::Issued => None,
    };
    Ok(Certificate { id: unsigned(read(row, 0)?), intent, state, der: read(row, 12)?, revocation })
}

fn read<'r, T: tokio_postgres::types::FromSql<'r>>(row: &'r Row, column: usize) -> Result<T, StoreError> {
    row.try_get(column).map_err(|error| super::failure::told("postgres SELECT", &error))
}

fn time(row: &Row, column: usize) -> Result<Timestamp, StoreError> {
    Timestamp::from_microsecond(read(row, column)?).map_err(|_| damaged())
}

/// When and why; the reason stands in the next column.
fn revocation(row: &Row, column: usize) -> Result<Revocation, StoreError> {
    let reason = u8::try_from(read::<i16>(row, column + 1)?).map_err(|_| damaged())?;
    Ok(Revocation { at: time(row, column)?, reason })
}

fn damaged() -> StoreError {
    StoreError::corrupt("certificate inventory")
}

pub(super) async fn by_serial(
    readers: &Readers,
    mount: &str,
    serial: &[u8],
) -> Result<Option<Certificate>, StoreError> {
    let sql = format!("{CERTIFICATES} WHERE mount = $1 AND serial = $2");
    let found = readers.query(&sql, &[&mount, &serial]).await?;
    found.first().map(certificate).transpose()
}

pub(super) async fn serials(readers: &Readers, mount: &str, page: &SerialPage) -> Result<Vec<Vec<u8>>, StoreError> {
    let sql =
        "SELECT serial FROM certificates WHERE mount = $1 AND serial > $2 AND state <> 0 ORDER BY serial LIMIT $3";
    let after = page.after.as_deref().unwrap_or_default();
    let found = readers.query(sql, &[&mount, &after, &limit(page.limit)]).await?;
    rows(&found, |row| row.try_get(0))
}

pub(super) async fn revoked_serials(
    readers: &Readers,
    mount: &str,
    page: &SerialPage,
) -> Result<Vec<Vec<u8>>, StoreError> {
    let sql = "SELECT serial FROM certificates WHERE mount = $1 AND serial > $2 AND state = 2 ORDER BY serial LIMIT $3";
    let after = page.after.as_deref().unwrap_or_default();
    let found = readers.query(sql, &[&mount, &after, &limit(page.limit)]).await?;
    rows(&found, |row| row.try_get(0))
}

pub(super) async fn revoked(
    readers: &Readers,
    mount: String,
    scope: RevokedScope,
    page: &RevokedPage,
) -> Result<Vec<RevokedCertificate>, StoreError> {
    // Serial numbers are never empty, so the first place behind a commit is before all of the next one.
    let since = (page.since.saturating_add(1), Vec::new());
    let (sequence, serial) = page.after.as_ref().filter(|after| **after > since).unwrap_or(&since);
    let mut conditions = Conditions::default();
    conditions.require("state = 2");
    conditions.add("mount = ?", mount);
    conditions.add("issuer = ?", scope.issuer);
    conditions.add_some("shard = ?", scope.shard.map(i64::from));
    conditions.add_row("(revoked_sequence, serial) >", vec![Box::new(signed(*sequence)), Box::new(serial.clone())]);
    let columns = "SELECT serial, revoked_at, revocation_reason, not_after, revoked_sequence FROM certificates";
    let sql = conditions.select(columns, "ORDER BY revoked_sequence, serial", page.limit);
    let found = readers.query(&sql, &conditions.values()).await?;
    let entry = |row: &Row| {
        let (revocation, sequence) = (revocation(row, 1)?, unsigned(read(row, 4)?));
        Ok(RevokedCertificate { serial: read(row, 0)?, revocation, not_after: time(row, 3)?, sequence })
    };
    found.iter().map(entry).collect()
}

fn conditions(filter: &CertificateFilter) -> Conditions {
    let mut conditions = Conditions::default();
    conditions.add("mount = ?", filter.mount.clone());
    let texts = [
        ("issuer = ?", &filter.issuer),
        ("role = ?", &filter.role),
        ("requester = ?", &filter.requester),
        ("common_name = ?", &filter.common_name),
        ("key_type = ?", &filter.key_type),
        (
            "id IN (SELECT certificate FROM certificate_names WHERE left(name, 256) = left(?, 256) AND name = ?)",
            &filter.name,
        ),
    ];
    for (condition, value) in texts {
        conditions.add_some(condition, value.clone());
    }
    conditions.add_some("not_after >= ?", filter.expires_from.map(microseconds));
    conditions.add_some("not_after < ?", filter.expires_before.map(microseconds));
    conditions.add_some("created_at < ?", filter.created_before.map(microseconds));
    // Written out, not bound: only so do the partial indexes apply.
    match filter.state {
        None => {}
        Some(CertificateState::Intent) => conditions.require("state = 0"),
        Some(CertificateState::Issued) => conditions.require("state = 1"),
        Some(CertificateState::Revoked) => conditions.require("state = 2"),
    }
    conditions
}

/// The columns a search is sorted by, each with the value behind which it starts.
fn places(query: &CertificateQuery) -> Vec<(&'static str, Option<Bound>)> {
    let after = query.after.as_ref();
    let text = |column| (column, after.map(|after| Box::new(after.key.clone()) as Bound));
    let first = match query.order {
        CertificateOrder::Created | CertificateOrder::Expiry => None,
        CertificateOrder::CommonName => Some(text("common_name")),
        CertificateOrder::Issuer => Some(text("issuer")),
        CertificateOrder::Role => Some(text("role")),
        CertificateOrder::Requester => Some(text("requester")),
        CertificateOrder::KeyType => Some(text("key_type")),
        CertificateOrder::State => {
            Some(("state", after.map(|after| Box::new(after.key.parse::<i16>().unwrap_or(0)) as Bound)))
        }
    };
    let end = ("not_after", after.map(|after| Box::new(microseconds(after.not_after)) as Bound));
    let id = ("id", after.map(|after| Box::new(signed(after.id)) as Bound));
    let end = (query.order != CertificateOrder::Created).then_some(end);
    first.into_iter().chain(end).chain([id]).collect()
}

pub(super) async fn search(readers: &Readers, query: &CertificateQuery) -> Result<Vec<Certificate>, StoreError> {
    let mut conditions = conditions(&query.filter);
    let (columns, values): (Vec<&str>, Vec<Option<Bound>>) = places(query).into_iter().unzip();
    let (sign, direction) = if query.descending { ("<", " DESC") } else { (">", "") };
    if query.after.is_some() {
        let row = format!("({}) {sign}", columns.join(", "));
        conditions.add_row(&row, values.into_iter().flatten().collect());
    }
    let order: Vec<String> = columns.iter().map(|column| format!("{column}{direction}")).collect();
    let sql = conditions.select(CERTIFICATES, &format!("ORDER BY {}", order.join(", ")), query.limit);
    let found = readers.query(&sql, &conditions.values()).await?;
    found.iter().map(certificate).collect()
}

pub(super) async fn count(readers: &Readers, filter: &CertificateFilter) -> Result<u64, StoreError> {
    let conditions = conditions(filter);
    let found = readers.query(&conditions.count("certificates"), &conditions.values()).await?;
    let counts: Vec<i64> = rows(&found, |row| row.try_get(0))?;
    Ok(counts.first().copied().map_or(0, unsigned))
}
