//! `key-status`, `rotate`, `rotate/keyring`, `rotate/config`: the keys of the barrier.

use super::System;
use crate::fault::from_store;
use chancery_engine::{
    Call, Fault, Response, Route, Verb,
    wire::{Count, DurationSeconds, Flag, format_go_duration},
};
use chancery_store::{Changes, View};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Fewest and most encryptions of one term that can be configured (NIST SP 800-38D §8.3).
const OPERATIONS: std::ops::RangeInclusive<i64> = 1_000_000..=3_865_470_566;
/// Shortest interval of rotation, in seconds.
const SHORTEST_INTERVAL: i64 = 24 * 3600;
const CONFIG: &str = "rotation";

#[derive(Serialize)]
struct KeyStatusResponse {
    encryptions: u64,
    install_time: Timestamp,
    term: u32,
}

/// What is stored of the rotation's configuration; the limit lies in the keyring itself.
#[derive(Serialize, Deserialize)]
struct Rotation {
    enabled: bool,
    /// Seconds; 0 is never.
    interval: i64,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ConfigRequest {
    max_operations: Option<Count>,
    interval: Option<DurationSeconds>,
    enabled: Option<Flag>,
}

#[derive(Serialize)]
struct ConfigResponse {
    enabled: bool,
    interval: Interval,
    max_operations: u64,
}

/// A Go duration, or the number 0.
#[derive(Serialize)]
#[serde(untagged)]
enum Interval {
    Never(u8),
    Every(String),
}

pub(super) fn routes() -> Vec<Route<System>> {
    let config = |pattern| {
        Route::at(pattern, "When the barrier's key is rotated by itself.")
            .on(Verb::Read, read_config)
            .on(Verb::Write, write_config)
    };
    vec![
        Route::at("key-status", "The term that encrypts.").on(Verb::Read, key_status),
        Route::at("rotate", "Begins a new term.").on(Verb::Write, rotate).sudo(),
        Route::at("rotate/keyring", "Begins a new term.").on(Verb::Write, rotate).sudo(),
        config("rotate/config"),
        config("rotate/keyring/config"),
    ]
}

async fn key_status(system: Arc<System>, _call: Call) -> Result<Response, Fault> {
    let status = system.core.store.barrier().key_status().await.map_err(from_store)?;
    Response::data(&KeyStatusResponse {
        encryptions: status.encryptions,
        install_time: status.install_time,
        term: status.term,
    })
}

async fn rotate(system: Arc<System>, _call: Call) -> Result<Response, Fault> {
    system.core.store.barrier().rotate().await.map_err(from_store)?;
    Ok(Response::empty())
}

async fn read_config(system: Arc<System>, _call: Call) -> Result<Response, Fault> {
    let rotation = system.rotation().await?;
    let interval = match u64::try_from(rotation.interval) {
        Ok(0) | Err(_) => Interval::Never(0),
        Ok(seconds) => Interval::Every(format_go_duration(seconds)),
    };
    let max_operations = system.core.store.barrier().encryption_limit().map_err(from_store)?;
    Response::data(&ConfigResponse { enabled: rotation.enabled, interval, max_operations })
}

async fn write_config(system: Arc<System>, call: Call) -> Result<Response, Fault> {
    let request: ConfigRequest = call.parse()?;
    let mut rotation = system.rotation().await?;
    let limit = match request.max_operations {
        None => None,
        Some(Count(limit)) if OPERATIONS.contains(&limit) => u64::try_from(limit).ok(),
        Some(_) => {
            let (least, most) = (OPERATIONS.start(), OPERATIONS.end());
            return Err(Fault::Caller(format!("max_operations must be in the range [{least},{most}]")));
        }
    };
    if let Some(DurationSeconds(interval)) = request.interval {
        if interval != 0 && interval < SHORTEST_INTERVAL {
            return Err(Fault::caller("interval must be greater or equal to 24h0m0s"));
        }
        rotation.interval = interval;
    }
    if let Some(Flag(enabled)) = request.enabled {
        rotation.enabled = enabled;
    }
    let mut changes = Changes::default();
    changes.put(&system.core_view(), CONFIG, &rotation).map_err(from_store)?;
    system.core.store.commit(changes).await.map_err(from_store)?;
    if let Some(limit) = limit {
        system.core.store.barrier().set_encryption_limit(limit).await.map_err(from_store)?;
    }
    Ok(Response::empty())
}

impl System {
    async fn rotation(&self) -> Result<Rotation, Fault> {
        match self.core_view().read(CONFIG).await.map_err(from_store)? {
            Some(entry) => entry.decode().map_err(from_store),
            None => Ok(Rotation { enabled: true, interval: 0 }),
        }
    }

    fn core_view(&self) -> View {
        self.core.store.view("sys/core/")
    }

    /// Begins a new term where the interval is over. The limit of encryptions is the barrier's own business.
    pub(super) async fn rotate_when_due(&self, now: Timestamp) -> Result<(), Fault> {
        if !self.core.is_open() {
            return Ok(());
        }
        let rotation = self.rotation().await?;
        if !rotation.enabled || rotation.interval == 0 {
            return Ok(());
        }
        let status = self.core.store.barrier().key_status().await.map_err(from_store)?;
        if now.duration_since(status.install_time) >= SignedDuration::from_secs(rotation.interval) {
            self.core.store.barrier().rotate().await.map_err(from_store)?;
        }
        Ok(())
    }
}
