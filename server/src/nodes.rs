//! Other servers on the same database: what they changed is forgotten here before it can do harm.
//!
//! Every commit leaves a row in the database's change log. It is read four times a second, and no request is served by
//! what is in memory unless it was read within [`BOUND`]: a token that another server revoked, a policy it changed, a
//! mount it removed stop working here at most that much later, also where the network or this process has hung. A server
//! that cannot read the log answers 503. Where the database belongs to one process nothing of this happens.

use crate::{core::Core, fault::from_store};
use chancery_engine::Fault;
use chancery_store::{BarrierPhase, FeedPosition, ForeignChanges, SealKind, StoreError};
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{sync::watch, time::MissedTickBehavior};

/// What another server changed works here no longer than this.
pub(crate) const BOUND: Duration = Duration::from_secs(1);
/// How often the change log is read.
const PERIOD: Duration = Duration::from_millis(250);

/// Where this server stands in the change log.
pub(crate) struct Nodes {
    started: Instant,
    /// When the last reading of the log began, in microseconds after the start; 0: never.
    read_at: AtomicU64,
    position: tokio::sync::Mutex<Option<FeedPosition>>,
    failing: AtomicBool,
}

impl Default for Nodes {
    fn default() -> Self {
        Self {
            started: Instant::now(),
            read_at: AtomicU64::new(0),
            position: tokio::sync::Mutex::default(),
            failing: AtomicBool::new(false),
        }
    }
}

impl Nodes {
    /// Takes the place from which changes are followed: before anything is read that may be changed.
    pub(crate) async fn begin(&self, core: &Core) -> Result<(), Fault> {
        if !core.store.is_shared() {
            return Ok(());
        }
        let mut position = self.position.lock().await;
        let began = self.now();
        let seen = core.store.changes_by_others(None).await.map_err(from_store)?;
        *position = Some(seen.position);
        self.read_at.store(began, Ordering::Release);
        Ok(())
    }

    /// Returns when everything that another server had committed [`BOUND`] ago is known here.
    ///
    /// # Errors
    /// [`Fault::Busy`] where the database cannot be asked.
    pub(crate) async fn fresh(&self, core: &Core) -> Result<(), Fault> {
        if !core.store.is_shared() || self.is_fresh() {
            return Ok(());
        }
        let mut position = self.position.lock().await;
        if self.is_fresh() {
            // Somebody else has waited for the same.
            return Ok(());
        }
        self.catch_up(core, &mut position).await.map_err(|_| Fault::Busy { retry_after: BOUND })
    }

    /// The same where nothing need be waited for.
    pub(crate) fn is_followed(&self, core: &Core) -> bool {
        !core.store.is_shared() || self.is_fresh()
    }

    fn is_fresh(&self) -> bool {
        let read_at = self.read_at.load(Ordering::Acquire);
        read_at != 0 && self.now().saturating_sub(read_at) < BOUND_MICROSECONDS
    }

    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX).saturating_add(1)
    }

    /// Reads the log and forgets what is stale.
    async fn catch_up(&self, core: &Core, position: &mut Option<FeedPosition>) -> Result<(), Fault> {
        let began = self.now();
        let outcome = async {
            let seen = core.store.changes_by_others(position.clone()).await.map_err(from_store)?;
            take_over(core, &seen).await?;
            *position = Some(seen.position);
            Ok(())
        };
        let outcome: Result<(), Fault> = outcome.await;
        match &outcome {
            Ok(()) => {
                self.read_at.store(began, Ordering::Release);
                if self.failing.swap(false, Ordering::Relaxed) {
                    tracing::info!("the changes of other servers are followed again");
                }
            }
            Err(fault) => {
                if !self.failing.swap(true, Ordering::Relaxed) {
                    tracing::error!(%fault, "the changes of other servers cannot be read; requests are answered 503");
                }
            }
        }
        outcome
    }
}

const BOUND_MICROSECONDS: u64 = 1_000_000;

