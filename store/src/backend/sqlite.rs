//! The embedded database: SQLite in WAL mode with `synchronous=FULL`.
//!
//! One thread writes and commits many callers' change sets with one fsync (`writer.rs`); a few read-only connections read
//! beside it on the blocking pool (`readers.rs`); entries read or written lately are at hand (`cache.rs`). Nothing is memory-mapped: a failing disk must answer an error, not a
//! signal.

mod apply;
mod cache;
mod certificates;
mod entries;
mod files;
mod readers;
mod schema;
mod ssh;
mod writer;

use super::{Backend, Batch, JobLease, Sequence, StoredEntry, StoredRecord, local_leases::LocalLeases};
use crate::{
    StoreError,
    inventory::{
        Certificate, CertificateFilter, CertificateQuery, RevokedCertificate, RevokedPage, RevokedScope, SerialPage,
    },
    view::Page,
};
use async_trait::async_trait;
use cache::EntryCache;
use readers::Readers;
use rusqlite::{Connection, OpenFlags};
use std::{path::Path, sync::Arc, time::Duration};
use writer::Writer;

/// Releases before this one can, in rare races, overwrite a WAL that was just restarted.
const OLDEST_SQLITE: i32 = 3_051_003;

/// A database in a file.
pub struct Sqlite {
    readers: Readers,
    writer: Writer,
    entries: Arc<EntryCache>,
    leases: LocalLeases,
}

impl Sqlite {
    /// Opens the database, creating or migrating it as needed.
    ///
    /// # Errors
    /// [`StoreError::Locked`], [`StoreError::NewerSchema`], [`StoreError::ForeignSchema`], or what the system said.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        let path = path.to_owned();
        let opened = tokio::task::spawn_blocking(move || Self::open_blocking(&path)).await;
        opened.map_err(|error| StoreError::backend("open database", error))?
    }

    fn open_blocking(path: &Path) -> Result<Self, StoreError> {
        if rusqlite::version_number() < OLDEST_SQLITE {
            let detail = format!("version {} is too old, 3.51.3 is needed", rusqlite::version());
            return Err(StoreError::backend("sqlite3_libversion", detail));
        }
        let files = files::claim(path)?;
        let mut connection = connect(&files.database)?;
        schema::check(&connection, &files.database)?;
        prepare_writer(&connection)?;
        schema::migrate(&mut connection)?;
        let readers = Readers::open(&files.database)?;
        let entries = Arc::new(EntryCache::default());
        let writer = Writer::start(connection, files, Arc::clone(&entries))?;
        Ok(Self { readers, writer, entries, leases: LocalLeases::default() })
    }
}

impl Drop for Sqlite {
    /// Ends when the last group is committed and the lock is released, so that the database can be opened again at once.
    fn drop(&mut self) {
        // First the readers: whoever closes last checkpoints, and that must be the connection that may write.
        self.readers.close();
        self.writer.stop();
    }
}

/// A connection with what readers and the writer have in common.
fn connect(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)
        .map_err(|error| StoreError::backend("sqlite3_open_v2", format!("{}: {error}", path.display())))?;
    connection.busy_timeout(Duration::from_secs(5)).map_err(failed("sqlite3_busy_timeout"))?;
    connection.set_prepared_statement_cache_capacity(64);
    connection
        .execute_batch(
            "PRAGMA mmap_size = 0; PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; PRAGMA temp_store = MEMORY;",
        )
        .map_err(failed("sqlite PRAGMA"))?;
    Ok(connection)
}

/// WAL, and every commit on disk before it is acknowledged. Checkpoints are run by the writer itself, because SQLite's own
/// swallow the error of a failed fsync. The cache, 32 MiB at most, holds the inner pages of every index over a million
/// certificates: SQLite's usual 2 MiB would read them again for each new row.
fn prepare_writer(connection: &Connection) -> Result<(), StoreError> {
    let mode: String = connection
        .query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))
        .map_err(failed("sqlite PRAGMA journal_mode"))?;
    if mode != "wal" {
        return Err(StoreError::backend("sqlite PRAGMA journal_mode", format!("stays `{mode}`")));
    }
    connection
        .execute_batch("PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA wal_autocheckpoint = 0; PRAGMA cache_size = -32768;")
        .map_err(failed("sqlite PRAGMA"))
}

/// Names the call in front of what SQLite said.
fn failed(call: &'static str) -> impl Fn(rusqlite::Error) -> StoreError {
    move |error| StoreError::backend(call, error)
}

/// A number from the database that cannot be negative.
fn unsigned(column: usize, value: i64) -> rusqlite::Result<u64> {
    u64::try_from(value).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, value))
}

/// A number for the database.
fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// A limit for the database; none is -1.
fn limit(limit: Option<usize>) -> i64 {
    limit.map_or(-1, |limit| i64::try_from(limit).unwrap_or(i64::MAX))
}

