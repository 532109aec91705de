//! A database that several processes share: PostgreSQL.
//!
//! One connection writes and commits many callers' change sets in one transaction (`writer.rs`, `group.rs`); a few others
//! read (`readers.rs`). Every commit leaves a row in the change log, which tells the other processes what to forget and
//! ourselves what became of a commit whose answer was lost (`feed.rs`, `outcome.rs`).
//!
//! | file | holds |
//! |---|---|
//! | `config.rs`, `tls.rs` | where, as whom, over what |
//! | `connector.rs`, `session.rs` | connections, their settings, prepared statements |
//! | `readers.rs`, `entries.rs`, `certificates.rs`, `ssh.rs`, `conditions.rs` | reading |
//! | `writer.rs`, `group.rs`, `steps.rs`, `outcome.rs` | writing |
//! | `feed.rs` | what others changed; leases of jobs |
//! | `schema.rs`, `migrations/` | tables |
//! | `failure.rs` | what an error means |

mod certificates;
mod conditions;
mod config;
mod connector;
mod entries;
mod failure;
mod feed;
mod group;
mod outcome;
mod readers;
mod schema;
mod session;
mod ssh;
mod steps;
mod tls;
mod writer;

pub use config::PostgresConfig;
pub use tls::PostgresTls;

use super::{Backend, Batch, FeedPosition, ForeignChanges, JobLease, Sequence, StoredEntry, StoredRecord};
use crate::{
    StoreError,
    inventory::{
        Certificate, CertificateFilter, CertificateQuery, RevokedCertificate, RevokedPage, RevokedScope, SerialPage,
    },
    view::Page,
};
use async_trait::async_trait;
use connector::Connector;
use readers::Readers;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio_postgres::{Error, Row};
use writer::Writer;

/// A database on a server.
pub struct Postgres {
    readers: Readers,
    writer: Writer,
    /// Who we are in the change log.
    node: [u8; 16],
}

impl Postgres {
    /// Opens the database, making or migrating its tables as needed.
    ///
    /// # Errors
    /// [`StoreError::Refused`] with what to do, [`StoreError::Unavailable`] if it cannot be reached,
    /// [`StoreError::NewerSchema`], [`StoreError::ForeignSchema`], or what the database said.
    pub async fn open(config: PostgresConfig) -> Result<Self, StoreError> {
        let mut node = [0; 16];
        getrandom::fill(&mut node).map_err(|error| StoreError::backend("getrandom", error))?;
        let connector = Arc::new(Connector::new(config.clone()));
        let first = connector.connect_by(Instant::now() + config.patience).await?;
        schema::migrate(&first, &config).await?;
        let second = connector.connect().await?;
        Ok(Self {
            readers: Readers::new(Arc::clone(&connector), config.readers, second),
            writer: Writer::start(connector, first, node),
            node,
        })
    }
}

/// What [`Postgres::examine`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseReport {
    /// The server's release, as it says it.
    pub server: String,
    /// The newest migration in the database; 0 where there are no tables yet.
    pub schema: i64,
    /// The newest migration this release knows.
    pub known: i64,
    /// How long connecting took.
    pub connected_in: Duration,
}

impl Postgres {
    /// Connects, looks, and changes nothing.
    ///
    /// # Errors
    /// See [`Postgres::open`].
    pub async fn examine(config: PostgresConfig) -> Result<DatabaseReport, StoreError> {
        let started = Instant::now();
        let session = session::Session::open(&config).await?;
        let connected_in = started.elapsed();
        let schema = schema::examine(&session, &config).await?;
        let found = session.client.query_one("SELECT current_setting('server_version')", &[]).await;
        let server = found.and_then(|row| row.try_get(0)).map_err(|error| failure::told("postgres SELECT", &error))?;
        Ok(DatabaseReport { server, schema, known: schema::known(), connected_in })
    }
}

/// Reads every row.
fn rows<T>(found: &[Row], read: impl FnMut(&Row) -> Result<T, Error>) -> Result<Vec<T>, StoreError> {
    found.iter().map(read).collect::<Result<_, _>>().map_err(|error| failure::told("postgres SELECT", &error))
}

#[async_trait]
impl Backend for Postgres {
    async fn apply(&self, batch: Batch) -> Result<Sequence, StoreError> {
        self.writer.apply(batch).await
    }

    async fn sequence(&self) -> Result<Sequence, StoreError> {
        entries::sequence(&self.readers).await
    }

    async fn read(&self, path: String) -> Result<Option<StoredEntry>, StoreError> {
        entries::read(&self.readers, &path).await
    }

    async fn read_record(&self, name: &'static str) -> Result<Option<StoredRecord>, StoreError> {
        entries::read_record(&self.readers, name).await
    }

    async fn list(&self, prefix: String, page: Page) -> Result<Vec<String>, StoreError> {
        entries::list(&self.readers, &prefix, &page).await
    }

    async fn keys(&self, prefix: String, page: Page) -> Result<Vec<String>, StoreError> {
        entries::keys(&self.readers, &prefix, &page).await
    }

    async fn expired(&self, prefix: String, before: i64, limit: usize) -> Result<Vec<String>, StoreError> {
        entries::expired(&self.readers, &prefix, before, limit).await
    }

    async fn certificate(&self, mount: String, serial: Vec<u8>) -> Result<Option<Certificate>, StoreError> {
        certificates::by_serial(&self.readers, &mount, &serial).await
    }

    async fn serials(&self, mount: String, page: SerialPage) -> Result<Vec<Vec<u8>>, StoreError> {
        certificates::serials(&self.readers, &mount, &page).await
    }

    async fn revoked_serials(&self, mount: String, page: SerialPage) -> Result<Vec<Vec<u8>>, StoreError> {
        certificates::revoked_serials(&self.readers, &mount, &page).await
    }

    async fn revoked(
        &self,
        mount: String,
        scope: RevokedScope,
        page: RevokedPage,
    ) -> Result<Vec<RevokedCertificate>, StoreError> {
        certificates::revoked(&self.readers, mount, scope, &page).await
    }

    async fn search(&self, query: CertificateQuery) -> Result<Vec<Certificate>, StoreError> {
        certificates::search(&self.readers, &query).await
    }

    async fn count(&self, filter: CertificateFilter) -> Result<u64, StoreError> {
        certificates::count(&self.readers, &filter).await
    }

    fn is_shared(&self) -> bool {
        true
    }

    async fn changes_by_others(&self, since: Option<FeedPosition>) -> Result<ForeignChanges, StoreError> {
        feed::since(&self.readers, &self.node, since).await
    }

    async fn claim_lease(
        &self,
        name: &'static str,
        holder: &str,
        term: Duration,
    ) -> Result<Option<JobLease>, StoreError> {
        feed::claim(&self.readers, name, holder, term).await
    }

    async fn release_lease(&self, lease: &JobLease) -> Result<(), StoreError> {
        feed::release(&self.readers, lease).await
    }
}
