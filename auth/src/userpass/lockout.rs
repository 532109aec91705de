//! Lock-out after failed logins, by canonical name, known or not (CVE-2025-6004): 5 failures within 15 minutes lock a
//! name for 15 minutes. Locks outlive a restart; counts do not.

use crate::error::stored;
use chancery_engine::{Clock, Fault};
use chancery_store::{Changes, Store, View};
use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use std::{collections::HashMap, sync::Arc};

const THRESHOLD: u32 = 5;
const WINDOW: SignedDuration = SignedDuration::from_mins(15);
/// Most names counted at a time.
const MAX_NAMES: usize = 10_000;

/// The failures and locks of one mount.
#[derive(Debug)]
pub(super) struct Lockout {
    view: View,
    store: Store,
    clock: Arc<dyn Clock>,
    failures: Mutex<HashMap<String, (u32, Timestamp)>>,
}

impl Lockout {
    pub(super) fn new(view: View, store: Store, clock: Arc<dyn Clock>) -> Self {
        Self { view, store, clock, failures: Mutex::default() }
    }

    pub(super) async fn is_locked(&self, name: &str) -> Result<bool, Fault> {
        let entry = stored(self.view.read(name).await)?;
        Ok(entry.and_then(|entry| entry.expires_at).is_some_and(|until| self.clock.now() < until))
    }

    pub(super) async fn note_failure(&self, name: &str) -> Result<(), Fault> {
        let now = self.clock.now();
        if self.count(name, now) < THRESHOLD {
            return Ok(());
        }
        self.failures.lock().remove(name);
        let mut changes = Changes::default();
        let until = now.checked_add(WINDOW).unwrap_or(Timestamp::MAX);
        stored(changes.put_expiring(&self.view, name, &(), until).map(drop))?;
        for over in stored(self.view.expired(now, 100).await)? {
            changes.delete(&self.view, &over);
        }
        stored(self.store.commit(changes).await.map(drop))
    }

    /// Forgets the failures of a name, and a lock that is over.
    pub(super) async fn clear(&self, name: &str) -> Result<(), Fault> {
        self.failures.lock().remove(name);
        if stored(self.view.read(name).await)?.is_none() {
            return Ok(());
        }
        let mut changes = Changes::default();
        changes.delete(&self.view, name);
        stored(self.store.commit(changes).await.map(drop))
    }

    pub(super) fn forget(&self) {
        self.failures.lock().clear();
    }

    fn count(&self, name: &str, now: Timestamp) -> u32 {
        let mut failures = self.failures.lock();
        if failures.len() >= MAX_NAMES && !failures.contains_key(name) {
            failures.retain(|_, (_, last)| now.duration_since(*last) < WINDOW);
            if failures.len() >= MAX_NAMES {
                failures.clear();
            }
        }
        let (count, last) = failures.entry(name.to_owned()).or_insert((0, now));
        if now.duration_since(*last) >= WINDOW {
            *count = 0;
        }
        *count += 1;
        *last = now;
        *count
    }
}
