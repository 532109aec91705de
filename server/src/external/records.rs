//! What is stored of registrations, and every way it changes.
//!
//! | key below `sys/external-keys/` | holds |
//! |---|---|
//! | `config/<config>` | [`ConfigRecord`] |
//! | `key/<config>/<key>` | [`KeyRecord`] |
//! | `id/<uuid>` | the key's reference |

use super::{ExternalKeyRegistry, Place, parameters::Values, told_to_author};
use crate::fault::from_store;
use chancery_engine::{Fault, SecretString};
use chancery_hsm::KeyReference;
use chancery_store::{Changes, Page, StoreError};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// A token: how to reach it.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct ConfigRecord {
    pub(crate) plugin: String,
    /// Everything but the PIN.
    pub(crate) values: Values,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) pin: Option<SecretString>,
}

/// A key: which object it is and who may use it.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct KeyRecord {
    pub(crate) uuid: String,
    pub(crate) values: Values,
    /// Paths of mounts, with a trailing slash.
    #[serde(default)]
    pub(crate) grants: BTreeSet<String>,
    /// The object as it was found first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) found: Option<KeyReference>,
}

impl Default for KeyRecord {
    fn default() -> Self {
        Self { uuid: uuid::Uuid::new_v4().to_string(), values: Values::new(), grants: BTreeSet::new(), found: None }
    }
}

/// Whether a change is tried out on the token before it is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verify {
    Yes,
    No,
}

impl ExternalKeyRegistry {
    pub(crate) async fn config_names(&self, page: Page) -> Result<Vec<String>, StoreError> {
        self.view.list("config/", page).await
    }

    pub(crate) async fn key_names(&self, config: &str, page: Page) -> Result<Vec<String>, StoreError> {
        self.view.list(&format!("key/{config}/"), page).await
    }

    pub(crate) async fn config(&self, name: &str) -> Result<Option<ConfigRecord>, StoreError> {
        self.view.read(&config_place(name)).await?.map(|entry| entry.decode()).transpose()
    }

    pub(crate) async fn key(&self, place: &Place) -> Result<Option<KeyRecord>, StoreError> {
        self.view.read(&key_place(place)).await?.map(|entry| entry.decode()).transpose()
    }

    pub(super) async fn place_of_id(&self, id: &str) -> Result<Option<Place>, StoreError> {
        let Ok(id) = uuid::Uuid::parse_str(id) else { return Ok(None) };
        let Some(entry) = self.view.read(&format!("id/{id}")).await? else { return Ok(None) };
        Ok(Place::parse(&entry.decode::<String>()?))
    }

    /// Writes what was found of a key.
    pub(super) async fn remember(&self, place: &Place, record: &KeyRecord) -> Result<(), StoreError> {
        let mut changes = Changes::default();
        changes.put(&self.view, &key_place(place), record)?;
        self.store.commit(changes).await?;
        Ok(())
    }

    /// Makes or changes a configuration. The old token is let go first: libraries that bear one user at a time exist.
    ///
    /// # Errors
    /// What `edit` refuses; what the token answers, where it is tried.
    pub(crate) async fn change_config<F>(&self, name: &str, verify: Verify, edit: F) -> Result<(), Fault>
    where
        F: FnOnce(Option<ConfigRecord>) -> Result<ConfigRecord, Fault>,
    {
        let _turn = self.turn(name).await;
        let old = self.config(name).await.map_err(from_store)?;
        let same_token =
            |new: &ConfigRecord| old.as_ref().is_some_and(|old| old.plugin == new.plugin && old.values == new.values);
        let record = edit(old.clone())?;
        let moved = !same_token(&record);
        self.forget_ready(Some(name));
        self.tokens.close(name);
        if verify == Verify::Yes
            && let Err(error) = self.tokens.open(name, &record).await
        {
            // What is stored still stands, and shall not be answered with the failure of what was tried.
            self.tokens.close(name);
            return Err(told_to_author(error));
        }
        let stored = self.store_config(name, &record, moved).await;
        self.forget_ready(Some(name));
        if stored.is_err() {
            self.tokens.close(name);
        }
        stored.map_err(from_store)
    }

    /// In another token, keys are to be found anew.
    async fn store_config(&self, name: &str, record: &ConfigRecord, moved: bool) -> Result<(), StoreError> {
        let mut changes = Changes::default();
        changes.put(&self.view, &config_place(name), record)?;
        let keys = if moved { self.key_names(name, Page::default()).await? } else { Vec::new() };
        for key in keys {
            let place = Place { config: name.to_owned(), key };
            if let Some(mut key) = self.key(&place).await?
                && key.found.take().is_some()
            {
                changes.put(&self.view, &key_place(&place), &key)?;
            }
        }
        self.store.commit(changes).await?;
        Ok(())
    }

    /// Deletes a configuration with its keys; the objects in the token stay.
    pub(crate) async fn delete_config(&self, name: &str) -> Result<(), Fault> {
        let _turn = self.turn(name).await;
        self.forget_ready(Some(name));
        self.tokens.close(name);
        let mut changes = Changes::default();
        changes.delete(&self.view, &config_place(name));
        for key in self.key_names(name, Page::default()).await.map_err(from_store)? {
            self.delete_in(&mut changes, &Place { config: name.to_owned(), key }).await.map_err(from_store)?;
        }
        self.store.commit(changes).await.map_err(from_store)?;
        self.forget_ready(Some(name));
        Ok(())
    }

    /// Makes or changes a key.
    ///
    /// # Errors
    /// `config "…" does not exist`; what `edit` refuses; what the token answers, where it is tried.
    pub(crate) async fn change_key<F>(&self, place: &Place, verify: Verify, edit: F) -> Result<(), Fault>
    where
        F: FnOnce(Option<KeyRecord>) -> Result<KeyRecord, Fault>,
    {
        let _turn = self.turn(&place.config).await;
        if self.config(&place.config).await.map_err(from_store)?.is_none() {
            return Err(Fault::Caller(format!("config {:?} does not exist", place.config)));
        }
        let old = self.key(place).await.map_err(from_store)?;
        let old_values = old.as_ref().map(|record| record.values.clone());
        let mut record = edit(old)?;
        if old_values.as_ref() != Some(&record.values) {
            record.found = None;
        }
        if verify == Verify::Yes {
            let (_, key) = self.find(place, &record).await.map_err(told_to_author)?;
            record.found = Some(key);
        }
        let mut changes = Changes::default();
        changes.put(&self.view, &key_place(place), &record).map_err(from_store)?;
        changes.put(&self.view, &format!("id/{}", record.uuid), &place.reference()).map_err(from_store)?;
        self.store.commit(changes).await.map_err(from_store)?;
        self.forget_ready(Some(&place.config));
        Ok(())
    }

    /// Deletes a key's registration; the object in the token stays.
    pub(crate) async fn delete_key(&self, place: &Place) -> Result<(), Fault> {
        let _turn = self.turn(&place.config).await;
        let mut changes = Changes::default();
        self.delete_in(&mut changes, place).await.map_err(from_store)?;
        self.store.commit(changes).await.map_err(from_store)?;
        self.forget_ready(Some(&place.config));
        Ok(())
    }

    async fn delete_in(&self, changes: &mut Changes, place: &Place) -> Result<(), StoreError> {
        if let Some(record) = self.key(place).await? {
            changes.delete(&self.view, &key_place(place)).delete(&self.view, &format!("id/{}", record.uuid));
        }
        Ok(())
    }
}

fn config_place(name: &str) -> String {
    format!("config/{name}")
}

fn key_place(place: &Place) -> String {
    format!("key/{}/{}", place.config, place.key)
}
