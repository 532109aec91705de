//! Values ready for use, by name; as many as the owner allows.
//!
//! A lookup takes a read lock on one of [`SHARDS`] shards, for as long as it takes to clone an `Arc`. Where the number of
//! values is bounded, the clock algorithm decides which one goes: a hand passes over the values, takes the mark of those
//! that were used since it last came by, and removes the first that bears none; a value earns its mark when it is used
//! for the second time, so a walk over many names does not drive out what is in use. That costs a lookup one store where the
//! mark is not set yet, and an insertion a constant number of steps on average.

use parking_lot::RwLock;
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
};

/// Enough that a machine's cores seldom meet on one, little enough that walking over them is cheap.
const SHARDS: usize = 64;

/// A cache; shared by reference.
pub(crate) struct Cache<V> {
    shards: Vec<RwLock<Shard<V>>>,
    /// 0: no bound.
    capacity: AtomicUsize,
    length: AtomicUsize,
    /// The shard where the hand goes on.
    hand: AtomicUsize,
}

struct Shard<V> {
    places: HashMap<Arc<str>, usize>,
    slots: Vec<Slot<V>>,
    hand: usize,
    generation: u64,
}

struct Slot<V> {
    name: Arc<str>,
    value: Arc<V>,
    used: AtomicBool,
}

/// What a value must be inserted with, so that one loaded before a change is not kept after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Generation(u64);

impl<V> Default for Cache<V> {
    fn default() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| RwLock::default()).collect(),
            capacity: AtomicUsize::new(0),
            length: AtomicUsize::new(0),
            hand: AtomicUsize::new(0),
        }
    }
}

impl<V> Default for Shard<V> {
    fn default() -> Self {
        Self { places: HashMap::new(), slots: Vec::new(), hand: 0, generation: 0 }
    }
}

impl<V> Cache<V> {
    /// The value of that name, or what to insert it with.
    pub(crate) fn find(&self, name: &str) -> Result<Arc<V>, Generation> {
        let Some(shard) = self.shard(name) else { return Err(Generation(0)) };
        let shard = shard.read();
        let slot = shard.places.get(name).and_then(|place| shard.slots.get(*place));
        let Some(slot) = slot else { return Err(Generation(shard.generation)) };
        if !slot.used.load(Relaxed) {
            slot.used.store(true, Relaxed);
        }
        Ok(Arc::clone(&slot.value))
    }

    /// Keeps a value, unless its name was forgotten since `generation`.
    pub(crate) fn insert(&self, name: &str, generation: Generation, value: Arc<V>) {
        let Some(shard) = self.shard(name) else { return };
        {
            let mut shard = shard.write();
            if shard.generation != generation.0 {
                return;
            }
            if shard.put(name, value) {
                self.length.fetch_add(1, Relaxed);
            }
        }
        self.shrink();
    }

    /// Forgets one value, or all.
    pub(crate) fn forget(&self, name: Option<&str>) {
        let Some(name) = name else {
            for shard in &self.shards {
                let mut shard = shard.write();
                shard.generation += 1;
                self.length.fetch_sub(shard.slots.len(), Relaxed);
                shard.places.clear();
                shard.slots.clear();
            }
            return;
        };
        let Some(shard) = self.shard(name) else { return };
        let mut shard = shard.write();
        shard.generation += 1;
        if let Some(place) = shard.places.get(name).copied() {
            shard.remove(place);
            self.length.fetch_sub(1, Relaxed);
        }
    }

    /// Keeps at most so many values from now on; 0 is no bound.
    pub(crate) fn set_capacity(&self, capacity: usize) {
        self.capacity.store(capacity, Relaxed);
        self.shrink();
    }

    /// See [`Cache::set_capacity`].
    pub(crate) fn capacity(&self) -> usize {
        self.capacity.load(Relaxed)
    }

    fn shard(&self, name: &str) -> Option<&RwLock<Shard<V>>> {
        // FNV-1a: it only spreads names over shards; the maps behind it are keyed against chosen names.
        let hash = name
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        // Its low half folded with its high one: the last characters of a name do not reach the bits in the middle.
        self.shards.get(usize::try_from((hash ^ (hash >> 32)) % SHARDS as u64).unwrap_or(0))
    }

