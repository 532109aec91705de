//! Large batches: off the threads that serve requests, and over several cores.
//!
//! Handing work over costs more than a small batch takes, so only bodies above [`LARGE_BODY_BYTES`] come here. At most
//! [`LARGE_BATCHES`] of them run at once; the others wait. One that is alone spreads over the cores.

use crate::{
    cipher::Workbench,
    error::{Failures, TransitError},
};
use chancery_engine::{Fault, Response, secret::wipe};
use std::thread::available_parallelism;
use tokio::{
    runtime::{Handle, RuntimeFlavor},
    sync::Semaphore,
    task::block_in_place,
};

/// Bodies below this are worked through where they arrive.
pub(crate) const LARGE_BODY_BYTES: usize = 256 * 1024;

/// An RSA operation takes as long as thousands of symmetric ones.
pub(crate) const LARGE_RSA_BODY_BYTES: usize = 4 * 1024;

/// Requests of one batch that are under way in the token together; its own queue bounds them all.
pub(crate) const HSM_REQUESTS_AT_ONCE: usize = 32;

const LARGE_BATCHES: usize = 8;

static RUNNING: Semaphore = Semaphore::const_new(LARGE_BATCHES);

/// Items that a thread takes at a time.
const ROUND_ITEMS: usize = 256;
const LARGE_ROUND_ITEMS: usize = 2048;

/// Runs `work` where it may take long without holding up other requests; it is told how many threads it may use.
pub(crate) async fn run<F>(work: F) -> Result<Response, Fault>
where
    F: FnOnce(usize) -> Result<Response, Fault>,
{
    let _running = RUNNING.acquire().await.map_err(|_| Fault::Bug("the batch limit was closed".to_owned()))?;
    let alone = RUNNING.available_permits() + 1 == LARGE_BATCHES;
    let threads = if alone { available_parallelism().map_or(1, usize::from) } else { 1 };
    // A runtime with one thread, as tests have, has nobody who could take over meanwhile.
    match Handle::current().runtime_flavor() {
        RuntimeFlavor::MultiThread => block_in_place(|| work(threads)),
        _ => work(threads),
    }
}

/// The threads that work on one batch, each with what it reuses from round to round.
pub(crate) struct Crew(Vec<Hand>);

#[derive(Default)]
struct Hand {
    bench: Workbench,
    /// Results that go behind those of the hands before. May hold plaintexts.
    results: Vec<u8>,
    failures: Failures,
}

impl Drop for Hand {
    fn drop(&mut self) {
        wipe(&mut self.results);
    }
}

impl Crew {
    pub(crate) fn of(threads: usize) -> Self {
        Self(std::iter::repeat_with(Hand::default).take(threads.max(1)).collect())
    }

    /// How many items a round should have.
    pub(crate) fn items_at_once(&self) -> usize {
        if self.0.len() == 1 { ROUND_ITEMS } else { self.0.len() * LARGE_ROUND_ITEMS }
    }

    /// Lets `write` write the result of each item behind the others'; `first` is the number of the first one.
    pub(crate) fn write_each<I, W>(
        &mut self,
        first: usize,
        items: &[I],
        out: &mut Vec<u8>,
        write: W,
    ) -> Result<(), TransitError>
    where
        I: Sync,
        W: Fn(&mut Workbench, usize, &I, &mut Vec<u8>, &mut Failures) + Sync,
    {
        let size = items.len().div_ceil(self.0.len()).max(1);
        let write_some = |hand: &mut Hand, first: usize, items: &[I], out: &mut Vec<u8>| {
            for (offset, item) in items.iter().enumerate() {
                write(&mut hand.bench, first + offset, item, out, &mut hand.failures);
            }
        };
        let (own, others) = items.split_at(size.min(items.len()));
        let Some((leader, helpers)) = self.0.split_first_mut() else { return Ok(()) };
        let done = std::thread::scope(|scope| {
            let handles: Vec<_> = helpers
                .iter_mut()
                .zip(others.chunks(size))
                .enumerate()
                .map(|(number, (hand, chunk))| {
                    let write_some = &write_some;
                    scope.spawn(move || {
                        let mut results = std::mem::take(&mut hand.results);
                        write_some(hand, first + (number + 1) * size, chunk, &mut results);
                        hand.results = results;
                    })
                })
                .collect();
            write_some(leader, first, own, out);
            handles.into_iter().try_for_each(std::thread::ScopedJoinHandle::join)
        });
        done.map_err(|_| TransitError::Bug("a part of a batch panicked"))?;
        for hand in helpers {
            out.extend_from_slice(&hand.results);
            hand.results.clear();
        }
        Ok(())
    }

    /// What went wrong in all of it.
    pub(crate) fn failures(&self) -> Failures {
        let mut failures = Failures::default();
        self.0.iter().for_each(|hand| failures.join(hand.failures));
        failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_and_failures_are_kept_over_several_threads_and_rounds() {
        let items: Vec<u32> = (0..1000).collect();
        let write = |_: &mut Workbench, index: usize, item: &u32, out: &mut Vec<u8>, failures: &mut Failures| {
            assert_eq!(index, *item as usize);
            out.extend_from_slice(format!("{item},").as_bytes());
            let outcome = if *item == 999 { Err(TransitError::Unauthentic) } else { Ok(()) };
            failures.note(&outcome);
        };
        let written = |threads: usize| {
            let (mut crew, mut out) = (Crew::of(threads), Vec::new());
            for (round, some) in items.chunks(300).enumerate() {
                crew.write_each(round * 300, some, &mut out, write).unwrap();
            }
            assert_eq!(crew.failures(), Failures { by_caller: true, succeeded: true, ..Failures::default() });
            out
        };
        assert_eq!(written(1), written(3));
        assert_eq!(written(1), written(7));
    }
}
