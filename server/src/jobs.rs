//! What happens without being asked: expiry, engines' own work, signing the audit chain.

use crate::{config::CheckpointConfig, core::Core};
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
/// Expired tokens and leases taken in one go.
const SWEEP_LIMIT: usize = 500;

/// Runs until `stop` turns true. Does nothing while the barrier is sealed.
pub(crate) async fn run(core: Arc<Core>, checkpoints: CheckpointConfig, mut stop: watch::Receiver<bool>) {
    let mut beats = tokio::time::interval(BEAT);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut signed = Instant::now();
    let mut beat = 0_u64;
    loop {
        tokio::select! {
            _ = beats.tick() => {}
            changed = stop.changed() => {
                if changed.is_err() || *stop.borrow() {
                    return;
                }
            }
        }
        beat += 1;
        if !core.is_open() {
            continue;
        }
        let unsigned = core.audit.unsigned_lines();
        if unsigned >= checkpoints.lines || unsigned > 0 && signed.elapsed() >= checkpoints.every {
            core.audit.checkpoint().await;
            signed = Instant::now();
        }
        if beat.is_multiple_of(SWEEP_BEATS) {
            sweep(&core).await;
        }
        if beat.is_multiple_of(TICK_BEATS) {
            tick(&core).await;
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

/// Gives every engine its turn. One that crashes does not take the others along.
async fn tick(core: &Core) {
    let now = core.clock.now();
    for mounted in core.mounts.all() {
        let path = mounted.entry.path.clone();
        let turn = tokio::spawn(async move { mounted.engine.tick(Arc::clone(&mounted.point), now).await });
        match turn.await {
            Ok(Ok(())) => {}
            Ok(Err(fault)) => tracing::warn!(path, %fault, "engine's own work failed; trying again"),
            Err(crash) => tracing::error!(path, panicked = crash.is_panic(), "engine's own work crashed"),
        }
    }
}
