//! Leases of a database that belongs to one process: they live and die with it.

use super::{Batch, Expectation, JobLease};
use crate::StoreError;
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

/// Who holds what. A process before this one cannot hold anything: the claim on the database ended with it.
#[derive(Default)]
pub(super) struct LocalLeases(Mutex<HashMap<&'static str, Held>>);

struct Held {
    holder: String,
    epoch: u64,
    until: Instant,
}

impl LocalLeases {
    pub(super) fn claim(&self, name: &'static str, holder: &str, term: Duration) -> Option<JobLease> {
        let now = Instant::now();
        let mut leases = self.0.lock();
        let epoch = match leases.get(name) {
            None => 1,
            Some(held) if held.holder == holder && now < held.until => held.epoch,
            Some(held) if held.holder == holder || held.until <= now => held.epoch + 1,
            Some(_) => return None,
        };
        leases.insert(name, Held { holder: holder.to_owned(), epoch, until: now + term });
        Some(JobLease { name, holder: holder.to_owned(), epoch })
    }

    pub(super) fn release(&self, lease: &JobLease) {
        if let Some(held) = self.0.lock().get_mut(lease.name)
            && held.holder == lease.holder
            && held.epoch == lease.epoch
        {
            held.until = Instant::now();
        }
    }

    /// Refuses a batch made under a lease that has changed hands.
    pub(super) fn check(&self, batch: &Batch) -> Result<(), StoreError> {
        for expectation in &batch.expectations {
            if let Expectation::Lease { name, holder, epoch } = expectation {
                let leases = self.0.lock();
                let held = leases.get(name).is_some_and(|held| held.holder == *holder && held.epoch == *epoch);
                if !held {
                    return Err(StoreError::LeaseLost);
                }
            }
        }
        Ok(())
    }
}
