//! How many messages a key version has encrypted, so that none encrypts more than its cipher allows.
//!
//! A cipher with random 96-bit nonces is good for [`LIMIT`] messages of one key (SP 800-38D §8.3). That rule is AES-GCM's;
//! a nonce used twice ruins ChaCha20-Poly1305 just as well, so its keys are counted too. A derived key counts on its
//! version, over all contexts: that is too high, never too low.
//!
//! Nothing is written while messages are counted. A version's [`Counter`] hands out what the store has already written
//! off, so after a crash the count is too high by what was not used, never too low:
//!
//! - every version may encrypt [`FREE`] messages after each start of the mount without a note in the store. The mount
//!   counts its starts, and every version is taken to have used that up in every start since its last note;
//! - beyond that, blocks of [`BLOCK`] are written off at `usage/<name>/<number>`, the next one while half of the last is
//!   still there. Only a request that finds nothing left waits for the store.
//!
//! A crash thus costs a busy version at most one and a half blocks, which is 0.04 % of the limit, and an idle one
//! [`FREE`], a millionth of it. A counter that no cached key uses any more is settled exactly by the mount's tick.

use crate::{
    error::TransitError,
    key::Key,
    storage::{Storage, Stored},
};
use chancery_engine::Response;
use chancery_store::{Changes, StoreError};
use jiff::Timestamp;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::{
    collections::HashMap,
    sync::{
        Arc, Weak,
        atomic::{
            AtomicBool, AtomicU64,
            Ordering::{AcqRel, Acquire, Relaxed, Release},
        },
    },
};

/// Most messages of one version.
pub(crate) const LIMIT: u64 = 1 << 32;

/// From here on answers carry a warning.
pub(crate) const WARN_AT: u64 = LIMIT / 4 * 3;

/// From here on the key is rotated by itself.
pub(crate) const ROTATE_AT: u64 = LIMIT / 10 * 9;

/// Messages of a version after each start of the mount that need no note in the store.
pub(crate) const FREE: u64 = 1 << 12;

/// Messages written off at once: at 100,000 a second, one write in ten seconds.
pub(crate) const BLOCK: u64 = 1 << 20;

/// Starts are counted from here.
const FIRST_START: u64 = 1;

/// Counters that are settled in one commit.
const SETTLED_AT_ONCE: usize = 256;

/// What is stored of a version's use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct UsageRecord {
    /// Messages written off.
    pub(crate) encryptions: u64,
    /// Number of the mount's start that wrote it.
    pub(crate) start: u64,
    /// When the version was made; another version of the same name and number is another version.
    pub(crate) made_at: Timestamp,
}

/// One version. A name and a number may come again after a deletion, the moment of the making does not.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Place {
    name: Arc<str>,
    number: u32,
    made_at: Timestamp,
}

/// What the store has of a version that exists.
struct Current {
    key: Stored,
    record: UsageRecord,
    /// What a change of the record must expect.
    entry_version: Option<u64>,
}

/// The counters of one mount.
pub(crate) struct Usage {
    storage: Arc<Storage>,
    /// This start's number, once it is stored.
    start: tokio::sync::OnceCell<u64>,
    counters: Mutex<HashMap<Place, Arc<Counter>>>,
    /// Counters that asked for more.
    short: Mutex<Vec<Arc<Counter>>>,
    any_short: AtomicBool,
    /// Held while counters are filled or settled.
    gate: tokio::sync::Mutex<()>,
}

/// The messages that one version may still encrypt in this process.
pub(crate) struct Counter {
    place: Place,
    usage: Weak<Usage>,
    /// Messages written off before this counter was made.
    before: u64,
    used: AtomicU64,
    granted: AtomicU64,
    /// More is asked for when `used` passes this.
    low_mark: AtomicU64,
    /// How many of `granted` are written off; changed only behind the gate.
    written_off: AtomicU64,
    asked: AtomicBool,
    /// There is no more to ask for.
    full: AtomicBool,
    warned: AtomicBool,
}

impl UsageRecord {
    fn new(made_at: Timestamp) -> Self {
        Self { encryptions: 0, start: FIRST_START, made_at }
    }

    /// What must be taken as used at the beginning of start number `start`.
    fn carried(self, start: u64) -> u64 {
        self.encryptions.saturating_add(start.saturating_sub(self.start).saturating_mul(FREE))
    }
}

impl Usage {
    pub(crate) fn new(storage: Arc<Storage>) -> Arc<Self> {
        Arc::new(Self {
            storage,
            start: tokio::sync::OnceCell::new(),
            counters: Mutex::default(),
            short: Mutex::default(),
            any_short: AtomicBool::new(false),
            gate: tokio::sync::Mutex::default(),
        })
    }

