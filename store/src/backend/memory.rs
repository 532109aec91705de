//! The store in memory: ordered maps under one lock, for tests and `-dev` servers that keep nothing.

mod inventory;
mod ssh;

use super::{
    Backend, Batch, Expectation, JobLease, Operation, Sequence, StoredEntry, StoredRecord, end_of,
    local_leases::LocalLeases,
};
use crate::{
    StoreError,
    inventory::{
        Certificate, CertificateFilter, CertificateQuery, RevokedCertificate, RevokedPage, RevokedScope, SerialPage,
    },
    view::Page,
};
use async_trait::async_trait;
use inventory::Inventory;
use parking_lot::RwLock;
use ssh::SshRows;
use std::{collections::BTreeMap, ops::Bound, time::Duration};

/// A database in memory.
#[derive(Default)]
pub struct Memory {
    state: RwLock<State>,
    leases: LocalLeases,
}

#[derive(Default)]
struct State {
    sequence: u64,
    entries: BTreeMap<String, StoredEntry>,
    records: BTreeMap<&'static str, StoredRecord>,
    inventory: Inventory,
    ssh: SshRows,
}

impl State {
    fn holds(&self, expectation: &Expectation) -> bool {
        match expectation {
            Expectation::Absent { path } => !self.entries.contains_key(path),
            Expectation::Version { path, version } => {
                self.entries.get(path).is_some_and(|entry| entry.version == *version)
            }
            Expectation::Record { name, version } => self.records.get(name).map(|record| record.version) == *version,
            // Judged before the others.
            Expectation::Lease { .. } => true,
        }
    }

    fn apply(&mut self, operation: Operation, version: u64) {
        match operation {
            Operation::Put { path, value, expires_at } => {
                self.entries.insert(path, StoredEntry { version, value, expires_at });
            }
            Operation::Delete { path } => {
                self.entries.remove(&path);
            }
            Operation::DeleteBelow { prefix } => {
                self.entries.retain(|path, _| !path.starts_with(&prefix));
            }
            Operation::PutRecord { name, value } => {
                self.records.insert(name, StoredRecord { version, value });
            }
            Operation::Ssh(change) => self.ssh.apply(*change),
            Operation::Certificate(_) => {}
        }
    }

    /// Paths below the prefix from `start` on.
    fn below<'a>(&'a self, prefix: &str, start: Bound<String>) -> impl Iterator<Item = (&'a String, &'a StoredEntry)> {
        let end = end_of(prefix);
        self.entries.range((start, Bound::Unbounded)).take_while(move |(path, _)| **path < end)
    }
}

#[async_trait]
impl Backend for Memory {
    async fn apply(&self, batch: Batch) -> Result<Sequence, StoreError> {
        self.leases.check(&batch)?;
        let mut state = self.state.write();
        if !batch.expectations.iter().all(|expectation| state.holds(expectation)) {
            return Err(StoreError::Conflict);
        }
        state.ssh.check(batch.operations.iter().filter_map(|operation| match operation {
            Operation::Ssh(change) => Some(&**change),
            _ => None,
        }))?;
        let changes: Vec<_> = batch
            .operations
            .iter()
            .filter_map(|operation| match operation {
                Operation::Certificate(change) => Some(&**change),
                _ => None,
            })
            .collect();
        let version = state.sequence + 1;
        state.inventory.apply_all(&changes, version)?;
        state.sequence = version;
        for operation in batch.operations {
            state.apply(operation, version);
        }
        Ok(Sequence(version))
    }

    async fn sequence(&self) -> Result<Sequence, StoreError> {
        Ok(Sequence(self.state.read().sequence))
    }

    async fn read(&self, path: String) -> Result<Option<StoredEntry>, StoreError> {
        Ok(self.state.read().entries.get(&path).cloned())
    }

    async fn read_record(&self, name: &'static str) -> Result<Option<StoredRecord>, StoreError> {
        Ok(self.state.read().records.get(name).cloned())
    }

