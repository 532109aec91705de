//! Rotation that nobody asked for: a key's period is over, or its latest version has nearly used up its encryptions.
//!
//! Which keys are due is never found by looking at keys. `rotation/period/<name>` is an entry that expires when the key's
//! period is over; it is written in the same change set as the key, so the two cannot disagree, whenever the process
//! stops. `rotation/usage/<name>` is written by the counter (`usage.rs`) and is due at once. The store finds entries that
//! have expired by index, so the tick costs nothing where nothing is due.
//!
//! As in Vault, keys that were imported without `allow_rotation`, that are soft-deleted or that live outside are left
//! alone: they have no entry, and get one when that changes.

use crate::{error::TransitError, key::KeyRecord, key_type::KeyType, storage::Due, transit::Transit};
use jiff::{SignedDuration, Timestamp};
use std::time::{Duration, Instant};

/// Due keys that are read in one go.
const AT_ONCE: usize = 100;

/// How long one tick rotates; what is left is for the next.
const LONGEST_TICK: Duration = Duration::from_secs(20);

/// How long a key waits whose rotation failed, so that it does not hold up the others.
const RETRY: SignedDuration = SignedDuration::from_mins(10);

impl KeyRecord {
    /// When the latest version is to be replaced.
    pub(crate) fn rotation_due(&self) -> Option<Timestamp> {
        if self.auto_rotate_period_seconds == 0 || !self.rotates_by_itself() {
            return None;
        }
        // A period of thousands of years never ends.
        self.latest_version_at?.checked_add(SignedDuration::from_secs(self.auto_rotate_period_seconds)).ok()
    }

    /// Whether the key may get a version that nobody asked for.
    pub(crate) fn rotates_by_itself(&self) -> bool {
        let allowed = self.imported.is_none_or(|imported| imported.allow_rotation);
        !self.soft_deleted && allowed && self.key_type != KeyType::ExternalKey
    }
}

impl Transit {
    /// Rotates the keys that are due.
    pub(crate) async fn rotate_due(&self, now: Timestamp) -> Result<(), TransitError> {
        let started = Instant::now();
        loop {
            let due = self.storage.due(now, AT_ONCE).await?;
            for (due, name) in &due {
                if started.elapsed() > LONGEST_TICK {
                    return Ok(());
                }
                self.rotate_one((*due, name), now).await?;
            }
            if due.len() < AT_ONCE {
                return Ok(());
            }
        }
    }

    /// Whether the condition holds for this state of the key.
    pub(crate) async fn applies(&self, when: When, name: &str, record: &KeyRecord) -> Result<bool, TransitError> {
        match when {
            When::Asked => Ok(true),
            When::Due(due, now) => Ok(self.storage.is_due((due, name), record, now).await?),
        }
    }

    async fn rotate_one(&self, (due, name): (Due, &str), now: Timestamp) -> Result<(), TransitError> {
        match self.rotate_when(name, When::Due(due, now)).await {
            Ok(Some(true)) if due == Due::Period => {
                tracing::info!(key = name, "transit key rotated: its period is over");
                return Ok(());
            }
            Ok(Some(true)) => tracing::warn!(key = name, "transit key rotated: its version was nearly used up"),
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(key = name, %error, "transit key could not be rotated by itself; trying again later");
                return Ok(self.storage.postpone((due, name), now, later(now)).await?);
            }
        }
        Ok(self.storage.drop_due((due, name), now).await?)
    }
}

/// The condition of a rotation.
#[derive(Debug, Clone, Copy)]
pub(crate) enum When {
    /// Somebody asked for it.
    Asked,
    /// The key is due at this time.
    Due(Due, Timestamp),
}

fn later(now: Timestamp) -> Timestamp {
    now.checked_add(RETRY).unwrap_or(now)
}
