//! The load: a task a connection, each sending its next request when it has the answer to the last.
//!
//! [`run`] measures for a while, [`each`] sends every request once, to set the stage and to clear it.

use super::{
    process,
    wire::{Connection, Target},
};
use crate::failure::{Failure, Result};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::task::JoinSet;

/// Steps from request to request, so that many of them are visited in no order a cache could guess. A prime.
const STRIDE: usize = 7919;
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
    pub(super) memory: Option<process::Memory>,
}

impl Measured {
    /// What somebody else's load measured: microseconds of each request that did not fail.
    pub(super) fn of(
        length: Duration,
        mut latencies: Vec<u32>,
        cpu: Option<Duration>,
        memory: Option<process::Memory>,
    ) -> Self {
        latencies.sort_unstable();
        let requests = u64::try_from(latencies.len()).unwrap_or(u64::MAX);
        Self { seconds: length.as_secs_f64(), requests, failed: 0, latencies, cpu, memory }
    }

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
    pub(super) fn cpu_per_request(&self) -> Option<f64> {
        let tenths = (self.cpu?.as_micros() * 10).checked_div(u128::from(self.requests))?;
        u32::try_from(tenths).ok().map(|tenths| f64::from(tenths) / 10.0)
    }
}

/// An answer's status and body.
pub(super) type Answer = (u16, Vec<u8>);

pub(super) fn run(target: Target, connections: usize, length: Duration, pid: Option<u32>) -> Result<Measured> {
    runtime()?.block_on(drive(Arc::new(target), connections, length, pid))
}

/// Sends every request once and gives the answers in the order of the requests.
pub(super) fn each(target: Target, connections: usize) -> Result<Vec<Answer>> {
    let (target, next) = (Arc::new(target), Arc::new(AtomicUsize::new(0)));
    runtime()?.block_on(async {
        let mut workers = JoinSet::new();
        for _ in 0..connections.min(target.len()) {
            workers.spawn(errands(Arc::clone(&target), Arc::clone(&next)));
        }
        let mut answers = Vec::with_capacity(target.len());
        while let Some(outcome) = workers.join_next().await {
            answers.extend(outcome.map_err(|error| Failure::local("a worker died").because(error))??);
        }
        answers.sort_unstable_by_key(|(number, _)| *number);
        Ok(answers.into_iter().map(|(_, answer)| answer).collect())
    })
}

async fn errands(target: Arc<Target>, next: Arc<AtomicUsize>) -> Result<Vec<(usize, Answer)>> {
    let mut connection = Connection::open(&target).await?;
    let mut answers = Vec::new();
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= target.len() {
            return Ok(answers);
        }
        let status = connection.exchange(&target, number).await?;
        answers.push((number, (status, connection.body().to_vec())));
    }
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::local("cannot start threads").because(error))
}

async fn drive(target: Arc<Target>, connections: usize, length: Duration, pid: Option<u32>) -> Result<Measured> {
    let begin = Instant::now() + WARM_UP;
    let end = begin + length;
    let mut workers = JoinSet::new();
    let resting = pid.and_then(process::start_measuring_memory);
    for number in 0..connections {
        workers.spawn(worker(Arc::clone(&target), number, begin, end));
    }
    tokio::time::sleep_until(begin.into()).await;
    let before = pid.and_then(process::cpu_time);
    tokio::time::sleep_until(end.into()).await;
    let after = pid.and_then(process::cpu_time);
    let memory = resting.zip(pid.and_then(process::peak_memory));
    let mut measured = Measured { seconds: length.as_secs_f64(), ..Measured::default() };
    while let Some(outcome) = workers.join_next().await {
        let (latencies, failed) = outcome.map_err(|error| Failure::local("a worker died").because(error))??;
        measured.failed += failed;
        measured.latencies.extend(latencies);
    }
    measured.latencies.sort_unstable();
    measured.requests = u64::try_from(measured.latencies.len()).unwrap_or(u64::MAX);
    measured.memory = memory.map(|(resting, peak)| process::Memory { resting, peak });
    measured.cpu = before.zip(after).map(|(before, after)| after.saturating_sub(before));
    Ok(measured)
}

/// Latencies of the requests that were answered inside the window, and how many of them failed.
async fn worker(target: Arc<Target>, number: usize, begin: Instant, end: Instant) -> Result<(Vec<u32>, u64)> {
    let mut connection = Connection::open(&target).await?;
    let mut latencies = Vec::new();
    let mut failed = 0;
    let mut request = number;
    loop {
        let sent = Instant::now();
        request = (request + STRIDE) % target.len().max(1);
        let status = connection.exchange(&target, request).await?;
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
            memory: None,
        };
        assert_eq!((measured.quantile(50, 100), measured.quantile(99, 100)), (51, 100));
        assert_eq!((measured.per_second(1), measured.per_second(10)), (50, 500));
        assert_eq!(measured.cpu_per_request(), Some(50.0));
        assert_eq!(Measured::default().cpu_per_request(), None);
    }
}
