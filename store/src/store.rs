//! The face of the crate: opening a database, committing change sets, retrying lost races.

use crate::{
    Barrier, Certificates, Changes, Sequence, SshInventory, StoreError, View,
    backend::{Backend, Expectation, FeedPosition, ForeignChanges, JobLease, Memory, Postgres, PostgresConfig, Sqlite},
};
use jiff::Timestamp;
use std::{path::Path, sync::Arc, time::Duration};

/// Where "now" comes from.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// How often [`Store::transact`] tries before it gives the conflict to the caller.
const ATTEMPTS: u32 = 100;

/// How many of the first attempts follow each other without a pause.
const EAGER_ATTEMPTS: u32 = 4;

tokio::task_local! {
    /// The lease under which the present task works.
    static LEASE: JobLease;
}

/// Runs a job: whatever it commits is refused with [`StoreError::LeaseLost`] once another process holds the lease. What
/// the job spawns is to be wrapped again.
pub async fn under_lease<F: Future>(lease: JobLease, job: F) -> F::Output {
    LEASE.scope(lease, job).await
}

/// A sealed store. Cheap to clone; the last clone dropped closes the database.
#[derive(Clone)]
pub struct Store {
    backend: Arc<dyn Backend>,
    barrier: Barrier,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").finish_non_exhaustive()
    }
}

impl Store {
    /// The store in an SQLite database, created or migrated as needed.
    ///
    /// # Errors
    /// [`StoreError::Locked`] if another process has it open, [`StoreError::NewerSchema`] if a newer release wrote it, or
    /// what the system said.
    pub async fn sqlite(path: &Path, clock: Clock) -> Result<Self, StoreError> {
        Self::on(Arc::new(Sqlite::open(path).await?), clock).await
    }

    /// The store in a PostgreSQL database that other processes may use too; its tables are made or migrated as needed.
    ///
    /// # Errors
    /// [`StoreError::Refused`] with what to do, [`StoreError::Unavailable`], [`StoreError::NewerSchema`], or what the
    /// database said.
    pub async fn postgres(config: PostgresConfig, clock: Clock) -> Result<Self, StoreError> {
        Self::on(Arc::new(Postgres::open(config).await?), clock).await
    }

    /// An empty store in memory, gone when it is dropped.
    ///
    /// # Errors
    /// None in practice; the signature is that of the other backends.
    pub async fn memory() -> Result<Self, StoreError> {
        Self::on(Arc::new(Memory::default()), Arc::new(Timestamp::now)).await
    }

    /// A store on any backend.
    ///
    /// # Errors
    /// The database's failure, or [`StoreError::Corrupt`] if the seal's record cannot be read.
    pub async fn on(backend: Arc<dyn Backend>, clock: Clock) -> Result<Self, StoreError> {
        let barrier = Barrier::load(backend.clone(), clock).await?;
        Ok(Self { backend, barrier })
    }

    /// The barrier: state, seal, unseal, rotation.
    #[must_use]
    pub fn barrier(&self) -> &Barrier {
        &self.barrier
    }

    /// The part of the store below a name such as `sys/policy/`.
    #[must_use]
    pub fn view(&self, name: &str) -> View {
        View::new(self.clone(), name)
    }

    /// The certificate inventory.
    #[must_use]
    pub fn certificates(&self) -> Certificates {
        Certificates::new(self.clone())
    }

    /// The SSH inventory: certificates signed, revocations.
    #[must_use]
    pub fn ssh(&self) -> SshInventory {
        SshInventory::new(self.clone())
    }

    /// The sequence of the last commit by any node: a cache older than this may be stale.
    ///
    /// # Errors
    /// The database's failure.
    pub async fn sequence(&self) -> Result<Sequence, StoreError> {
        self.backend.sequence().await
    }

    /// Whether other processes may use the same database, so that what was read may be changed by them.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.backend.is_shared()
    }

    /// What other processes committed behind the position; without one, only where to begin.
    ///
    /// # Errors
    /// The database's failure.
    pub async fn changes_by_others(&self, since: Option<FeedPosition>) -> Result<ForeignChanges, StoreError> {
        self.backend.changes_by_others(since).await
    }

    /// Takes the lease of a job, or renews it; `None` while another process has it.
    ///
    /// # Errors
    /// The database's failure.
    pub async fn claim_lease(
        &self,
        name: &'static str,
        holder: &str,
        term: Duration,
    ) -> Result<Option<JobLease>, StoreError> {
        self.backend.claim_lease(name, holder, term).await
    }

    /// Lets a lease go, so that another process need not wait for its end.
    ///
    /// # Errors
    /// The database's failure.
    pub async fn release_lease(&self, lease: &JobLease) -> Result<(), StoreError> {
        self.backend.release_lease(lease).await
    }

    /// Applies the changes atomically; on return they are durable.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] if an expectation does not hold (nothing was written), [`StoreError::Sealed`],
    /// [`StoreError::OutcomeUnknown`], or the database's failure (nothing was acknowledged).
    pub async fn commit(&self, changes: Changes) -> Result<Sequence, StoreError> {
        self.barrier.unsealed()?;
        if changes.is_empty() {
            return self.backend.sequence().await;
        }
        let mut batch = changes.seal(&self.barrier).await?;
        if let Ok(JobLease { name, holder, epoch }) = LEASE.try_with(Clone::clone) {
            batch.expectations.push(Expectation::Lease { name, holder, epoch });
        }
        self.backend.apply(batch).await
    }

    /// Runs `attempt`, which reads and computes, and commits its changes; starts over when another caller was faster.
    ///
    /// # Errors
    /// What `attempt` answers, and what [`Store::commit`] answers; `Conflict` only after many attempts.
    pub async fn transact<T, E, F, Fut>(&self, name: &'static str, attempt: F) -> Result<T, E>
    where
        F: Fn() -> Fut,
        Fut: Future<Output = Result<(Changes, T), E>>,
        E: From<StoreError>,
    {
        self.transact_at(name, attempt).await.map(|(_, outcome)| outcome)
    }

    /// Like [`Store::transact`], with the sequence of the commit.
    ///
    /// # Errors
    /// Those of [`Store::transact`].
    pub async fn transact_at<T, E, F, Fut>(&self, name: &'static str, attempt: F) -> Result<(Sequence, T), E>
    where
        F: Fn() -> Fut,
        Fut: Future<Output = Result<(Changes, T), E>>,
        E: From<StoreError>,
    {
        let mut tried = 0;
        loop {
            let (changes, outcome) = attempt().await?;
            match self.commit(changes).await {
                Ok(at) => return Ok((at, outcome)),
                Err(StoreError::Conflict) if tried < ATTEMPTS => {
                    tried += 1;
                    tracing::debug!(transaction = name, tried, "conflict, trying again");
                    pause(tried).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    pub(crate) fn backend(&self) -> &dyn Backend {
        &*self.backend
    }
}

/// Spreads callers who keep losing against each other: a random pause whose bound grows to 32 ms.
async fn pause(tried: u32) {
    let Some(late) = tried.checked_sub(EAGER_ATTEMPTS) else {
        return tokio::task::yield_now().await;
    };
    let bound = 1_u64 << late.min(5);
    let microseconds = getrandom::u64().unwrap_or(0) % (bound * 1000);
    tokio::time::sleep(Duration::from_micros(microseconds)).await;
}

#[cfg(test)]
mod tests;
