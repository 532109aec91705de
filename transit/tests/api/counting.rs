//! A store in memory that counts what is asked of it and fails on demand.

use async_trait::async_trait;
use chancery_store::{
    Certificate, CertificateFilter, CertificateQuery, Page, RevokedCertificate, RevokedPage, RevokedScope, Sequence,
    SerialPage, SshCertificate, SshFilter, SshPage, SshRevocation, StoreError,
    backend::{Backend, Batch, JobLease, Memory, SshBackend, StoredEntry, StoredRecord},
};
use jiff::Timestamp;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

pub(crate) struct Counting {
    inner: Memory,
    reads: AtomicUsize,
    lists: AtomicUsize,
    commits: AtomicUsize,
    /// Commits that are still done; the ones after them fail, and nothing is written.
    pub(crate) left: AtomicUsize,
    /// Commits are written, but the caller is told that they failed, as when the process dies before it hears.
    pub(crate) forgets: AtomicBool,
}

impl Counting {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            inner: Memory::default(),
            reads: AtomicUsize::new(0),
            lists: AtomicUsize::new(0),
            commits: AtomicUsize::new(0),
            left: AtomicUsize::new(usize::MAX),
            forgets: AtomicBool::new(false),
        })
    }

    /// Reads, lists and commits since the last call.
    pub(crate) fn take(&self) -> (usize, usize, usize) {
        (self.reads.swap(0, SeqCst), self.lists.swap(0, SeqCst), self.commits.swap(0, SeqCst))
    }
}

fn broken() -> StoreError {
    StoreError::Corrupt { place: "the disk".to_owned() }
}

#[async_trait]
impl Backend for Counting {
    async fn apply(&self, batch: Batch) -> Result<Sequence, StoreError> {
        self.commits.fetch_add(1, SeqCst);
        if self.left.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_err() {
            return Err(broken());
        }
        let sequence = self.inner.apply(batch).await?;
        if self.forgets.load(SeqCst) { Err(broken()) } else { Ok(sequence) }
    }

    async fn sequence(&self) -> Result<Sequence, StoreError> {
        self.inner.sequence().await
    }

    async fn read(&self, path: String) -> Result<Option<StoredEntry>, StoreError> {
        self.reads.fetch_add(1, SeqCst);
        self.inner.read(path).await
    }

    async fn read_record(&self, name: &'static str) -> Result<Option<StoredRecord>, StoreError> {
        self.inner.read_record(name).await
    }

    async fn list(&self, prefix: String, page: Page) -> Result<Vec<String>, StoreError> {
        self.lists.fetch_add(1, SeqCst);
        self.inner.list(prefix, page).await
    }

    async fn keys(&self, prefix: String, page: Page) -> Result<Vec<String>, StoreError> {
        self.lists.fetch_add(1, SeqCst);
        self.inner.keys(prefix, page).await
    }

    async fn expired(&self, prefix: String, before: i64, limit: usize) -> Result<Vec<String>, StoreError> {
        self.inner.expired(prefix, before, limit).await
    }

    async fn certificate(&self, mount: String, serial: Vec<u8>) -> Result<Option<Certificate>, StoreError> {
        self.inner.certificate(mount, serial).await
    }

    async fn serials(&self, mount: String, page: SerialPage) -> Result<Vec<Vec<u8>>, StoreError> {
        self.inner.serials(mount, page).await
    }

    async fn revoked_serials(&self, mount: String, page: SerialPage) -> Result<Vec<Vec<u8>>, StoreError> {
        self.inner.revoked_serials(mount, page).await
    }

    async fn revoked(
        &self,
        mount: String,
        scope: RevokedScope,
        page: RevokedPage,
    ) -> Result<Vec<RevokedCertificate>, StoreError> {
        self.inner.revoked(mount, scope, page).await
    }

    async fn search(&self, query: CertificateQuery) -> Result<Vec<Certificate>, StoreError> {
        self.inner.search(query).await
    }

    async fn count(&self, filter: CertificateFilter) -> Result<u64, StoreError> {
        self.inner.count(filter).await
    }

    async fn claim_lease(
        &self,
        name: &'static str,
        holder: &str,
        term: Duration,
    ) -> Result<Option<JobLease>, StoreError> {
        self.inner.claim_lease(name, holder, term).await
    }

    async fn release_lease(&self, lease: &JobLease) -> Result<(), StoreError> {
        self.inner.release_lease(lease).await
    }
}

#[async_trait]
impl SshBackend for Counting {
    async fn ssh_certificate(&self, mount: String, serial: u64) -> Result<Option<SshCertificate>, StoreError> {
        self.inner.ssh_certificate(mount, serial).await
    }

    async fn ssh_search(
        &self,
        mount: String,
        filter: SshFilter,
        page: SshPage,
    ) -> Result<Vec<SshCertificate>, StoreError> {
        self.inner.ssh_search(mount, filter, page).await
    }

    async fn ssh_last_end(&self, mount: String, issuer: String) -> Result<Option<Timestamp>, StoreError> {
        self.inner.ssh_last_end(mount, issuer).await
    }

    async fn ssh_revocations(&self, mount: String, page: SshPage) -> Result<Vec<SshRevocation>, StoreError> {
        self.inner.ssh_revocations(mount, page).await
    }
}
