//! One mount of the engine: its keys, cached ready for use, and the ways to change them.

use crate::{
    error::TransitError,
    key::{Key, KeyRecord},
    key_type::Protection,
    storage::{Storage, Stored},
    version::{VersionRecord, destroy},
    wrapping_key::WrappingKeySlot,
};
use chancery_engine::Clock;
use chancery_hsm::{Hsm, KeyReference};
use chancery_store::{Changes, Store, View};
use jiff::Timestamp;
use parking_lot::RwLock;
use std::{collections::HashMap, sync::Arc};

/// The transit engine at one mount.
pub struct Transit {
    pub(crate) storage: Storage,
    hsm: Option<Hsm>,
    clock: Arc<dyn Clock>,
    cache: RwLock<Cache>,
    pub(crate) wrapping_key: WrappingKeySlot,
}

/// Keys ready for use. The lock is held to look up or exchange an `Arc`, never across work.
#[derive(Default)]
struct Cache {
    keys: HashMap<String, Arc<Key>>,
    /// Goes up with every change, so that a load that began before one does not put the old key back.
    generation: u64,
}

impl std::fmt::Debug for Transit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transit").finish_non_exhaustive()
    }
}

impl Transit {
    /// A mount that keeps its entries in `view`. Without an `hsm` only keys with protection `software` can be made.
    #[must_use]
    pub fn new(view: View, store: Store, hsm: Option<Hsm>, clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self {
            storage: Storage::new(store, view),
            hsm,
            clock,
            cache: RwLock::default(),
            wrapping_key: WrappingKeySlot::default(),
        })
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn hsm(&self) -> Result<&Hsm, TransitError> {
        self.hsm.as_ref().ok_or(TransitError::NoHsm)
    }

    pub(crate) fn has_hsm(&self) -> bool {
        self.hsm.is_some()
    }

    /// The key of that name, from the cache or the store.
    pub(crate) async fn key(&self, name: &str) -> Result<Option<Arc<Key>>, TransitError> {
        let generation = {
            let cache = self.cache.read();
            if let Some(key) = cache.keys.get(name) {
                return Ok(Some(Arc::clone(key)));
            }
            cache.generation
        };
        let Some(key) = self.storage.load(name).await? else { return Ok(None) };
        let key = Arc::new(key);
        let mut cache = self.cache.write();
        if cache.generation == generation {
            cache.keys.insert(name.to_owned(), Arc::clone(&key));
        }
        Ok(Some(key))
    }

    /// The key of that name, if it may be used.
    pub(crate) async fn usable_key(&self, name: &str, absent: TransitError) -> Result<Arc<Key>, TransitError> {
        let key = self.key(name).await?.ok_or(absent)?;
        key.usable()?;
        Ok(key)
    }

    /// Forgets one key, or all.
    pub(crate) fn forget_cached(&self, name: Option<&str>) {
        let mut cache = self.cache.write();
        cache.generation += 1;
        match name {
            Some(name) => drop(cache.keys.remove(name)),
            None => cache.keys.clear(),
        }
    }

    /// Makes a key unless there is one of that name. Answers whichever there is then.
    pub(crate) async fn create(&self, name: &str, record: KeyRecord) -> Result<Arc<Key>, TransitError> {
        if let Some(existing) = self.key(name).await? {
            return Ok(existing);
        }
        let version = VersionRecord::generate(name, &record, self.hsm.as_ref(), self.clock.now()).await?;
        let created = self
            .storage
            .store()
            .transact("create transit key", || async {
                let mut changes = Changes::default();
                let absent = self.storage.record(name).await?.is_none();
                if absent {
                    self.storage.create(&mut changes, name, &record, &version)?;
                }
                Ok::<_, TransitError>((changes, absent))
            })
            .await;
        self.forget_cached(Some(name));
        if was_not_kept(&created) {
            self.destroy_all(version.objects()).await;
        }
        created?;
        self.key(name).await?.ok_or(TransitError::NoSuchVersion)
    }

    /// Changes a key's record; `edit` may refuse, and then nothing is written. `None` where there is no such key.
    pub(crate) async fn edit<F>(&self, name: &str, edit: F) -> Result<Option<Arc<Key>>, TransitError>
    where
        F: Fn(&mut KeyRecord) -> Result<(), TransitError>,
    {
        self.storage
            .store()
            .transact("change transit key", || async {
                let mut changes = Changes::default();
                if let Some(mut stored) = self.storage.record(name).await? {
                    edit(&mut stored.record)?;
                    self.storage.replace(&mut changes, name, &stored)?;
                }
                Ok::<_, TransitError>((changes, ()))
            })
            .await?;
        self.forget_cached(Some(name));
        self.key(name).await
    }

