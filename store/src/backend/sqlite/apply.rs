//! Applying one batch inside the writer's transaction.

use super::{certificates, signed, ssh, unsigned};
use crate::backend::{Batch, Expectation, Operation, end_of};
use rusqlite::{Connection, OptionalExtension, params};

/// Whether everything the batch expects holds.
pub(super) fn expected(connection: &Connection, batch: &Batch) -> rusqlite::Result<bool> {
    for expectation in &batch.expectations {
        if !holds(connection, expectation)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Makes the changes; `false` where one cannot be made, and then the caller undoes those before it.
pub(super) fn operations(connection: &Connection, batch: &Batch, sequence: u64) -> rusqlite::Result<bool> {
    for operation in &batch.operations {
        if !apply(connection, operation, signed(sequence))? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn holds(connection: &Connection, expectation: &Expectation) -> rusqlite::Result<bool> {
    Ok(match expectation {
        Expectation::Absent { path } => entry_version(connection, path)?.is_none(),
        Expectation::Version { path, version } => entry_version(connection, path)? == Some(*version),
        Expectation::Record { name, version } => {
            let sql = "SELECT version FROM barrier_records WHERE name = ?1";
            let found = connection.prepare_cached(sql)?.query_row([name], |row| unsigned(0, row.get(0)?)).optional()?;
            found == *version
        }
        // Judged before it came here.
        Expectation::Lease { .. } => true,
    })
}

fn entry_version(connection: &Connection, path: &str) -> rusqlite::Result<Option<u64>> {
    let sql = "SELECT version FROM entries WHERE path = ?1";
    connection.prepare_cached(sql)?.query_row([path], |row| unsigned(0, row.get(0)?)).optional()
}

fn apply(connection: &Connection, operation: &Operation, version: i64) -> rusqlite::Result<bool> {
    match operation {
        Operation::Put { path, value, expires_at } => {
            let sql = "INSERT INTO entries (path, version, value, expires_at) VALUES (?1, ?2, ?3, ?4)
                ON CONFLICT (path) DO UPDATE SET version = ?2, value = ?3, expires_at = ?4";
            connection.prepare_cached(sql)?.execute(params![path, version, value, expires_at])?;
        }
        Operation::Delete { path } => {
            connection.prepare_cached("DELETE FROM entries WHERE path = ?1")?.execute([path])?;
        }
        Operation::DeleteBelow { prefix } => {
            let sql = "DELETE FROM entries WHERE path >= ?1 AND path < ?2";
            connection.prepare_cached(sql)?.execute(params![prefix, end_of(prefix)])?;
        }
        Operation::PutRecord { name, value } => {
            let sql = "INSERT INTO barrier_records (name, version, value) VALUES (?1, ?2, ?3)
                ON CONFLICT (name) DO UPDATE SET version = ?2, value = ?3";
            connection.prepare_cached(sql)?.execute(params![name, version, value])?;
        }
        Operation::Certificate(change) => return certificates::apply(connection, change, version),
        Operation::Ssh(change) => return ssh::apply(connection, change),
    }
    Ok(true)
}