#[async_trait]
impl Backend for Sqlite {
    async fn apply(&self, batch: Batch) -> Result<Sequence, StoreError> {
        self.leases.check(&batch)?;
        self.writer.apply(batch).await
    }

    async fn sequence(&self) -> Result<Sequence, StoreError> {
        self.readers.run(entries::sequence).await
    }

    async fn read(&self, path: String) -> Result<Option<StoredEntry>, StoreError> {
        let missing = match self.entries.find(&path) {
            Ok(entry) => return Ok(Some(entry)),
            Err(missing) => missing,
        };
        let read = move |connection: &Connection| Ok((entries::read(connection, &path)?, path));
        let (found, path) = self.readers.run(read).await?;
        if let Some(entry) = &found {
            self.entries.bring(&missing, path, entry);
        }
        Ok(found)
    }

    async fn read_record(&self, name: &'static str) -> Result<Option<StoredRecord>, StoreError> {
        self.readers.run(move |connection| entries::read_record(connection, name)).await
    }

    async fn list(&self, prefix: String, page: Page) -> Result<Vec<String>, StoreError> {
        self.readers.run(move |connection| entries::list(connection, &prefix, &page)).await
    }

    async fn keys(&self, prefix: String, page: Page) -> Result<Vec<String>, StoreError> {
        self.readers.run(move |connection| entries::keys(connection, &prefix, &page)).await
    }

    async fn expired(&self, prefix: String, before: i64, limit: usize) -> Result<Vec<String>, StoreError> {
        self.readers.run(move |connection| entries::expired(connection, &prefix, before, limit)).await
    }

    async fn certificate(&self, mount: String, serial: Vec<u8>) -> Result<Option<Certificate>, StoreError> {
        self.readers.run(move |connection| certificates::by_serial(connection, &mount, &serial)).await
    }

    async fn serials(&self, mount: String, page: SerialPage) -> Result<Vec<Vec<u8>>, StoreError> {
        self.readers.run(move |connection| certificates::serials(connection, &mount, &page)).await
    }

    async fn revoked_serials(&self, mount: String, page: SerialPage) -> Result<Vec<Vec<u8>>, StoreError> {
        self.readers.run(move |connection| certificates::revoked_serials(connection, &mount, &page)).await
    }

    async fn revoked(
        &self,
        mount: String,
        scope: RevokedScope,
        page: RevokedPage,
    ) -> Result<Vec<RevokedCertificate>, StoreError> {
        self.readers.run(move |connection| certificates::revoked(connection, &mount, &scope, &page)).await
    }

    async fn search(&self, query: CertificateQuery) -> Result<Vec<Certificate>, StoreError> {
        self.readers.run(move |connection| certificates::search(connection, &query)).await
    }

    async fn count(&self, filter: CertificateFilter) -> Result<u64, StoreError> {
        self.readers.run(move |connection| certificates::count(connection, &filter)).await
    }

    async fn claim_lease(
        &self,
        name: &'static str,
        holder: &str,
        term: Duration,
    ) -> Result<Option<JobLease>, StoreError> {
        Ok(self.leases.claim(name, holder, term))
    }

    async fn release_lease(&self, lease: &JobLease) -> Result<(), StoreError> {
        self.leases.release(lease);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{OLDEST_SQLITE, connect, prepare_writer, schema};
    use rusqlite::Connection;

    pub(in crate::backend::sqlite) fn migrated(folder: &tempfile::TempDir) -> Connection {
        let path = folder.path().join("test.db");
        std::fs::write(&path, "").unwrap();
        let mut connection = connect(&path).unwrap();
        prepare_writer(&connection).unwrap();
        schema::migrate(&mut connection).unwrap();
        connection
    }

    /// How SQLite will run a query.
    pub(in crate::backend::sqlite) fn plan(connection: &Connection, sql: &str) -> Vec<String> {
        let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let mut rows = statement.raw_query();
        let mut steps = Vec::new();
        while let Some(row) = rows.next().unwrap() {
            steps.push(row.get(3).unwrap());
        }
        steps
    }

    #[test]
    fn the_writer_waits_for_the_disk_and_maps_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let connection = migrated(&folder);
        let pragma = |name: &str| -> String {
            connection
                .query_row(&format!("SELECT CAST({name} AS TEXT) FROM pragma_{name}"), [], |row| row.get(0))
                .unwrap()
        };
        assert_eq!(pragma("journal_mode"), "wal");
        assert_eq!(pragma("synchronous"), "2", "FULL");
        assert_eq!(pragma("foreign_keys"), "1");
        let mmap = connection.query_row("PRAGMA mmap_size", [], |row| row.get::<_, i64>(0));
        assert!(mmap.is_err() || mmap == Ok(0));
        assert!(rusqlite::version_number() >= OLDEST_SQLITE);
    }
}