    /// Adds a version. `None` where there is no such key.
    pub(crate) async fn rotate(&self, name: &str) -> Result<Option<Arc<Key>>, TransitError> {
        let Some(key) = self.key(name).await? else { return Ok(None) };
        key.usable()?;
        key.record.may_rotate(name)?;
        let version = VersionRecord::generate(name, &key.record, self.hsm.as_ref(), self.clock.now()).await?;
        let rotated = self
            .storage
            .store()
            .transact("rotate transit key", || async {
                let mut changes = Changes::default();
                let Some(mut stored) = self.storage.record(name).await? else { return Ok((changes, false)) };
                stored.record.may_rotate(name)?;
                // With a version made here it is a key like any other, as in the reference.
                stored.record.imported = None;
                let number = stored.record.latest_version.checked_add(1).ok_or(TransitError::NoSuchVersion)?;
                stored.record.latest_version = number;
                self.storage.add_version(&mut changes, name, number, &version)?;
                self.storage.replace(&mut changes, name, &stored)?;
                Ok::<_, TransitError>((changes, true))
            })
            .await;
        self.forget_cached(Some(name));
        if was_not_kept(&rotated) {
            self.destroy_all(version.objects()).await;
        }
        rotated?;
        self.key(name).await
    }

    /// Deletes for good the versions below a floor that `floor` takes from the record.
    pub(crate) async fn trim<F>(&self, name: &str, floor: F) -> Result<Option<Arc<Key>>, TransitError>
    where
        F: Fn(&KeyRecord) -> Result<u32, TransitError>,
    {
        let trimmed = self
            .storage
            .store()
            .transact("trim transit key", || async {
                let mut changes = Changes::default();
                let Some(mut stored) = self.storage.record(name).await? else { return Ok((changes, Vec::new())) };
                let floor = floor(&stored.record)?;
                let doomed = stored.record.existing_versions().start().to_owned()..floor;
                let objects = self.objects(name, &stored, doomed.clone()).await?;
                for number in doomed {
                    self.storage.delete_version(&mut changes, name, number);
                }
                stored.record.min_available_version = floor;
                self.storage.replace(&mut changes, name, &stored)?;
                Ok::<_, TransitError>((changes, objects))
            })
            .await?;
        self.forget_cached(Some(name));
        self.destroy_all(trimmed.iter()).await;
        self.key(name).await
    }

    /// Deletes a key with all its versions if `allow` lets it. `false` where there is no such key.
    pub(crate) async fn delete<F>(&self, name: &str, allow: F) -> Result<bool, TransitError>
    where
        F: Fn(&KeyRecord) -> Result<(), TransitError>,
    {
        let deleted = self
            .storage
            .store()
            .transact("delete transit key", || async {
                let mut changes = Changes::default();
                let Some(stored) = self.storage.record(name).await? else { return Ok((changes, None)) };
                allow(&stored.record)?;
                let objects = self.objects(name, &stored, 1..stored.record.latest_version.saturating_add(1)).await?;
                self.storage.delete(&mut changes, name, &stored);
                Ok::<_, TransitError>((changes, Some(objects)))
            })
            .await?;
        self.forget_cached(Some(name));
        let Some(objects) = deleted else { return Ok(false) };
        self.destroy_all(objects.iter()).await;
        Ok(true)
    }

    /// The objects in the token that go with some versions of a key.
    pub(crate) async fn objects(
        &self,
        name: &str,
        stored: &Stored,
        numbers: std::ops::Range<u32>,
    ) -> Result<Vec<KeyReference>, TransitError> {
        let mut objects = Vec::new();
        if stored.record.protection == Protection::Hsm {
            for number in numbers {
                if let Some(version) = self.storage.version(name, number).await? {
                    objects.extend(version.objects().into_iter().cloned());
                }
            }
        }
        Ok(objects)
    }

    pub(crate) async fn destroy_all<'k>(&self, objects: impl IntoIterator<Item = &'k KeyReference>) {
        let Some(hsm) = &self.hsm else { return };
        for object in objects {
            destroy(hsm, object).await;
        }
    }

    /// Destroys what the mount keeps in the token, before its view is deleted.
    pub(crate) async fn remove_objects(&self) -> Result<(), TransitError> {
        for name in self.storage.names(chancery_store::Page::default()).await? {
            if let Some(stored) = self.storage.record(&name).await? {
                let numbers = 1..stored.record.latest_version.saturating_add(1);
                let objects = self.objects(&name, &stored, numbers).await?;
                self.destroy_all(objects.iter()).await;
            }
        }
        Ok(())
    }
}

/// Whether new material certainly did not get into the store. After a failure of the database nobody knows, so its
/// objects stay in the token.
fn was_not_kept(outcome: &Result<bool, TransitError>) -> bool {
    match outcome {
        Ok(kept) => !kept,
        Err(TransitError::Store(error)) => matches!(error, chancery_store::StoreError::Conflict),
        Err(_) => true,
    }
}
