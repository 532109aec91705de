//! The load: a task a connection, each sending its next request when it has the answer to the last.

use super::{
    process,
    wire::{Connection, Target},
};
use crate::failure::{Failure, Result};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::task::JoinSet;

const WARM_UP: Duration = Duration::from_secs(1);

/// What a run measured.
#[derive(Debug, Default)]
pub(super) struct Measured {
    pub(super) seconds: f64,
    pub(super) requests: u64,
    pub(super) failed: u64,
    /// Microseconds, sorted.
    latencies: Vec<u32>,
    cpu: Option<Duration>,
}

impl Measured {
    /// Throughput, where a request counts for `weight`.
    pub(super) fn per_second(&self, weight: u64) -> u64 {
        let micros = (self.seconds * 1e6).max(1.0);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a positive number of seconds")]
        let micros = micros as u64;
        (u128::from(self.requests) * u128::from(weight) * 1_000_000 / u128::from(micros)).try_into().unwrap_or(u64::MAX)
    }

    /// Latency in microseconds that `share` of `whole` requests stay below.
    pub(super) fn quantile(&self, share: usize, whole: usize) -> u32 {
        let last = self.latencies.len().saturating_sub(1);
        self.latencies.get((self.latencies.len() * share / whole).min(last)).copied().unwrap_or_default()
    }

    /// Microseconds of the server's CPU.
    pub(super) fn cpu_per_request(&self) -> Option<u64> {
        let micros = self.cpu?.as_micros().checked_div(u128::from(self.requests))?;
        u64::try_from(micros).ok()
    }
}

pub(super) fn run(target: Target, connections: usize, length: Duration, pid: Option<u32>) -> Result<Measured> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::local("cannot start threads").because(error))?;
    runtime.block_on(drive(Arc::new(target), connections, length, pid))
}

async fn drive(target: Arc<Target>, connections: usize, length: Duration, pid: Option<u32>) -> Result<Measured> {
    let begin = Instant::now() + WARM_UP;
    let end = begin + length;
    let mut workers = JoinSet::new();
    for _ in 0..connections {
        workers.spawn(worker(Arc::clone(&target), begin, end));
    }
    tokio::time::sleep_until(begin.into()).await;
    let before = pid.and_then(process::cpu_time);
    tokio::time::sleep_until(end.into()).await;
    let after = pid.and_then(process::cpu_time);
    let mut measured = Measured { seconds: length.as_secs_f64(), ..Measured::default() };
    while let Some(outcome) = workers.join_next().await {
        let (latencies, failed) = outcome.map_err(|error| Failure::local("a worker died").because(error))??;
        measured.failed += failed;
        measured.latencies.extend(latencies);
    }
    measured.latencies.sort_unstable();
    measured.requests = u64::try_from(measured.latencies.len()).unwrap_or(u64::MAX);
    measured.cpu = before.zip(after).map(|(before, after)| after.saturating_sub(before));
    Ok(measured)
}

/// Latencies of the requests that were answered inside the window, and how many of them failed.
async fn worker(target: Arc<Target>, begin: Instant, end: Instant) -> Result<(Vec<u32>, u64)> {
    let mut connection = Connection::open(&target).await?;
    let mut latencies = Vec::new();
    let mut failed = 0;
    loop {
        let sent = Instant::now();
        let status = connection.exchange(&target).await?;
        let answered = Instant::now();
        if answered >= end {
            return Ok((latencies, failed));
        }
        if answered >= begin {
            latencies.push(u32::try_from((answered - sent).as_micros()).unwrap_or(u32::MAX));
            failed += u64::from(!(200..300).contains(&status));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_come_from_the_sorted_latencies() {
        let measured = Measured {
            seconds: 2.0,
            requests: 100,
            failed: 0,
            latencies: (1..=100).collect(),
            cpu: Some(Duration::from_millis(5)),
        };
        assert_eq!((measured.quantile(50, 100), measured.quantile(99, 100)), (51, 100));
        assert_eq!((measured.per_second(1), measured.per_second(10)), (50, 500));
        assert_eq!(measured.cpu_per_request(), Some(50));
        assert_eq!(Measured::default().cpu_per_request(), None);
    }
}
