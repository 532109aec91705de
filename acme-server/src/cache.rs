//! Accounts, orders and authorizations as they were read or written last, in memory. Each request of the protocol looks at
//! its account and at one or two objects; in the database each look costs a change of thread, a transaction and a
//! decryption, which together are more than the rest of the request.
//!
//! Only where this process alone writes the database. What is remembered is what is durable: an object is replaced here
//! after its commit and before anybody is told of it, and forgotten where a commit's outcome is not known.

use crate::storage::{Kept, Stored};
use parking_lot::Mutex;
use std::{
    collections::{HashMap, hash_map::RandomState},
    hash::BuildHasher as _,
    sync::Arc,
};

/// Parts with a lock each.
const SHARDS: u64 = 256;

/// Objects of one part before its older half is forgotten; 8192 objects, about a kilobyte each, over all.
const HALF: usize = 16;

/// The objects.
pub(crate) struct Cache {
    shards: Vec<Mutex<Shard>>,
    hasher: RandomState,
}

#[derive(Default)]
struct Shard {
    /// How often anything was written or forgotten here.
    changes: u64,
    young: HashMap<String, Stored<Kept>>,
    old: HashMap<String, Stored<Kept>>,
}

/// How things stood when the database was asked: what changed since may be newer than its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ticket(u64);

/// Objects in a commit that is under way. Dropped before it has settled, it forgets them.
#[derive(Default)]
pub(crate) struct Pending {
    cache: Option<Arc<Cache>>,
    writes: Vec<(String, Ticket, Stored<Kept>)>,
}

impl std::fmt::Debug for Cache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cache").finish_non_exhaustive()
    }
}

impl Default for Cache {
    fn default() -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect(), hasher: RandomState::new() }
    }
}

impl Shard {
    fn insert(&mut self, key: String, object: Stored<Kept>) {
        if self.young.len() >= HALF && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        self.old.remove(&key);
        self.young.insert(key, object);
    }

    fn forget(&mut self, key: &str) {
        self.changes += 1;
        self.young.remove(key);
        self.old.remove(key);
    }
}

impl Cache {
    fn shard(&self, key: &str) -> Option<&Mutex<Shard>> {
        let at = usize::try_from(self.hasher.hash_one(key) % SHARDS).ok()?;
        self.shards.get(at)
    }

    /// The object, or what [`Cache::fill`] wants to know when it comes from the database.
    pub(crate) fn look(&self, key: &str) -> Result<Stored<Kept>, Ticket> {
        let Some(shard) = self.shard(key) else { return Err(Ticket(0)) };
        let mut shard = shard.lock();
        if let Some(found) = shard.young.get(key) {
            return Ok(found.clone());
        }
        if let Some(found) = shard.old.remove(key) {
            shard.insert(key.to_owned(), found.clone());
            return Ok(found);
        }
        Err(Ticket(shard.changes))
    }

    /// Remembers what the database answered, unless something was written meanwhile.
    pub(crate) fn fill(&self, key: &str, ticket: Ticket, object: Stored<Kept>) {
        let Some(shard) = self.shard(key) else { return };
        let mut shard = shard.lock();
        if shard.changes == ticket.0 {
            shard.insert(key.to_owned(), object);
        }
    }

    /// Forgets an object.
    pub(crate) fn forget(&self, key: &str) {
        if let Some(shard) = self.shard(key) {
            shard.lock().forget(key);
        }
    }

    /// Forgets everything.
    pub(crate) fn clear(&self) {
        for shard in &self.shards {
            let mut shard = shard.lock();
            *shard = Shard { changes: shard.changes + 1, ..Shard::default() };
        }
    }

    /// What is about to be committed.
    pub(crate) fn pending(self: &Arc<Self>, objects: Vec<(String, Stored<Kept>)>) -> Pending {
        let ticket = |key: &str| Ticket(self.shard(key).map_or(0, |shard| shard.lock().changes));
        let writes = objects.into_iter().map(|(key, object)| (key.clone(), ticket(&key), object)).collect();
        Pending { cache: Some(Arc::clone(self)), writes }
    }
}