/// Follows the change log until `stop` turns true.
pub(crate) async fn run(core: Arc<Core>, mut stop: watch::Receiver<bool>) {
    if !core.store.is_shared() {
        return;
    }
    let mut beats = tokio::time::interval(PERIOD);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut uninitialized = core.store.barrier().state().await.phase == BarrierPhase::Uninitialized;
    loop {
        tokio::select! {
            _ = beats.tick() => {}
            changed = stop.changed() => {
                if changed.is_err() || *stop.borrow() {
                    return;
                }
            }
        }
        if core.is_open() {
            uninitialized = false;
            let mut position = core.nodes.position.lock().await;
            // What is wrong has been logged, and is tried again.
            let _ = core.nodes.catch_up(&core, &mut position).await;
        } else if uninitialized {
            uninitialized = !opened_elsewhere(&core).await;
        }
    }
}

/// Whether another server has initialized the database meanwhile; where the HSM unseals it, it is unsealed here too.
async fn opened_elsewhere(core: &Core) -> bool {
    let barrier = core.store.barrier();
    let state = barrier.state().await;
    if state.phase == BarrierPhase::Uninitialized {
        return false;
    }
    if let (BarrierPhase::Sealed, Some(seal), Some(hsm)) = (state.phase, &state.seal, &core.hsm)
        && seal.kind == SealKind::Pkcs11
    {
        if let Err(error) = barrier.unseal_with_hsm(hsm).await {
            tracing::error!(%error, "another server has initialized the database, and it cannot be unsealed here");
        } else if let Err(fault) = core.opened().await {
            tracing::error!(%fault, "another server has initialized the database, and it cannot be loaded here");
        }
    }
    true
}

/// Forgets what others have changed, and reads again what must be in memory.
async fn take_over(core: &Core, seen: &ForeignChanges) -> Result<(), Fault> {
    if seen.everything {
        tracing::warn!("the change log does not reach back to what is known here; everything is read again");
    }
    if seen.everything || seen.records.iter().any(|name| name == "seal" || name == "keyring") {
        follow_barrier(core).await?;
    }
    if seen.everything {
        return forget_all(core).await;
    }
    let changed = || seen.paths.iter().chain(&seen.prefixes).map(String::as_str);
    let any_below = |folder: &str| changed().any(|path| path.starts_with(folder));
    if any_below("sys/policy/") {
        core.policies.invalidate();
    }
    core.tokens.changed_elsewhere(changed().filter_map(|path| path.strip_prefix("sys/token/id/")));
    if any_below("sys/external-keys/") {
        core.external_keys.changed_elsewhere();
    }
    if any_below("sys/mounts/") {
        core.mounts.reload().await?;
    }
    if any_below("sys/audit/") {
        core.audit.reload(&core.settings.audit).await?;
    }
    let mut by_mount: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for path in changed() {
        if let Some((uuid, key)) = path.strip_prefix("mount/").and_then(|rest| rest.split_once('/')) {
            by_mount.entry(uuid).or_default().push(key);
        }
    }
    for (uuid, keys) in by_mount {
        if let Some(mounted) = core.mounts.by_uuid(uuid) {
            mounted.engine.changed_elsewhere(&keys);
        }
    }
    Ok(())
}

async fn forget_all(core: &Core) -> Result<(), Fault> {
    core.tokens.changed_entirely();
    core.external_keys.changed_elsewhere();
    core.mounts.reload().await?;
    for mounted in core.mounts.all() {
        if mounted.entry.path != "sys/" {
            mounted.engine.forget();
        }
    }
    core.audit.reload(&core.settings.audit).await
}

/// Takes over a keyring or a seal that another server wrote. New key shares are a new root key, which nobody has told us:
/// then we seal.
async fn follow_barrier(core: &Core) -> Result<(), Fault> {
    match core.store.barrier().follow().await {
        Err(StoreError::Sealed) if core.is_open() => {
            tracing::warn!("another server was rekeyed; this one seals until it gets the new key shares");
            core.seal().await;
            Err(Fault::Sealed)
        }
        Err(StoreError::Sealed) => Err(Fault::Sealed),
        outcome => outcome.map_err(from_store),
    }
}
