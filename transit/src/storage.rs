//! Where a mount keeps its keys; the whole key layout is on this page.
//!
//! | key below the mount's view | holds |
//! |---|---|
//! | `key/<name>` | [`KeyRecord`]: type, options, version bounds |
//! | `version/<name>/<number>` | [`VersionRecord`]: the material of one version; the number has ten digits, so that order is kept |
//! | `usage/<name>/<number>` | [`UsageRecord`]: how many messages the version has encrypted |
//! | `rotation/period/<name>` | nothing; expires when the key's rotation period is over |
//! | `rotation/usage/<name>` | [`FullVersion`]: the version that has nearly used up its encryptions |
//! | `intent/<ticket>` | objects that are being made in the token (`intent.rs`) |
//! | `config/keys` | [`KeysConfiguration`] |
//! | `config/starts` | how often the mount was started |
//! | `config/cache` | see `api/cache_config.rs` |
//! | `config/wrapping-key` | see `wrapping_key.rs` |
//!
//! A version is an entry of its own, so a key may have any number of them, and rotating or trimming touches only what
//! changes. Every change replaces `key/<name>` at the version it was read, which orders all changes of one key.

use crate::{key::KeyRecord, usage::UsageRecord, version::VersionRecord};
use chancery_store::{Changes, Page, Store, StoreError, View};
use jiff::Timestamp;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// Settings that hold for all keys of the mount.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct KeysConfiguration {
    /// Whether encrypting with a missing key fails instead of making it.
    pub(crate) disable_upsert: bool,
}

/// Why a key is due for rotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    /// Its period is over.
    Period,
    /// Its latest version has nearly used up its encryptions.
    Usage,
}

/// What `rotation/usage/<name>` holds.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct FullVersion {
    version: u32,
}

/// The entries of one mount.
pub(crate) struct Storage {
    store: Store,
    view: View,
}

/// A key record as read, with what a change of it must expect.
pub(crate) struct Stored {
    pub(crate) record: KeyRecord,
    pub(crate) entry_version: u64,
}

impl Storage {
    pub(crate) fn new(store: Store, view: View) -> Self {
        Self { store, view }
    }

    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// The entries below a folder of the mount.
    pub(crate) fn view(&self, folder: &str) -> View {
        self.view.view(folder)
    }

    /// Names of the keys, sorted.
    pub(crate) async fn names(&self, page: Page) -> Result<Vec<String>, StoreError> {
        self.view.list("key/", page).await
    }

    pub(crate) async fn record(&self, name: &str) -> Result<Option<Stored>, StoreError> {
        let Some(entry) = self.view.read(&key_place(name)).await? else { return Ok(None) };
        Ok(Some(Stored { record: entry.decode()?, entry_version: entry.version }))
    }

    pub(crate) async fn version(&self, name: &str, number: u32) -> Result<Option<VersionRecord>, StoreError> {
        self.view.read(&version_place(name, number)).await?.map(|entry| entry.decode()).transpose()
    }

    /// A new key with its first version.
    pub(crate) fn create(
        &self,
        changes: &mut Changes,
        name: &str,
        record: &KeyRecord,
        version: &VersionRecord,
    ) -> Result<(), StoreError> {
        let record = KeyRecord { latest_version_at: Some(version.created_at), ..record.clone() };
        changes.create(&self.view, &key_place(name), &record)?;
        changes.put(&self.view, &version_place(name, record.latest_version), version)?;
        self.schedule(changes, name, &record)
    }

    /// A changed key record.
    pub(crate) fn replace(&self, changes: &mut Changes, name: &str, stored: &Stored) -> Result<(), StoreError> {
        changes.replace(&self.view, &key_place(name), &stored.record, stored.entry_version, None)?;
        self.schedule(changes, name, &stored.record)
    }

    /// The changes fail if the key is changed before them.
    pub(crate) fn expect_unchanged(&self, changes: &mut Changes, name: &str, stored: &Stored) {
        changes.expect_version(&self.view, &key_place(name), stored.entry_version);
    }

