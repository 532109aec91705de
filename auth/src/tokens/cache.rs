//! Identities of tokens seen lately, so that authentication touches neither store nor policy documents.
//!
//! Only tokens without a use count are kept. Revocation removes an entry before it answers; the epoch keeps a reader
//! that was already on its way from putting the entry back.

use chancery_engine::Identity;
use jiff::Timestamp;
use parking_lot::RwLock;
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// Most identities kept.
const CAPACITY: usize = 100_000;

/// What is known of one token.
#[derive(Clone)]
pub(super) struct Cached {
    pub(super) identity: Arc<Identity>,
    pub(super) expires: Option<Timestamp>,
    pub(super) bound_cidrs: Arc<[String]>,
    /// Policy generation the ACL was compiled under.
    pub(super) generation: u64,
}

/// Identities by token hash.
#[derive(Default)]
pub(super) struct IdentityCache {
    by_key: RwLock<HashMap<String, Cached>>,
    epoch: AtomicU64,
}

impl IdentityCache {
    /// To be read before the store is.
    pub(super) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    pub(super) fn lookup(&self, key: &str) -> Option<Cached> {
        self.by_key.read().get(key).cloned()
    }

    /// Keeps `cached` unless something was removed since `epoch`.
    pub(super) fn insert(&self, key: String, cached: Cached, epoch: u64) {
        let mut by_key = self.by_key.write();
        if self.epoch() != epoch {
            return;
        }
        if by_key.len() >= CAPACITY {
            by_key.clear();
        }
        by_key.insert(key, cached);
    }

    pub(super) fn remove<'a>(&self, keys: impl IntoIterator<Item = &'a String>) {
        let mut by_key = self.by_key.write();
        self.epoch.fetch_add(1, Ordering::AcqRel);
        for key in keys {
            by_key.remove(key);
        }
    }

    pub(super) fn clear(&self) {
        let mut by_key = self.by_key.write();
        self.epoch.fetch_add(1, Ordering::AcqRel);
        by_key.clear();
    }
}
