//! Removing what has had its time: `tidy`, `tidy-cancel`, `tidy-status`, and tidying by itself.
//!
//! One walk of the index of expiry, in pages, up to the moment before which certificates may go; what it costs grows with
//! what it removes. A revoked certificate that the CRL must still list is never removed, whatever the buffers say
//! (CVE-2021-29653): that takes its end and one more CRL period.

mod run;
mod settings;

pub use settings::{AutoTidy, TidyJob};

use crate::{CertificateAuthority, error::CaError, storage};
use chancery_store::{Changes, StoreError};
use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// How far a run is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TidyState {
    /// None was started since this process was.
    #[default]
    Inactive,
    /// Under way.
    Running,
    /// Asked to stop.
    Cancelling,
    /// Stopped before its end.
    Cancelled,
    /// Done.
    Finished,
    /// Ended by a failure.
    Error,
}

/// The last run of a mount.
#[derive(Debug, Clone, Default)]
pub struct TidyStatus {
    /// How far.
    pub state: TidyState,
    /// What it was to do.
    pub job: Option<TidyJob>,
    /// Why it failed.
    pub error: Option<String>,
    /// What it is at.
    pub message: Option<String>,
    /// When it began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// Certificates removed.
    pub certificates: u64,
    /// Revoked certificates removed.
    pub revoked: u64,
    /// Issuers removed.
    pub issuers: u64,
}

/// What tidying keeps in memory.
#[derive(Default)]
pub(crate) struct Tidying {
    pub(crate) status: Mutex<TidyStatus>,
    is_running: AtomicBool,
    is_cancelled: AtomicBool,
}

/// When the mount last tidied itself.
#[derive(Debug, Serialize, Deserialize)]
struct LastTidy {
    at: Timestamp,
}

/// What was removed ended before this.
#[derive(Debug, Serialize, Deserialize)]
struct Removed {
    before: Timestamp,
}

impl TidyState {
    /// The wire's word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Inactive => "Inactive",
            Self::Running => "Running",
            Self::Cancelling => "Cancelling",
            Self::Cancelled => "Cancelled",
            Self::Finished => "Finished",
            Self::Error => "Error",
        }
    }
}

impl CertificateAuthority {
    /// Starts a run in the background; `false` where one is under way.
    pub(crate) fn start_tidy(self: &Arc<Self>, job: TidyJob) -> bool {
        let tidying = &self.tidying;
        if tidying.is_running.swap(true, Ordering::SeqCst) {
            return false;
        }
        tidying.is_cancelled.store(false, Ordering::SeqCst);
        *tidying.status.lock() = TidyStatus {
            state: TidyState::Running,
            job: Some(job.clone()),
            started_at: Some(self.now()),
            ..TidyStatus::default()
        };
        let engine = Arc::clone(self);
        tokio::spawn(async move {
            let mut outcome = engine.tidy(&job).await;
            if outcome.is_ok() && !engine.is_tidy_cancelled() {
                // One that was asked for counts, too: the next need not follow at once.
                outcome = engine.note_tidied().await;
            }
            let mut status = engine.tidying.status.lock();
            status.finished_at = Some(engine.now());
            status.message = None;
            status.state = match outcome {
                Ok(()) if engine.tidying.is_cancelled.load(Ordering::SeqCst) => TidyState::Cancelled,
                Ok(()) => TidyState::Finished,
                Err(error) => {
                    tracing::warn!(%error, "tidy failed");
                    status.error = Some(error.to_string());
                    TidyState::Error
                }
            };
            drop(status);
            engine.tidying.is_running.store(false, Ordering::SeqCst);
        });
        true
    }

    /// Asks a run to stop at the end of its page; `false` where none is under way.
    pub(crate) fn cancel_tidy(&self) -> bool {
        if !self.tidying.is_running.load(Ordering::SeqCst) {
            return false;
        }
        self.tidying.is_cancelled.store(true, Ordering::SeqCst);
        let mut status = self.tidying.status.lock();
        if status.state == TidyState::Running {
            status.state = TidyState::Cancelling;
        }
        true
    }

    fn is_tidy_cancelled(&self) -> bool {
        self.tidying.is_cancelled.load(Ordering::SeqCst)
    }

    /// What `config/auto-tidy` holds.
    pub(crate) async fn auto_tidy(&self) -> Result<AutoTidy, CaError> {
        Ok(storage::read(&self.view, storage::CONFIG_AUTO_TIDY).await?.unwrap_or_default())
    }

    /// When the mount last tidied itself.
    pub(crate) async fn last_auto_tidy(&self) -> Result<Option<Timestamp>, CaError> {
        Ok(storage::read::<LastTidy>(&self.view, storage::LAST_TIDY).await?.map(|last| last.at))
    }

    /// The end before which certificates may have been removed; none where nothing ever was.
    pub(crate) async fn removed_before(&self) -> Result<Option<Timestamp>, CaError> {
        Ok(storage::read::<Removed>(&self.view, storage::REMOVED).await?.map(|removed| removed.before))
    }

    async fn note_tidied(&self) -> Result<(), CaError> {
        let mut changes = Changes::default();
        changes.put(&self.view, storage::LAST_TIDY, &LastTidy { at: self.now() })?;
        self.store.commit(changes).await?;
        Ok(())
    }

    /// Notes, before it happens, that certificates that ended before this are removed.
    async fn note_removal(&self, before: Timestamp) -> Result<(), CaError> {
        if self.removed_before().await?.is_some_and(|known| known >= before) {
            return Ok(());
        }
        let mut changes = Changes::default();
        changes.put(&self.view, storage::REMOVED, &Removed { before })?;
        self.store.commit(changes).await?;
        Ok(())
    }

    /// Starts a run where the settings say that it is time. Of several processes on one database one starts it.
    pub(crate) async fn tidy_when_due(self: &Arc<Self>, now: Timestamp) -> Result<(), CaError> {
        let settings = self.auto_tidy().await?;
        if !settings.enabled {
            return Ok(());
        }
        let entry = self.view.read(storage::LAST_TIDY).await?;
        let last = entry.as_ref().map(|entry| entry.decode::<LastTidy>()).transpose()?;
        let interval = SignedDuration::from_secs(settings.interval_duration);
        if last.is_some_and(|last| now.duration_since(last.at) < interval) {
            return Ok(());
        }
        let mut changes = Changes::default();
        match entry {
            Some(entry) => {
                changes.replace(&self.view, storage::LAST_TIDY, &LastTidy { at: now }, entry.version, None)?
            }
            None => changes.create(&self.view, storage::LAST_TIDY, &LastTidy { at: now })?,
        };
        match self.store.commit(changes).await {
            Ok(_) => {
                self.start_tidy(settings.job);
                Ok(())
            }
            Err(StoreError::Conflict) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
