//! Where the bytes lie: what a database must be able to do for the store, in ciphertext only.
//!
//! Nothing here assumes a single node: versions and the [`Sequence`] are given by the database inside the transaction, a
//! cache is invalidated by comparing sequences, and a lost race is a [`StoreError::Conflict`].
//!
//! One conformance list (`tests/conformance.rs`) runs on every implementation.

mod local_leases;
mod memory;
mod postgres;
mod sqlite;
mod ssh;

pub use memory::Memory;
pub use postgres::{DatabaseReport, Postgres, PostgresConfig, PostgresTls};
pub use sqlite::Sqlite;
pub use ssh::SshBackend;

use crate::{
    StoreError,
    inventory::{
        Certificate, CertificateChange, CertificateFilter, CertificateQuery, RevokedCertificate, RevokedPage,
        RevokedScope, SerialPage,
    },
    ssh_inventory::SshChange,
    view::Page,
};
use async_trait::async_trait;
use jiff::Timestamp;
use std::{collections::BTreeSet, time::Duration};

/// Number of a committed change set; grows by at least one with every commit, over all nodes. The version of an entry is
/// the sequence of the commit that wrote it, so a version never comes back, not even after delete and create.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sequence(pub u64);

/// An entry as it lies in the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEntry {
    /// The sequence of the commit that wrote it.
    pub version: u64,
    /// The sealed value.
    pub value: Vec<u8>,
    /// When it may be swept, in microseconds after the Unix epoch.
    pub expires_at: Option<i64>,
}

/// A record of the barrier (seal, keyring, counter) as it lies in the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRecord {
    /// The sequence of the commit that wrote it.
    pub version: u64,
    /// The bytes; the barrier knows how they are protected.
    pub value: Vec<u8>,
}

/// What must be true when a batch is applied; otherwise nothing of it is and the answer is `Conflict`.
#[derive(Debug, Clone)]
pub enum Expectation {
    /// No entry at this path.
    Absent {
        /// Path of the entry.
        path: String,
    },
    /// The entry at this path has this version.
    Version {
        /// Path of the entry.
        path: String,
        /// The version read before.
        version: u64,
    },
    /// The barrier's record has this version; `None` means that it does not exist.
    Record {
        /// Name of the record.
        name: &'static str,
        /// The version read before.
        version: Option<u64>,
    },
    /// The lease is still this holder's; otherwise the answer is `LeaseLost`.
    Lease {
        /// Name of the lease.
        name: &'static str,
        /// Who holds it.
        holder: String,
        /// Under which number.
        epoch: u64,
    },
}

/// The right to do what only one process may do at a time. Every takeover gives it a higher epoch, and what is committed
/// under one that was taken over is refused, so that a process that slept through its end can do no harm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobLease {
    /// What it is for.
    pub name: &'static str,
    /// Who holds it.
    pub holder: String,
    /// How often it changed hands.
    pub epoch: u64,
}

/// Where a follower of the change log stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FeedPosition {
    /// The last commit that was seen.
    pub(crate) sequence: u64,
    /// Its token: a database that lost commits counts on with the same numbers.
    pub(crate) token: Vec<u8>,
}

/// What other processes have committed.
#[derive(Debug, Clone, Default)]
pub struct ForeignChanges {
    /// Where to go on.
    pub position: FeedPosition,
    /// Anything may have changed: nothing that was read before can be trusted.
    pub everything: bool,
    /// Entries written or removed.
    pub paths: BTreeSet<String>,
    /// Views removed.
    pub prefixes: BTreeSet<String>,
    /// Records of the barrier written.
    pub records: BTreeSet<String>,
}

/// One step of a batch.
#[derive(Debug, Clone)]
pub enum Operation {
    /// Writes an entry.
    Put {
        /// Path of the entry.
        path: String,
        /// The sealed value.
        value: Vec<u8>,
        /// When it may be swept, in microseconds after the Unix epoch.
        expires_at: Option<i64>,
    },
    /// Removes an entry; nothing happens if there is none.
    Delete {
        /// Path of the entry.
        path: String,
    },
    /// Removes every entry whose path starts with the prefix.
    DeleteBelow {
        /// A view's name.
        prefix: String,
    },
    /// Writes a record of the barrier.
    PutRecord {
        /// Name of the record.
        name: &'static str,
        /// The bytes.
        value: Vec<u8>,
    },
    /// Changes the certificate inventory.
    Certificate(Box<CertificateChange>),
    /// Changes the SSH inventory.
    Ssh(Box<SshChange>),
}