    /// The counter of a version that was made at `made_at`; all that use the version at once share it.
    pub(crate) async fn counter(
        self: &Arc<Self>,
        (name, number): (&str, u32),
        made_at: Timestamp,
    ) -> Result<Arc<Counter>, StoreError> {
        let place = Place { name: name.into(), number, made_at };
        if let Some(counter) = self.counters.lock().get(&place) {
            return Ok(Arc::clone(counter));
        }
        let start = self.start().await?;
        let (record, _) = self.record(&place).await?;
        let counter = Arc::new(Counter::new(place.clone(), Arc::downgrade(self), record, start));
        Ok(Arc::clone(self.counters.lock().entry(place).or_insert(counter)))
    }

    /// Has more written off, beside the requests, where a counter asked for it.
    pub(crate) fn refill_beside(self: &Arc<Self>) {
        if self.any_short.load(Relaxed) && self.any_short.swap(false, AcqRel) {
            let usage = Arc::clone(self);
            tokio::spawn(async move {
                if let Err(error) = usage.refill().await {
                    tracing::warn!(%error, "encryptions of a transit key could not be reserved; trying again");
                }
            });
        }
    }

    /// Has more written off for every counter that asked. One that asked before the call has it afterwards.
    pub(crate) async fn refill(&self) -> Result<(), TransitError> {
        let _gate = self.gate.lock().await;
        let short = std::mem::take(&mut *self.short.lock());
        let mut outcome = Ok(());
        for counter in short {
            let written = self.write_off(&counter).await;
            counter.asked.store(false, Release);
            outcome = outcome.and(written);
        }
        outcome
    }

    /// Number of this start of the mount, stored before it is first used.
    async fn start(&self) -> Result<u64, StoreError> {
        self.start.get_or_try_init(|| self.storage.count_start()).await.copied()
    }

    /// The record of a version; an empty one where there is none or one of another version.
    async fn record(&self, place: &Place) -> Result<(UsageRecord, Option<u64>), StoreError> {
        Ok(match self.storage.usage(&place.name, place.number).await? {
            Some((record, version)) if record.made_at == place.made_at => (record, Some(version)),
            other => (UsageRecord::new(place.made_at), other.map(|(_, version)| version)),
        })
    }

    /// What the store has of a version; `None` where the version is gone.
    async fn current(&self, place: &Place) -> Result<Option<Current>, StoreError> {
        let Some(key) = self.storage.record(&place.name).await? else { return Ok(None) };
        let version = self.storage.version(&place.name, place.number).await?;
        if version.is_none_or(|version| version.created_at != place.made_at) {
            return Ok(None);
        }
        let (record, entry_version) = self.record(place).await?;
        Ok(Some(Current { key, record, entry_version }))
    }

    /// Adds the change of a record.
    fn write(&self, changes: &mut Changes, place: &Place, current: &Current) -> Result<(), StoreError> {
        self.storage.put_usage(changes, (&place.name, place.number), current.record, current.entry_version)?;
        self.storage.expect_unchanged(changes, &place.name, &current.key);
        Ok(())
    }

    /// Writes one more block off.
    async fn write_off(&self, counter: &Counter) -> Result<(), TransitError> {
        let start = self.start().await?;
        let place = &counter.place;
        let granted = counter.granted.load(Acquire);
        let not_written = granted.saturating_sub(counter.written_off.load(Acquire));
        let reserve = || async {
            let mut changes = Changes::default();
            let mut current = self.current(place).await?.ok_or(TransitError::EncryptionKeyNotFound)?;
            let carried = current.record.carried(start).saturating_add(not_written);
            let block = BLOCK.min(LIMIT.saturating_sub(carried));
            let total = carried.saturating_add(block);
            current.record.encryptions = total;
            current.record.start = current.record.start.max(start);
            self.write(&mut changes, place, &current)?;
            let key = &current.key.record;
            if total >= ROTATE_AT && key.latest_version == place.number && key.rotates_by_itself() {
                self.storage.mark_full(&mut changes, &place.name, place.number)?;
            }
            Ok::<_, TransitError>((changes, (total, block)))
        };
        let (total, block) = self.storage.store().transact("reserve transit encryptions", reserve).await?;
        counter.fill(granted.saturating_add(block), block);
        counter.log(total);
        Ok(())
    }

    /// Settles and drops the counters that no key in use refers to.
    pub(crate) async fn settle(&self) -> Result<(), TransitError> {
        let _gate = self.gate.lock().await;
        loop {
            let idle = self.freeze_idle();
            if idle.is_empty() {
                return Ok(());
            }
            self.write_down(&idle).await?;
            let mut counters = self.counters.lock();
            for counter in idle {
                counter.written_off.store(counter.used.load(Acquire), Release);
                let place = counter.place.clone();
                drop(counter);
                if counters.get(&place).is_some_and(|counter| Arc::strong_count(counter) == 1) {
                    counters.remove(&place);
                }
            }
        }
    }

