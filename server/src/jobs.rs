//! What happens without being asked: expiry, engines' own work, signing the audit chain.
//!
//! Of several servers on one database, one does the work that must be done once: it holds a lease, and whatever it commits
//! demands that it still does, so a server that slept through the end of its lease can change nothing any more.

use crate::{config::CheckpointConfig, core::Core};
use chancery_store::{JobLease, under_lease};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{sync::watch, time::MissedTickBehavior};

/// How often anything is looked at.
const BEAT: Duration = Duration::from_secs(1);
/// Beats between two looks for what has expired.
const SWEEP_BEATS: u64 = 5;
/// Beats between two ticks of the engines.
const TICK_BEATS: u64 = 60;
/// Beats between two renewals of the lease.
const LEASE_BEATS: u64 = 5;
/// How long a server that died keeps the others from its work.
const LEASE_TERM: Duration = Duration::from_secs(30);
/// Name of the lease.
const LEASE: &str = "jobs";
/// Expired tokens and leases taken in one go.
const SWEEP_LIMIT: usize = 500;

/// Runs until `stop` turns true. Does nothing while the barrier is sealed.
pub(crate) async fn run(core: Arc<Core>, checkpoints: CheckpointConfig, mut stop: watch::Receiver<bool>) {
    let mut beats = tokio::time::interval(BEAT);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut signed = Instant::now();
    let mut beat = 0_u64;
    let holder = uuid::Uuid::new_v4().to_string();
    let mut lease = None;
    let mut begun = false;
    loop {
        tokio::select! {
            _ = beats.tick() => {}
            changed = stop.changed() => {
                if changed.is_err() || *stop.borrow() {
                    return give_up(&core, lease).await;
                }
            }
        }
        beat += 1;
        if !core.is_open() {
            // Who cannot work does not keep others from it.
            give_up(&core, lease.take()).await;
            begun = false;
            continue;
        }
        if !begun {
            begin(&core).await;
            begun = true;
        }
        if lease.is_none() || beat.is_multiple_of(LEASE_BEATS) {
            lease = claim(&core, &holder, lease).await;
        }
        let unsigned = core.audit.unsigned_lines();
        if unsigned >= checkpoints.lines || unsigned > 0 && signed.elapsed() >= checkpoints.every {
            core.audit.checkpoint().await;
            signed = Instant::now();
        }
        if beat.is_multiple_of(TICK_BEATS) {
            tend(&core).await;
        }
        if beat.is_multiple_of(SWEEP_BEATS)
            && let Some(lease) = &lease
        {
            under_lease(lease.clone(), sweep(&core)).await;
        }
        if beat.is_multiple_of(TICK_BEATS) {
            lease = tick(&core, &holder, lease).await;
        }
    }
}

/// Takes or renews the lease; `None` where another server has it or the database cannot be asked.
async fn claim(core: &Core, holder: &str, before: Option<JobLease>) -> Option<JobLease> {
    let claimed = core.store.claim_lease(LEASE, holder, LEASE_TERM).await;
    let claimed = claimed.unwrap_or_else(|error| {
        tracing::warn!(%error, "the lease of the background jobs could not be renewed");
        None
    });
    if core.store.is_shared() && claimed != before {
        match &claimed {
            Some(lease) => tracing::info!(epoch = lease.epoch, "this server does the background jobs"),
            None => tracing::info!("another server does the background jobs"),
        }
    }
    claimed
}

async fn give_up(core: &Core, lease: Option<JobLease>) {
    let Some(lease) = lease else { return };
    if let Err(error) = core.store.release_lease(&lease).await {
        tracing::debug!(%error, "the lease of the background jobs ends by itself");
    }
}

/// Lets every engine go on with what was under way.
async fn begin(core: &Core) {
    for mounted in core.mounts.all() {
        if let Err(fault) = mounted.engine.begin(Arc::clone(&mounted.point)).await {
            tracing::warn!(path = mounted.entry.path, %fault, "engine could not go on with its work; trying again");
        }
    }
}

/// Lets every engine look after what this process holds in memory.
async fn tend(core: &Core) {
    for mounted in core.mounts.all() {
        if let Err(fault) = mounted.engine.tend().await {
            tracing::warn!(path = mounted.entry.path, %fault, "engine's upkeep failed; trying again");
        }
    }
}

/// Revokes what has expired.
pub(crate) async fn sweep(core: &Core) {
    let now = core.clock.now();
    if let Err(fault) = core.leases.sweep(now, SWEEP_LIMIT).await {
        tracing::warn!(%fault, "what has expired could not be revoked; trying again");
    }
}

/// Gives every engine its turn. One that crashes does not take the others along. What many mounts have to do may take
/// longer than the lease, which is renewed in between; without it nobody else gets a turn.
async fn tick(core: &Core, holder: &str, mut lease: Option<JobLease>) -> Option<JobLease> {
    let now = core.clock.now();
    let mut renewed = Instant::now();
    for mounted in core.mounts.all() {
        if lease.is_some() && renewed.elapsed() > LEASE_TERM / 6 {
            lease = claim(core, holder, lease).await;
            renewed = Instant::now();
        }
        let Some(held) = &lease else { break };
        let path = mounted.entry.path.clone();
        let work = async move { mounted.engine.tick(Arc::clone(&mounted.point), now).await };
        let turn = tokio::spawn(under_lease(held.clone(), work));
        match turn.await {
            Ok(Ok(())) => {}
            Ok(Err(fault)) => tracing::warn!(path, %fault, "engine's own work failed; trying again"),
            Err(crash) => tracing::error!(path, panicked = crash.is_panic(), "engine's own work crashed"),
        }
    }
    lease
}