/// One change set: all expectations are checked before the first operation, operations are applied in order, all or none.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// What must be true.
    pub expectations: Vec<Expectation>,
    /// What to do.
    pub operations: Vec<Operation>,
}

/// A database. Success of [`Backend::apply`] means durable.
#[async_trait]
pub trait Backend: SshBackend {
    /// Applies a batch atomically and durably.
    async fn apply(&self, batch: Batch) -> Result<Sequence, StoreError>;
    /// The sequence of the last commit.
    async fn sequence(&self) -> Result<Sequence, StoreError>;
    /// One entry.
    async fn read(&self, path: String) -> Result<Option<StoredEntry>, StoreError>;
    /// One record of the barrier.
    async fn read_record(&self, name: &'static str) -> Result<Option<StoredRecord>, StoreError>;
    /// The direct children below `prefix` (empty or ending in a slash) in byte order; deeper ones as `folder/`, once.
    async fn list(&self, prefix: String, page: Page) -> Result<Vec<String>, StoreError>;
    /// The paths below `prefix` in byte order, without the prefix.
    async fn keys(&self, prefix: String, page: Page) -> Result<Vec<String>, StoreError>;
    /// Paths below `prefix`, without it, that expired at or before the moment; the earliest first.
    async fn expired(&self, prefix: String, before: i64, limit: usize) -> Result<Vec<String>, StoreError>;
    /// One certificate.
    async fn certificate(&self, mount: String, serial: Vec<u8>) -> Result<Option<Certificate>, StoreError>;
    /// Serial numbers of the certificates issued by a mount, revoked ones too, in byte order.
    async fn serials(&self, mount: String, page: SerialPage) -> Result<Vec<Vec<u8>>, StoreError>;
    /// Serial numbers of a mount's revoked certificates, in byte order.
    async fn revoked_serials(&self, mount: String, page: SerialPage) -> Result<Vec<Vec<u8>>, StoreError>;
    /// An issuer's revoked certificates, by the sequence of the commit that revoked them, then by serial number. Whoever
    /// sees [`Backend::sequence`] at some number also sees every revocation up to it.
    async fn revoked(
        &self,
        mount: String,
        scope: RevokedScope,
        page: RevokedPage,
    ) -> Result<Vec<RevokedCertificate>, StoreError>;
    /// Certificates that pass the filter, sorted.
    async fn search(&self, query: CertificateQuery) -> Result<Vec<Certificate>, StoreError>;
    /// How many certificates pass the filter.
    async fn count(&self, filter: CertificateFilter) -> Result<u64, StoreError>;
    /// Whether other processes may write to it too.
    fn is_shared(&self) -> bool {
        false
    }
    /// What other processes committed behind the position; without one, only where the log stands.
    async fn changes_by_others(&self, since: Option<FeedPosition>) -> Result<ForeignChanges, StoreError> {
        let position = since.unwrap_or_default();
        Ok(ForeignChanges { position, ..ForeignChanges::default() })
    }
    /// Takes a lease that nobody holds, or renews it; `None` while somebody else has it.
    async fn claim_lease(
        &self,
        name: &'static str,
        holder: &str,
        term: Duration,
    ) -> Result<Option<JobLease>, StoreError>;
    /// Lets a lease go before its time.
    async fn release_lease(&self, lease: &JobLease) -> Result<(), StoreError>;
}

/// Microseconds after the Unix epoch, the precision of every time in the database.
pub(crate) fn microseconds(at: Timestamp) -> i64 {
    at.as_microsecond()
}

/// The first string that is greater than every string with this prefix (empty, or ending in a slash).
pub(crate) fn end_of(prefix: &str) -> String {
    match prefix.strip_suffix('/') {
        // `0` is the character after the slash.
        Some(folder) => format!("{folder}0"),
        None => format!("{prefix}\u{10FFFF}"),
    }
}
