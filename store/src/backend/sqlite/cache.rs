//! Entries that were read or written lately, sealed as they lie in the database: reading one costs neither a change of
//! thread nor a query.
//!
//! The writer is the only one who changes the database, so this is never wrong: it tells of every commit before it answers
//! whoever asked for it, and what a reader fetched while a commit came in between is not kept.

use crate::backend::{Batch, Operation, StoredEntry};
use parking_lot::Mutex;
use std::collections::HashMap;

/// Bytes in each of the two halves.
const HALF: usize = 8 << 20;
/// Larger values are read from the database: a copy of them costs more than the query.
const LARGEST: usize = 64 << 10;

/// What was not there when it was looked for; the right to put it there.
pub(super) struct Missing {
    commits: u64,
}

#[derive(Default)]
pub(super) struct EntryCache {
    state: Mutex<State>,
}

/// What is found moves to the young half; when that is full it becomes the old one, and what the old one still had was not
/// wanted for a while.
#[derive(Default)]
struct State {
    young: HashMap<String, StoredEntry>,
    old: HashMap<String, StoredEntry>,
    bytes: usize,
    commits: u64,
}

impl EntryCache {
    /// The entry, or the right to bring it.
    pub(super) fn find(&self, path: &str) -> Result<StoredEntry, Missing> {
        let mut state = self.state.lock();
        if let Some(entry) = state.young.get(path) {
            return Ok(entry.clone());
        }
        match state.old.remove_entry(path) {
            Some((path, entry)) => {
                state.keep(path, entry.clone());
                Ok(entry)
            }
            None => Err(Missing { commits: state.commits }),
        }
    }

    /// Keeps what was read, unless anything was committed meanwhile: it may be what was there before.
    pub(super) fn bring(&self, missing: &Missing, path: String, entry: &StoredEntry) {
        if entry.value.len() > LARGEST {
            return;
        }
        let mut state = self.state.lock();
        if state.commits == missing.commits {
            state.keep(path, entry.clone());
        }
    }

    /// Takes over what was committed; with the version it has now.
    pub(super) fn committed<'a>(&self, batches: impl Iterator<Item = (&'a Batch, u64)>) {
        let mut state = self.state.lock();
        state.commits += 1;
        for (batch, version) in batches {
            for operation in &batch.operations {
                state.apply(operation, version);
            }
        }
    }

    /// Forgets everything: what the database holds is not known.
    pub(super) fn forget(&self) {
        let mut state = self.state.lock();
        *state = State { commits: state.commits + 1, ..State::default() };
    }
}

impl State {
    fn apply(&mut self, operation: &Operation, version: u64) {
        match operation {
            Operation::Put { path, value, expires_at } if value.len() <= LARGEST => {
                self.old.remove(path);
                self.keep(path.clone(), StoredEntry { version, value: value.clone(), expires_at: *expires_at });
            }
            Operation::Put { path, .. } | Operation::Delete { path } => {
                self.young.remove(path);
                self.old.remove(path);
            }
            Operation::DeleteBelow { .. } => (self.young, self.old) = Default::default(),
            Operation::PutRecord { .. } | Operation::Certificate(_) | Operation::Ssh(_) => {}
        }
    }

    fn keep(&mut self, path: String, entry: StoredEntry) {
        // What is replaced or removed is still counted: the halves only change places the sooner.
        self.bytes += path.len() + entry.value.len();
        self.young.insert(path, entry);
        if self.bytes > HALF {
            self.old = std::mem::take(&mut self.young);
            self.bytes = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(version: u64, bytes: usize) -> StoredEntry {
        StoredEntry { version, value: vec![7; bytes], expires_at: None }
    }

    fn batch(operations: Vec<Operation>) -> Batch {
        Batch { expectations: Vec::new(), operations }
    }

    fn put(path: &str, bytes: usize) -> Operation {
        Operation::Put { path: path.to_owned(), value: vec![7; bytes], expires_at: None }
    }

    fn version(cache: &EntryCache, path: &str) -> Option<u64> {
        cache.find(path).ok().map(|entry| entry.version)
    }

    #[test]
    fn what_was_read_is_kept_unless_a_commit_came_between() {
        let cache = EntryCache::default();
        let Err(missing) = cache.find("a") else { panic!("nothing is there yet") };
        cache.bring(&missing, "a".to_owned(), &entry(1, 10));
        assert_eq!(version(&cache, "a"), Some(1));
        let Err(missing) = cache.find("b") else { panic!("nothing is there yet") };
        cache.committed([(&batch(vec![put("c", 1)]), 2)].into_iter());
        cache.bring(&missing, "b".to_owned(), &entry(1, 10));
        assert_eq!(version(&cache, "b"), None);
    }

    #[test]
    fn a_commit_replaces_and_removes() {
        let cache = EntryCache::default();
        cache.committed([(&batch(vec![put("v/a", 1), put("v/b", 1), put("w/a", 1)]), 1)].into_iter());
        assert_eq!(cache.find("v/a").ok(), Some(entry(1, 1)));
        let delete = Operation::Delete { path: "v/a".to_owned() };
        cache.committed([(&batch(vec![put("v/b", 2), delete]), 2)].into_iter());
        assert_eq!((version(&cache, "v/a"), cache.find("v/b").ok()), (None, Some(entry(2, 2))));
        cache.committed([(&batch(vec![put("v/b", LARGEST + 1)]), 3)].into_iter());
        assert_eq!(version(&cache, "v/b"), None, "too large to be kept, and not as it was");
        cache.committed([(&batch(vec![Operation::DeleteBelow { prefix: "v/".to_owned() }]), 4)].into_iter());
        assert_eq!(version(&cache, "w/a"), None);
        cache.committed([(&batch(vec![put("v/a", 1)]), 5)].into_iter());
        cache.forget();
        assert_eq!(version(&cache, "v/a"), None);
    }

    #[test]
    fn memory_is_bounded_and_what_is_wanted_stays() {
        let cache = EntryCache::default();
        for number in 0..1000 {
            cache.committed([(&batch(vec![put(&format!("e/{number}"), LARGEST)]), 1)].into_iter());
            assert!(number == 0 || cache.find("e/0").is_ok(), "asked for every time, gone after {number}");
        }
        let state = cache.state.lock();
        let held = |half: &HashMap<String, StoredEntry>| half.values().map(|entry| entry.value.len()).sum::<usize>();
        assert!(held(&state.young) + held(&state.old) <= 2 * (HALF + LARGEST));
    }
}
