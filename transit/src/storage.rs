//! Where a mount keeps its keys; the whole key layout is on this page.
//!
//! | key below the mount's view | holds |
//! |---|---|
//! | `key/<name>` | [`KeyRecord`]: type, options, version bounds |
//! | `version/<name>/<number>` | [`VersionRecord`]: the material of one version; the number has ten digits, so that order is kept |
//! | `config/keys` | [`KeysConfiguration`] |
//! | `config/cache` | see `api/cache_config.rs` |
//! | `config/wrapping-key` | see `wrapping_key.rs` |
//!
//! A version is an entry of its own, so a key may have any number of them, and rotating or trimming touches only what
//! changes. Every change replaces `key/<name>` at the version it was read, which orders all changes of one key.

use crate::{
    error::TransitError,
    key::{Key, KeyRecord},
    version::{KeyVersion, VersionRecord},
};
use chancery_store::{Changes, Page, Store, StoreError, View};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::collections::BTreeMap;

/// How often a load starts over because the key changed while it was read.
const LOAD_ATTEMPTS: u32 = 8;

/// Settings that hold for all keys of the mount.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct KeysConfiguration {
    /// Whether encrypting with a missing key fails instead of making it.
    pub(crate) disable_upsert: bool,
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

    /// Reads a key with the versions that may be used, ready for use.
    pub(crate) async fn load(&self, name: &str) -> Result<Option<Key>, TransitError> {
        for _ in 0..LOAD_ATTEMPTS {
            let Some(stored) = self.record(name).await? else { return Ok(None) };
            if let Some(versions) = self.load_versions(name, &stored.record).await? {
                return Ok(Some(Key { name: name.to_owned(), record: stored.record, versions }));
            }
        }
        Err(StoreError::Corrupt { place: version_place(name, 0) }.into())
    }

    /// `None` where a version is missing: the key was changed meanwhile.
    async fn load_versions(
        &self,
        name: &str,
        record: &KeyRecord,
    ) -> Result<Option<BTreeMap<u32, KeyVersion>>, TransitError> {
        let mut versions = BTreeMap::new();
        for number in record.usable_versions() {
            let Some(version) = self.version(name, number).await? else { return Ok(None) };
            versions.insert(number, KeyVersion::expand(record, version)?);
        }
        Ok(Some(versions))
    }

    /// A new key with its first version.
    pub(crate) fn create(
        &self,
        changes: &mut Changes,
        name: &str,
        record: &KeyRecord,
        version: &VersionRecord,
    ) -> Result<(), StoreError> {
        changes.create(&self.view, &key_place(name), record)?;
        changes.put(&self.view, &version_place(name, record.latest_version), version)?;
        Ok(())
    }

    /// A changed key record.
    pub(crate) fn replace(&self, changes: &mut Changes, name: &str, stored: &Stored) -> Result<(), StoreError> {
        changes.replace(&self.view, &key_place(name), &stored.record, stored.entry_version, None)?;
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
    }

    /// A key and all its versions.
    pub(crate) fn delete(&self, changes: &mut Changes, name: &str, stored: &Stored) {
        changes.expect_version(&self.view, &key_place(name), stored.entry_version);
        changes.delete(&self.view, &key_place(name));
        changes.delete_view(&self.view.view(&format!("version/{name}/")));
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

fn key_place(name: &str) -> String {
    format!("key/{name}")
}

fn version_place(name: &str, number: u32) -> String {
    format!("version/{name}/{number:010}")
}