    /// Removes values until the bound is kept.
    fn shrink(&self) {
        let capacity = self.capacity();
        while capacity != 0 && self.length.load(Relaxed) > capacity {
            let place = self.hand.fetch_add(1, Relaxed) % SHARDS;
            let Some(shard) = self.shards.get(place) else { return };
            if shard.write().pass() {
                self.length.fetch_sub(1, Relaxed);
            }
        }
    }
}

impl<V> Shard<V> {
    /// Whether the name is new.
    fn put(&mut self, name: &str, value: Arc<V>) -> bool {
        if let Some(slot) = self.places.get(name).and_then(|place| self.slots.get_mut(*place)) {
            slot.value = value;
            return false;
        }
        let name: Arc<str> = name.into();
        self.places.insert(Arc::clone(&name), self.slots.len());
        self.slots.push(Slot { name, value, used: AtomicBool::new(false) });
        true
    }

    fn remove(&mut self, place: usize) {
        if place >= self.slots.len() {
            return;
        }
        let gone = self.slots.swap_remove(place);
        self.places.remove(&gone.name);
        if let Some(moved) = self.slots.get(place) {
            self.places.insert(Arc::clone(&moved.name), place);
        }
    }

    /// Moves the hand over one value. Whether it removed it.
    fn pass(&mut self) -> bool {
        if self.hand >= self.slots.len() {
            self.hand = 0;
        }
        let Some(slot) = self.slots.get(self.hand) else { return false };
        if slot.used.swap(false, Relaxed) {
            self.hand += 1;
            return false;
        }
        self.remove(self.hand);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn insert(cache: &Cache<usize>, number: usize) {
        let name = format!("key-{number}");
        if let Err(generation) = cache.find(&name) {
            cache.insert(&name, generation, Arc::new(number));
        }
    }

    fn count(cache: &Cache<usize>, numbers: std::ops::Range<usize>) -> usize {
        numbers.filter(|number| cache.find(&format!("key-{number}")).is_ok()).count()
    }

    #[test]
    fn the_bound_is_kept_and_lifted() {
        let cache = Cache::default();
        for capacity in [10, 1000] {
            cache.set_capacity(capacity);
            (0..5000).for_each(|number| insert(&cache, number));
            assert_eq!(count(&cache, 0..5000), capacity);
        }
        cache.set_capacity(10);
        assert_eq!(count(&cache, 0..5000), 10);
        cache.set_capacity(0);
        (0..5000).for_each(|number| insert(&cache, number));
        assert_eq!(count(&cache, 0..5000), 5000);
    }

    #[test]
    fn what_is_used_stays_and_what_is_not_goes() {
        let cache = Cache::default();
        cache.set_capacity(1000);
        for number in 0..20_000 {
            insert(&cache, number);
            insert(&cache, number % 100);
        }
        assert!(count(&cache, 0..100) > 95, "{}", count(&cache, 0..100));
    }

    #[test]
    fn names_that_differ_little_spread_over_the_shards() {
        let cache = Cache::default();
        (0..6400).for_each(|number| insert(&cache, number));
        let largest = cache.shards.iter().map(|shard| shard.read().slots.len()).max();
        assert!(largest.is_some_and(|slots| slots < 200), "{largest:?}");
    }

    #[test]
    fn what_was_loaded_before_a_change_is_not_kept_after_it() {
        let cache = Cache::default();
        let before = cache.find("k").unwrap_err();
        cache.forget(Some("k"));
        cache.insert("k", before, Arc::new(1));
        let now = cache.find("k").unwrap_err();
        assert_ne!(before, now);
        cache.insert("k", now, Arc::new(2));
        assert_eq!(*cache.find("k").unwrap(), 2);
        cache.forget(None);
        assert!(cache.find("k").is_err());
        cache.insert("k", now, Arc::new(3));
        assert!(cache.find("k").is_err());
    }

    #[test]
    fn values_stay_findable_while_others_are_removed() {
        let cache = Cache::default();
        (0..1000).for_each(|number| insert(&cache, number));
        for number in (0..1000).step_by(3) {
            cache.forget(Some(&format!("key-{number}")));
        }
        for number in 0..1000 {
            let found = cache.find(&format!("key-{number}")).ok();
            assert_eq!(found.map(|value| *value), (number % 3 != 0).then_some(number));
        }
    }
}