    /// Counters that only this registry holds. They hand out nothing more; whoever takes one up again must ask.
    fn freeze_idle(&self) -> Vec<Arc<Counter>> {
        let counters = self.counters.lock();
        let idle = counters.values().filter(|counter| Arc::strong_count(counter) == 1).take(SETTLED_AT_ONCE);
        let idle: Vec<_> = idle.cloned().collect();
        for counter in &idle {
            let used = counter.used.load(Acquire);
            counter.granted.store(used, Release);
            counter.low_mark.store(used, Release);
        }
        idle
    }

    /// Writes down exactly what frozen counters have handed out.
    async fn write_down(&self, counters: &[Arc<Counter>]) -> Result<(), TransitError> {
        let start = self.start().await?;
        let settle = || async {
            let mut changes = Changes::default();
            for counter in counters.iter().filter(|counter| counter.used.load(Acquire) > 0) {
                let Some(mut current) = self.current(&counter.place).await? else { continue };
                let (used, written) = (counter.used.load(Acquire), counter.written_off.load(Acquire));
                current.record.encryptions = current.record.carried(start).saturating_add(used).saturating_sub(written);
                current.record.start = current.record.start.max(start);
                self.write(&mut changes, &counter.place, &current)?;
            }
            Ok::<_, TransitError>((changes, ()))
        };
        self.storage.store().transact("settle transit encryptions", settle).await
    }
}

impl Key {
    /// Adds a warning to what the key encrypted if its latest version nears its end.
    pub(crate) fn caution(&self, response: Response) -> Response {
        let number = self.record.latest_version;
        let counter = self.versions.get(number).and_then(|version| version.counter.as_ref());
        if counter.is_none_or(|counter| counter.total() < WARN_AT) {
            return response;
        }
        response.warn(format!(
            "version {number} of this key has made 75% or more of the 2^32 encryptions its cipher allows; rotate the key"
        ))
    }
}

impl Counter {
    fn new(place: Place, usage: Weak<Usage>, record: UsageRecord, start: u64) -> Self {
        let before = record.carried(start);
        // A later start wrote it, so another process serves this mount too: nothing is free for us.
        let free = if record.start > start { 0 } else { FREE.min(LIMIT.saturating_sub(before)) };
        Self {
            place,
            usage,
            before,
            used: AtomicU64::new(0),
            granted: AtomicU64::new(free),
            low_mark: AtomicU64::new(free / 2),
            written_off: AtomicU64::new(0),
            asked: AtomicBool::new(false),
            full: AtomicBool::new(before >= LIMIT),
            warned: AtomicBool::new(false),
        }
    }

    /// Takes one message, or tells that none is left without asking the store.
    pub(crate) fn take(self: &Arc<Self>) -> Result<(), TransitError> {
        let used = self.used.fetch_add(1, AcqRel).saturating_add(1);
        if used > self.low_mark.load(Acquire) { self.run_low(used) } else { Ok(()) }
    }

    /// Messages of this version so far; after a crash more than there were.
    pub(crate) fn total(&self) -> u64 {
        self.before.saturating_add(self.used.load(Relaxed))
    }

    #[cold]
    fn run_low(self: &Arc<Self>, used: u64) -> Result<(), TransitError> {
        let full = self.full.load(Acquire);
        if !full
            && !self.asked.swap(true, AcqRel)
            && let Some(usage) = self.usage.upgrade()
        {
            usage.short.lock().push(Arc::clone(self));
            usage.any_short.store(true, Release);
        }
        if used <= self.granted.load(Acquire) {
            return Ok(());
        }
        self.used.fetch_sub(1, AcqRel);
        Err(if full { TransitError::Exhausted } else { TransitError::Unreserved })
    }

    /// Hands out up to `granted`, of which `block` is new. A block that is not whole is the last one.
    fn fill(&self, granted: u64, block: u64) {
        self.written_off.store(granted, Release);
        self.low_mark.store(granted.saturating_sub(block / 2), Release);
        self.granted.store(granted, Release);
        self.full.store(block < BLOCK, Release);
    }

    fn log(&self, total: u64) {
        if total >= WARN_AT && !self.warned.swap(true, AcqRel) {
            tracing::warn!(
                key = &*self.place.name,
                version = self.place.number,
                encryptions = total,
                "a version of a transit key has used up three quarters of the encryptions its cipher allows"
            );
        }
    }
}
