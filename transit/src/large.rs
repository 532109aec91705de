//! Large batches: off the threads that serve requests, and over several cores.
//!
//! Handing work over costs more than a small batch takes, so only bodies above [`LARGE_BODY_BYTES`] come here. At most
//! [`LARGE_BATCHES`] of them run at once; the others wait. One that is alone spreads over the cores.

use crate::{
    cipher::Workbench,
    error::{Failures, TransitError},
};
use chancery_engine::{Fault, Response};
use std::thread::available_parallelism;
use tokio::sync::Semaphore;

/// Bodies below this are worked through where they arrive.
pub(crate) const LARGE_BODY_BYTES: usize = 256 * 1024;

/// An RSA operation takes as long as thousands of symmetric ones.
pub(crate) const LARGE_RSA_BODY_BYTES: usize = 4 * 1024;

/// Requests of one batch that are under way in the token together; its own queue bounds them all.
pub(crate) const HSM_REQUESTS_AT_ONCE: usize = 32;

const LARGE_BATCHES: usize = 8;

static RUNNING: Semaphore = Semaphore::const_new(LARGE_BATCHES);

/// Runs `work` on a thread that may block; it is told how many threads it may use.
pub(crate) async fn blocking<F>(work: F) -> Result<Response, Fault>
where
    F: FnOnce(usize) -> Result<Response, Fault> + Send + 'static,
{
    let _running = RUNNING.acquire().await.map_err(|_| Fault::Bug("the batch limit was closed".to_owned()))?;
    let alone = RUNNING.available_permits() + 1 == LARGE_BATCHES;
    let threads = if alone { available_parallelism().map_or(1, usize::from) } else { 1 };
    tokio::task::spawn_blocking(move || work(threads))
        .await
        .map_err(|_| Fault::Bug("a batch was cancelled".to_owned()))?
}

/// Lets `write` write the result of each item behind the others', on `threads` threads, and gathers what went wrong.
pub(crate) fn write_each<I, W>(
    items: &[I],
    threads: usize,
    out: &mut Vec<u8>,
    write: W,
) -> Result<Failures, TransitError>
where
    I: Sync,
    W: Fn(&mut Workbench, usize, &I, &mut Vec<u8>, &mut Failures) + Sync,
{
    let run = |first: usize, items: &[I], out: &mut Vec<u8>| {
        let (mut bench, mut failures) = (Workbench::default(), Failures::default());
        for (offset, item) in items.iter().enumerate() {
            write(&mut bench, first + offset, item, out, &mut failures);
        }
        failures
    };
    if threads < 2 {
        return run(0, items, out).complete();
    }
    let size = items.len().div_ceil(threads).max(1);
    let parts = std::thread::scope(|scope| {
        let handles: Vec<_> = items
            .chunks(size)
            .enumerate()
            .map(|(number, chunk)| {
                let run = &run;
                scope.spawn(move || {
                    let mut part = Vec::new();
                    let failures = run(number * size, chunk, &mut part);
                    (part, failures)
                })
            })
            .collect();
        handles.into_iter().map(std::thread::ScopedJoinHandle::join).collect::<Result<Vec<_>, _>>()
    });
    let mut failures = Failures::default();
    for (part, failed) in parts.map_err(|_| TransitError::Bug("a part of a batch panicked"))? {
        out.extend_from_slice(&part);
        failures.join(failed);
    }
    failures.complete()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_and_failures_are_kept_over_several_threads() {
        let items: Vec<u32> = (0..1000).collect();
        let write = |_: &mut Workbench, index: usize, item: &u32, out: &mut Vec<u8>, failures: &mut Failures| {
            assert_eq!(index, *item as usize);
            out.extend_from_slice(format!("{item},").as_bytes());
            let outcome = if *item == 999 { Err(TransitError::Unauthentic) } else { Ok(()) };
            failures.note(&outcome);
        };
        let (mut alone, mut together) = (Vec::new(), Vec::new());
        let expected = Failures { by_caller: true, succeeded: true, ..Failures::default() };
        assert_eq!(write_each(&items, 1, &mut alone, write).unwrap(), expected);
        assert_eq!(write_each(&items, 3, &mut together, write).unwrap(), expected);
        assert_eq!(alone, together);
    }
}
