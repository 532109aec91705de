//! The schema: numbered migrations, forward only, under an advisory lock, so that of several processes that start together
//! one migrates and the others wait for it.
//!
//! A migration that was shipped is never changed: its checksum stands in the database and in a test.

use super::{
    config::PostgresConfig,
    failure::{reason, told},
    session::Session,
};
use crate::StoreError;
use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;
use tokio_postgres::Error;

struct Migration {
    version: i64,
    sql: &'static str,
}

const MIGRATIONS: &[Migration] = &[
    Migration { version: 1, sql: include_str!("migrations/0001_entries_and_certificates.sql") },
    Migration { version: 2, sql: include_str!("migrations/0002_ssh_inventory.sql") },
];

/// Key of the advisory lock: `chancery` in ASCII.
const LOCK: i64 = 0x6368_616e_6365_7279;

impl Migration {
    fn checksum(&self) -> String {
        HEXLOWER.encode(digest(&SHA256, self.sql.as_bytes()).as_ref())
    }
}

/// The newest version this release knows.
pub(super) fn known() -> i64 {
    MIGRATIONS.last().map_or(0, |migration| migration.version)
}

/// Brings the database to the newest version this release knows. Refuses one of a newer release, or of one that shipped
/// something else under the same number, and then nothing is written.
pub(super) async fn migrate(session: &Session, config: &PostgresConfig) -> Result<(), StoreError> {
    let client = &session.client;
    client.batch_execute("BEGIN").await.map_err(failed("postgres BEGIN"))?;
    // Others may hold it for as long as their migration takes; a lock time-out would only make the start fail.
    let lock = format!(
        "SET LOCAL lock_timeout = '60s'; SET LOCAL statement_timeout = '10min'; SELECT pg_advisory_xact_lock({LOCK})"
    );
    let locked = client.batch_execute(&lock);
    locked.await.map_err(failed("postgres pg_advisory_xact_lock"))?;
    let outcome = migrate_locked(session, config).await;
    let end = if outcome.is_ok() { "COMMIT" } else { "ROLLBACK" };
    client.batch_execute(end).await.map_err(failed("postgres COMMIT"))?;
    outcome
}

/// The newest migration in the database, which this release must know.
pub(super) async fn examine(session: &Session, config: &PostgresConfig) -> Result<i64, StoreError> {
    let found = applied(session).await?;
    check(&found, config.name())?;
    Ok(found.last().map_or(0, |(version, _)| *version))
}

async fn migrate_locked(session: &Session, config: &PostgresConfig) -> Result<(), StoreError> {
    let client = &session.client;
    let found = applied(session).await?;
    check(&found, config.name())?;
    let last = found.last().map_or(0, |(version, _)| *version);
    if last == 0 {
        let create = "CREATE TABLE schema_version (version bigint PRIMARY KEY, checksum text NOT NULL)";
        client.batch_execute(create).await.map_err(|error| not_allowed(config, &error))?;
    }
    for migration in MIGRATIONS.iter().filter(|migration| migration.version > last) {
        client.batch_execute(migration.sql).await.map_err(|error| not_allowed(config, &error))?;
        client
            .execute(
                "INSERT INTO schema_version (version, checksum) VALUES ($1, $2)",
                &[&migration.version, &migration.checksum()],
            )
            .await
            .map_err(failed("postgres INSERT"))?;
    }
    Ok(())
}

fn check(found: &[(i64, String)], database: &str) -> Result<(), StoreError> {
    if let Some((newest, _)) = found.last().filter(|(newest, _)| *newest > known()) {
        return Err(StoreError::NewerSchema { database: database.to_owned(), found: *newest, known: known() });
    }
    for (version, checksum) in found {
        let ours = MIGRATIONS.iter().find(|migration| migration.version == *version);
        if ours.is_none_or(|migration| migration.checksum() != *checksum) {
            return Err(StoreError::ForeignSchema { database: database.to_owned(), version: *version });
        }
    }
    Ok(())
}

/// Migrations recorded in the database, oldest first.
async fn applied(session: &Session) -> Result<Vec<(i64, String)>, StoreError> {
    let client = &session.client;
    let exists = client.query_one("SELECT to_regclass('schema_version') IS NOT NULL", &[]).await;
    if !exists.and_then(|row| row.try_get::<_, bool>(0)).map_err(failed("postgres SELECT"))? {
        return Ok(Vec::new());
    }
    let rows = client.query("SELECT version, checksum FROM schema_version ORDER BY version", &[]).await;
    let rows = rows.map_err(failed("postgres SELECT"))?;
    let read = |row: &tokio_postgres::Row| Ok((row.try_get(0)?, row.try_get(1)?));
    rows.iter().map(read).collect::<Result<_, Error>>().map_err(failed("postgres SELECT"))
}

fn failed(call: &'static str) -> impl Fn(Error) -> StoreError {
    move |error| told(call, &error)
}

/// Tables cannot be made: most often the user may not.
fn not_allowed(config: &PostgresConfig, error: &Error) -> StoreError {
    if error.code().is_some_and(|code| code.code() == "42501") {
        return StoreError::Refused {
            database: config.name().to_owned(),
            detail: reason(error),
            fix: "make the user the owner of the database, or GRANT CREATE ON SCHEMA public TO it".to_owned(),
        };
    }
    told("postgres migration", error)
}

#[cfg(test)]
mod tests {
    use super::MIGRATIONS;

    /// Only ever add a line here: a database in the field has exactly these.
    const SHIPPED: &[(i64, &str)] = &[
        (1, "464a48d72d7b2f1d87af4a3fd9c26c0496d44d3eaad11cf2a30dc3134d7f7806"),
        (2, "6fc4bb2c0e37185cb14242edaaac6872ced511538134f2404dda731201596a86"),
    ];

    #[test]
    fn shipped_migrations_are_only_added_to() {
        let ours: Vec<_> = MIGRATIONS.iter().map(|migration| (migration.version, migration.checksum())).collect();
        let shipped: Vec<_> = SHIPPED.iter().map(|(version, sum)| (*version, (*sum).to_owned())).collect();
        assert_eq!(ours, shipped);
    }
}