    /// Keeps the time at which a key is due for rotation beside the key.
    fn schedule(&self, changes: &mut Changes, name: &str, record: &KeyRecord) -> Result<(), StoreError> {
        let place = Due::Period.place(name);
        match record.rotation_due() {
            Some(due) => drop(changes.put_expiring(&self.view, &place, &(), due)?),
            None => drop(changes.delete(&self.view, &place)),
        }
        Ok(())
    }

    /// One more version.
    pub(crate) fn add_version(
        &self,
        changes: &mut Changes,
        name: &str,
        number: u32,
        version: &VersionRecord,
    ) -> Result<(), StoreError> {
        changes.put(&self.view, &version_place(name, number), version)?;
        Ok(())
    }

    pub(crate) fn delete_version(&self, changes: &mut Changes, name: &str, number: u32) {
        changes.delete(&self.view, &version_place(name, number));
        changes.delete(&self.view, &usage_place(name, number));
    }

    /// A key and all its versions.
    pub(crate) fn delete(&self, changes: &mut Changes, name: &str, stored: &Stored) {
        changes.expect_version(&self.view, &key_place(name), stored.entry_version);
        changes.delete(&self.view, &key_place(name));
        changes.delete_view(&self.view.view(&format!("version/{name}/")));
        changes.delete_view(&self.view.view(&format!("usage/{name}/")));
        changes.delete(&self.view, &Due::Period.place(name));
        changes.delete(&self.view, &Due::Usage.place(name));
    }

    /// What lies at a place below `config/`.
    pub(crate) async fn setting<T: DeserializeOwned>(&self, place: &str) -> Result<Option<T>, StoreError> {
        self.view.read(place).await?.map(|entry| entry.decode()).transpose()
    }

    /// Writes it, whatever was there.
    pub(crate) async fn set<T: Serialize>(&self, place: &str, value: &T) -> Result<(), StoreError> {
        let mut changes = Changes::default();
        changes.put(&self.view, place, value)?;
        self.store.commit(changes).await?;
        Ok(())
    }

    /// Writes it unless something is there; whether it was written.
    pub(crate) async fn create_setting<T: Serialize>(&self, place: &str, value: &T) -> Result<bool, StoreError> {
        let mut changes = Changes::default();
        changes.create(&self.view, place, value)?;
        match self.store.commit(changes).await {
            Ok(_) => Ok(true),
            Err(StoreError::Conflict) => Ok(false),
            Err(error) => Err(error),
        }
    }

    pub(crate) async fn configuration(&self) -> Result<KeysConfiguration, StoreError> {
        let entry = self.view.read("config/keys").await?;
        entry.map_or_else(|| Ok(KeysConfiguration::default()), |entry| entry.decode())
    }

    pub(crate) async fn configure(&self, configuration: KeysConfiguration) -> Result<(), StoreError> {
        let mut changes = Changes::default();
        changes.put(&self.view, "config/keys", &configuration)?;
        self.store.commit(changes).await?;
        Ok(())
    }
}

/// Rotation: see `rotation.rs`.
impl Storage {
    /// What is due at `now`, the longest overdue first.
    pub(crate) async fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<(Due, String)>, StoreError> {
        let expired = self.view.view("rotation/").expired(now, limit).await?;
        Ok(expired.iter().filter_map(|place| Due::parse(place)).collect())
    }

    /// Whether that is so for this state of the key.
    pub(crate) async fn is_due(
        &self,
        (due, name): (Due, &str),
        record: &KeyRecord,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let Some(entry) = self.view.read(&due.place(name)).await? else { return Ok(false) };
        let expired = entry.expires_at.is_some_and(|at| at <= now) && record.rotates_by_itself();
        Ok(match due {
            Due::Period => expired,
            Due::Usage => expired && entry.decode::<FullVersion>()?.version == record.latest_version,
        })
    }

    /// Marks the latest version as one that must be replaced at once.
    pub(crate) fn mark_full(&self, changes: &mut Changes, name: &str, version: u32) -> Result<(), StoreError> {
        let (place, at_once) = (Due::Usage.place(name), Timestamp::UNIX_EPOCH);
        changes.put_expiring(&self.view, &place, &FullVersion { version }, at_once)?;
        Ok(())
    }