    async fn list(&self, prefix: String, page: Page) -> Result<Vec<String>, StoreError> {
        let state = self.state.read();
        let limit = page.limit.unwrap_or(usize::MAX);
        let mut children = Vec::new();
        let mut start = first(&prefix, page.after.as_deref());
        while children.len() < limit {
            let Some((path, _)) = state.below(&prefix, start).next() else { break };
            let rest = path.strip_prefix(&*prefix).unwrap_or(path);
            let child = rest.split_inclusive('/').next().unwrap_or(rest).to_owned();
            start = first(&prefix, Some(&child));
            children.push(child);
        }
        Ok(children)
    }

    async fn keys(&self, prefix: String, page: Page) -> Result<Vec<String>, StoreError> {
        let start = match page.after {
            Some(after) => Bound::Excluded(format!("{prefix}{after}")),
            None => Bound::Included(prefix.clone()),
        };
        let state = self.state.read();
        let keys = state.below(&prefix, start).filter_map(|(path, _)| path.strip_prefix(&*prefix));
        Ok(keys.take(page.limit.unwrap_or(usize::MAX)).map(str::to_owned).collect())
    }

    async fn expired(&self, prefix: String, before: i64, limit: usize) -> Result<Vec<String>, StoreError> {
        let state = self.state.read();
        let mut expired: Vec<_> = state
            .below(&prefix, Bound::Included(prefix.clone()))
            .filter_map(|(path, entry)| Some((entry.expires_at.filter(|at| *at <= before)?, path)))
            .collect();
        expired.sort();
        let keys = expired.into_iter().filter_map(|(_, path)| path.strip_prefix(&*prefix));
        Ok(keys.take(limit).map(str::to_owned).collect())
    }

    async fn certificate(&self, mount: String, serial: Vec<u8>) -> Result<Option<Certificate>, StoreError> {
        Ok(self.state.read().inventory.certificate(mount, serial))
    }

    async fn serials(&self, mount: String, page: SerialPage) -> Result<Vec<Vec<u8>>, StoreError> {
        Ok(self.state.read().inventory.serials(&mount, &page))
    }

    async fn revoked_serials(&self, mount: String, page: SerialPage) -> Result<Vec<Vec<u8>>, StoreError> {
        Ok(self.state.read().inventory.revoked_serials(&mount, &page))
    }

    async fn revoked(
        &self,
        mount: String,
        scope: RevokedScope,
        page: RevokedPage,
    ) -> Result<Vec<RevokedCertificate>, StoreError> {
        Ok(self.state.read().inventory.revoked(&mount, &scope, &page))
    }

    async fn search(&self, query: CertificateQuery) -> Result<Vec<Certificate>, StoreError> {
        Ok(self.state.read().inventory.search(&query))
    }

    async fn count(&self, filter: CertificateFilter) -> Result<u64, StoreError> {
        let query = CertificateQuery { filter, ..CertificateQuery::default() };
        let found = self.state.read().inventory.search(&query).len();
        Ok(u64::try_from(found).unwrap_or(u64::MAX))
    }

    async fn claim_lease(
        &self,
        name: &'static str,
        holder: &str,
        term: Duration,
    ) -> Result<Option<JobLease>, StoreError> {
        Ok(self.leases.claim(name, holder, term))
    }

    async fn release_lease(&self, lease: &JobLease) -> Result<(), StoreError> {
        self.leases.release(lease);
        Ok(())
    }
}

/// Where a list goes on behind the child `after`; behind a folder that is behind everything in it.
fn first(prefix: &str, after: Option<&str>) -> Bound<String> {
    match after {
        None => Bound::Included(prefix.to_owned()),
        Some(child) if child.ends_with('/') => Bound::Included(end_of(&format!("{prefix}{child}"))),
        Some(child) => Bound::Excluded(format!("{prefix}{child}")),
    }
}