impl Pending {
    /// It is durable, by the commit with this number.
    pub(crate) fn settle(mut self, at: u64) {
        let Some(cache) = self.cache.take() else { return };
        for (key, ticket, mut object) in std::mem::take(&mut self.writes) {
            object.version = at;
            let Some(shard) = cache.shard(&key) else { continue };
            let mut shard = shard.lock();
            // Where somebody else wrote meanwhile, nobody here knows who was last.
            let alone = shard.changes == ticket.0;
            shard.forget(&key);
            if alone {
                shard.insert(key, object);
            }
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        let Some(cache) = self.cache.take() else { return };
        for (key, ..) in &self.writes {
            cache.forget(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        identifier::{Named, Written},
        records::Authorization,
    };
    use jiff::Timestamp;

    fn object(id: &str, version: u64) -> Stored<Kept> {
        let named = Named::parse(&Written { kind: "dns".to_owned(), value: "a.test".to_owned() }).unwrap();
        let made = Authorization::new((id.to_owned(), "account"), named, false, Timestamp::MAX, false).unwrap();
        Stored { value: Kept::Authorization(Box::new(made)), version, expires_at: None }
    }

    fn version(cache: &Cache, key: &str) -> Option<u64> {
        cache.look(key).ok().map(|found| found.version)
    }

    #[test]
    fn an_answer_that_was_overtaken_by_a_write_is_not_remembered() {
        let cache = Arc::new(Cache::default());
        let ticket = cache.look("a").unwrap_err();
        cache.pending(vec![("a".to_owned(), object("a", 0))]).settle(7);
        cache.fill("a", ticket, object("a", 3));
        assert_eq!(version(&cache, "a"), Some(7));
        let ticket = cache.look("b").unwrap_err();
        drop(cache.pending(vec![("b".to_owned(), object("b", 0))]));
        cache.fill("b", ticket, object("b", 3));
        assert_eq!(version(&cache, "b"), None);
        cache.fill("b", cache.look("b").unwrap_err(), object("b", 3));
        assert_eq!(version(&cache, "b"), Some(3));
    }

    #[test]
    fn of_two_writes_that_overlap_neither_is_remembered_as_the_last() {
        let cache = Arc::new(Cache::default());
        let first = cache.pending(vec![("a".to_owned(), object("a", 0))]);
        let second = cache.pending(vec![("a".to_owned(), object("a", 0))]);
        second.settle(6);
        first.settle(5);
        assert_eq!(version(&cache, "a"), None);
    }

    #[test]
    fn a_commit_of_unknown_outcome_forgets_and_everything_can_be_forgotten() {
        let cache = Arc::new(Cache::default());
        cache.pending(vec![("a".to_owned(), object("a", 0))]).settle(5);
        drop(cache.pending(vec![("a".to_owned(), object("a", 0))]));
        assert_eq!(version(&cache, "a"), None);
        cache.pending(vec![("a".to_owned(), object("a", 0))]).settle(8);
        let ticket = cache.look("b").unwrap_err();
        cache.clear();
        assert_eq!(version(&cache, "a"), None);
        cache.fill("b", ticket, object("b", 1));
        assert_eq!(version(&cache, "b"), None);
    }

    #[test]
    fn it_stays_small_and_keeps_what_is_used() {
        let cache = Arc::new(Cache::default());
        cache.pending(vec![("used".to_owned(), object("used", 0))]).settle(1);
        for number in 0..20_000_u64 {
            let key = format!("k{number}");
            cache.pending(vec![(key.clone(), object("k", 0))]).settle(number);
            assert_eq!(version(&cache, "used"), Some(1), "{number}");
        }
        let held = |shard: &Mutex<Shard>| {
            let shard = shard.lock();
            shard.young.len() + shard.old.len()
        };
        let held: usize = cache.shards.iter().map(held).sum();
        assert!(held <= 2 * HALF * 256, "{held}");
    }
}
