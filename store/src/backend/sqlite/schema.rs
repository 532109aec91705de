//! The schema: numbered migrations, forward only.
//!
//! A migration that was shipped is never changed: its checksum stands in the database and in a test. A database that
//! knows a migration this release does not know is refused before anything is written.

use super::failed;
use crate::StoreError;
use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};
use std::path::Path;

struct Migration {
    version: i64,
    sql: &'static str,
}

const MIGRATIONS: &[Migration] = &[
    Migration { version: 1, sql: include_str!("migrations/0001_entries_and_certificates.sql") },
    Migration { version: 2, sql: include_str!("migrations/0002_ssh_inventory.sql") },
    Migration { version: 3, sql: include_str!("migrations/0003_inventory_orders_and_shards.sql") },
];

impl Migration {
    fn checksum(&self) -> String {
        HEXLOWER.encode(digest(&SHA256, self.sql.as_bytes()).as_ref())
    }
}

/// Refuses a database of a newer release, or of a release that shipped something else under the same number. Reads only.
pub(super) fn check(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let known = MIGRATIONS.last().map_or(0, |migration| migration.version);
    let found = applied(connection)?;
    if let Some((newest, _)) = found.last().filter(|(newest, _)| *newest > known) {
        return Err(StoreError::NewerSchema { database: path.display().to_string(), found: *newest, known });
    }
    for (version, checksum) in found {
        let ours = MIGRATIONS.iter().find(|migration| migration.version == version);
        if ours.is_none_or(|migration| migration.checksum() != checksum) {
            return Err(StoreError::ForeignSchema { database: path.display().to_string(), version });
        }
    }
    Ok(())
}

/// Brings the database to the newest version this release knows; [`check`] has passed.
pub(super) fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
    let create =
        "CREATE TABLE IF NOT EXISTS schema_version (version INTEGER PRIMARY KEY, checksum TEXT NOT NULL) STRICT";
    connection.execute_batch(create).map_err(failed("sqlite CREATE TABLE"))?;
    let last = applied(connection)?.last().map_or(0, |(version, _)| *version);
    for migration in MIGRATIONS.iter().filter(|migration| migration.version > last) {
        let transaction =
            connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed("sqlite BEGIN"))?;
        transaction.execute_batch(migration.sql).map_err(failed("sqlite migration"))?;
        transaction
            .execute(
                "INSERT INTO schema_version (version, checksum) VALUES (?1, ?2)",
                params![migration.version, migration.checksum()],
            )
            .map_err(failed("sqlite INSERT"))?;
        transaction.commit().map_err(failed("sqlite COMMIT"))?;
    }
    Ok(())
}

/// Migrations recorded in the database, oldest first.
fn applied(connection: &Connection) -> Result<Vec<(i64, String)>, StoreError> {
    let sql = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'schema_version'";
    let exists: Option<i64> =
        connection.query_row(sql, [], |row| row.get(0)).optional().map_err(failed("sqlite SELECT"))?;
    if exists.is_none() {
        return Ok(Vec::new());
    }
    let mut statement = connection
        .prepare("SELECT version, checksum FROM schema_version ORDER BY version")
        .map_err(failed("sqlite SELECT"))?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).map_err(failed("sqlite SELECT"))?;
    rows.collect::<Result<_, _>>().map_err(failed("sqlite SELECT"))
}

#[cfg(test)]
mod tests {
    use super::MIGRATIONS;

    /// Only ever add a line here: a database in the field has exactly these.
    const SHIPPED: &[(i64, &str)] = &[
        (1, "dfd93b18dc3807ee8bad3aae0a5b13df1c4924b6c43656ae9cb041a619d74b66"),
        (2, "5e1875cb6eae9fd928e7308714bce4b69f931f9b7f72a9cfaf2616f1d478d304"),
        (3, "fabd75df03342e6bf2c6a75c034f089257d8d1fca171beaab4c747202fe352d6"),
    ];

    #[test]
    fn shipped_migrations_are_only_added_to() {
        let ours: Vec<_> = MIGRATIONS.iter().map(|migration| (migration.version, migration.checksum())).collect();
        let shipped: Vec<_> = SHIPPED.iter().map(|(version, sum)| (*version, (*sum).to_owned())).collect();
        assert_eq!(ours, shipped);
    }
}