    /// Takes an entry off that has expired but is not due any more.
    pub(crate) async fn drop_due(&self, (due, name): (Due, &str), now: Timestamp) -> Result<(), StoreError> {
        self.change_due((due, name), now, |changes, place| {
            changes.delete(&self.view, place);
            Ok(())
        })
        .await
    }

    /// Has a key that is due come back later.
    pub(crate) async fn postpone(
        &self,
        (due, name): (Due, &str),
        now: Timestamp,
        later: Timestamp,
    ) -> Result<(), StoreError> {
        let version = self.view.read(&due.place(name)).await?.and_then(|entry| entry.decode::<FullVersion>().ok());
        self.change_due((due, name), now, |changes, place| {
            changes.put_expiring(&self.view, place, &version, later)?;
            Ok(())
        })
        .await
    }

    /// Changes an entry that has expired, unless it was changed meanwhile.
    async fn change_due<F>(&self, (due, name): (Due, &str), now: Timestamp, change: F) -> Result<(), StoreError>
    where
        F: FnOnce(&mut Changes, &str) -> Result<(), StoreError>,
    {
        let place = due.place(name);
        let Some(entry) = self.view.read(&place).await? else { return Ok(()) };
        if entry.expires_at.is_none_or(|at| at > now) {
            return Ok(());
        }
        let mut changes = Changes::default();
        changes.expect_version(&self.view, &place, entry.version);
        change(&mut changes, &place)?;
        match self.store.commit(changes).await {
            Ok(_) | Err(StoreError::Conflict) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// Usage: see `usage.rs`.
impl Storage {
    /// Counts one more start of the mount and answers its number.
    pub(crate) async fn count_start(&self) -> Result<u64, StoreError> {
        let count = || async {
            let mut changes = Changes::default();
            let entry = self.view.read(STARTS).await?;
            let before: u64 = entry.as_ref().map_or(Ok(0), chancery_store::Entry::decode)?;
            let start = before.saturating_add(1);
            self.put(&mut changes, STARTS, &start, entry.map(|entry| entry.version))?;
            Ok((changes, start))
        };
        self.store.transact("count start of transit mount", count).await
    }

    /// What was written off for a version, with what a change of it must expect.
    pub(crate) async fn usage(&self, name: &str, number: u32) -> Result<Option<(UsageRecord, u64)>, StoreError> {
        let Some(entry) = self.view.read(&usage_place(name, number)).await? else { return Ok(None) };
        Ok(Some((entry.decode()?, entry.version)))
    }

    /// Writes a version's use, at the version it was read.
    pub(crate) fn put_usage(
        &self,
        changes: &mut Changes,
        (name, number): (&str, u32),
        record: UsageRecord,
        read: Option<u64>,
    ) -> Result<(), StoreError> {
        self.put(changes, &usage_place(name, number), &record, read)
    }

    fn put<T: Serialize>(
        &self,
        changes: &mut Changes,
        place: &str,
        value: &T,
        read: Option<u64>,
    ) -> Result<(), StoreError> {
        match read {
            Some(version) => changes.replace(&self.view, place, value, version, None)?,
            None => changes.create(&self.view, place, value)?,
        };
        Ok(())
    }
}

impl Due {
    fn folder(self) -> &'static str {
        match self {
            Self::Period => "period",
            Self::Usage => "usage",
        }
    }

    fn place(self, name: &str) -> String {
        format!("rotation/{}/{name}", self.folder())
    }

    fn parse(place: &str) -> Option<(Self, String)> {
        let (folder, name) = place.split_once('/')?;
        let due = [Self::Period, Self::Usage].into_iter().find(|due| due.folder() == folder)?;
        Some((due, name.to_owned()))
    }
}

const STARTS: &str = "config/starts";

fn usage_place(name: &str, number: u32) -> String {
    format!("usage/{name}/{number:010}")
}

fn key_place(name: &str) -> String {
    format!("key/{name}")
}

fn version_place(name: &str, number: u32) -> String {
    format!("version/{name}/{number:010}")
}
