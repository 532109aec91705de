//! One mount of the engine: its keys, cached ready for use, and the ways to change them.

use crate::{
    api::cache_config,
    cache::{Cache, Generation},
    error::TransitError,
    key::{Key, KeyRecord},
    key_type::Protection,
    rotation::When,
    storage::{Storage, Stored},
    usage::Usage,
    version::{KeyVersion, destroy},
    versions::Versions,
    wrapping_key::WrappingKeySlot,
};
use chancery_engine::{Clock, Fault};
use chancery_hsm::{ExternalKeys, Hsm, KeyReference};
use chancery_store::{Changes, Store, StoreError, View};
use futures_util::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use std::sync::Arc;
use tokio::sync::OnceCell;

/// How often a load starts over because the key changed while it was read.
const LOAD_ATTEMPTS: u32 = 8;

/// Versions of one key that are read at the same time.
const VERSIONS_AT_ONCE: usize = 32;

/// How often work is run again because it lacked something that others took meanwhile.
const SUPPLY_ATTEMPTS: u32 = 8;

/// The transit engine at one mount.
pub struct Transit {
    pub(crate) storage: Arc<Storage>,
    pub(crate) hsm: Option<Hsm>,
    external_keys: Option<Arc<dyn ExternalKeys>>,
    clock: Arc<dyn Clock>,
    cache: Cache<Key>,
    cache_sized: OnceCell<()>,
    usage: Arc<Usage>,
    pub(crate) wrapping_key: WrappingKeySlot,
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
        Self::assemble(view, store, hsm, None, clock)
    }

    /// The same with the registered keys that the mount may use.
    #[must_use]
    pub fn with_external_keys(
        view: View,
        store: Store,
        hsm: Option<Hsm>,
        external_keys: Arc<dyn ExternalKeys>,
        clock: Arc<dyn Clock>,
    ) -> Arc<Self> {
        Self::assemble(view, store, hsm, Some(external_keys), clock)
    }

    fn assemble(
        view: View,
        store: Store,
        hsm: Option<Hsm>,
        external_keys: Option<Arc<dyn ExternalKeys>>,
        clock: Arc<dyn Clock>,
    ) -> Arc<Self> {
        let storage = Arc::new(Storage::new(store, view));
        let usage = Usage::new(Arc::clone(&storage));
        Arc::new(Self {
            storage,
            hsm,
            external_keys,
            clock,
            cache: Cache::default(),
            cache_sized: OnceCell::new(),
            usage,
            wrapping_key: WrappingKeySlot::default(),
        })
    }

    pub(crate) fn hsm(&self) -> Result<&Hsm, TransitError> {
        self.hsm.as_ref().ok_or(TransitError::NoHsm)
    }

    pub(crate) fn external_keys(&self) -> Option<&Arc<dyn ExternalKeys>> {
        self.external_keys.as_ref()
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn has_hsm(&self) -> bool {
        self.hsm.is_some()
    }

    /// The key of that name, from the cache or the store.
    pub(crate) async fn key(&self, name: &str) -> Result<Option<Arc<Key>>, TransitError> {
        self.usage.refill_beside();
        match self.cache.find(name) {
            Ok(key) => Ok(Some(key)),
            Err(generation) => self.load(name, generation).await,
        }
    }

    /// Reads a key with its latest version.
    async fn load(&self, name: &str, generation: Generation) -> Result<Option<Arc<Key>>, TransitError> {
        self.cache_sized.get_or_try_init(|| self.size_cache()).await?;
        for _ in 0..LOAD_ATTEMPTS {
            let Some(Stored { record, .. }) = self.storage.record(name).await? else { return Ok(None) };
            let (latest, versions) = (record.latest_version, Versions::places(record.usable_versions()));
            let key = Key { name: name.to_owned(), record, versions };
            if self.load_version(&key, latest).await? {
                let key = Arc::new(key);
                self.cache.insert(name, generation, Arc::clone(&key));
                return Ok(Some(key));
            }
        }
        Err(StoreError::Corrupt { place: format!("version of {name}") }.into())
    }

    /// Makes a version of `key` ready. `false` where there is none: the key was changed meanwhile.
    async fn load_version(&self, key: &Key, number: u32) -> Result<bool, TransitError> {
        let Some(version) = self.storage.version(&key.name, number).await? else { return Ok(false) };
        let mut version = KeyVersion::expand(&key.record, version)?;
        if key.record.key_type.has_message_limit() {
            version.counter = Some(self.usage.counter((&key.name, number), version.created_at).await?);
        }
        key.versions.fill(number, version);
        Ok(true)
    }

    async fn load_versions(&self, key: &Key, numbers: Vec<u32>) -> Result<(), TransitError> {
        let loads = stream::iter(numbers).map(|number| self.load_version(key, number));
        let all = loads
            .buffer_unordered(VERSIONS_AT_ONCE)
            .try_fold(true, |all, here| std::future::ready(Ok(all && here)))
            .await?;
        if !all {
            // A version that this key still has was trimmed.
            self.forget_cached(Some(&key.name));
            return Err(TransitError::NoSuchVersion);
        }
        Ok(())
    }

    /// Makes all versions of `key` ready that may be used.
    pub(crate) async fn load_all_versions(&self, key: &Key) -> Result<(), TransitError> {
        self.load_versions(key, key.versions.missing()).await
    }

    /// Runs `work`, which cannot wait for the store. Where it lacked a version that was not loaded or encryptions that
    /// were not reserved, gets them and runs it again.
    pub(crate) async fn supplied<T, E, F, Fut>(&self, key: &Key, work: F) -> Result<T, E>
    where
        E: Lacking + From<TransitError>,
        F: Fn() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        for _ in 0..SUPPLY_ATTEMPTS {
            match work().await {
                Err(error) if error.is_lacking() => {
                    self.load_versions(key, key.versions.wanted()).await?;
                    self.usage.refill().await?;
                }
                outcome => return outcome,
            }
        }
        work().await
    }

    /// Keeps at most so many keys ready from now on; 0 is no bound.
    pub(crate) fn set_cache_size(&self, keys: usize) {
        self.cache.set_capacity(keys);
    }

    /// Takes the bound over that was set in an earlier process.
    async fn size_cache(&self) -> Result<(), TransitError> {
        self.set_cache_size(cache_config::stored_size(self).await?);
        Ok(())
    }

    /// The key of that name, if it may be used.
    pub(crate) async fn usable_key(&self, name: &str, absent: TransitError) -> Result<Arc<Key>, TransitError> {
        let key = self.key(name).await?.ok_or(absent)?;
        key.usable()?;
        Ok(key)
    }

    /// Forgets one key, or all.
    pub(crate) fn forget_cached(&self, name: Option<&str>) {
        self.cache.forget(name);
    }

    /// Settles what the counters of keys that are not in use have counted.
    pub(crate) async fn settle_usage(&self) -> Result<(), TransitError> {
        self.usage.settle().await
    }

    /// Makes a key unless there is one of that name. Answers whichever there is then.
    pub(crate) async fn create(&self, name: &str, record: KeyRecord) -> Result<Arc<Key>, TransitError> {
        if let Some(existing) = self.key(name).await? {
            return Ok(existing);
        }
        let new = self.generate(name, &record).await?;
        let created = self
            .storage
            .store()
            .transact("create transit key", || async {
                let mut changes = Changes::default();
                let absent = self.storage.record(name).await?.is_none();
                if absent {
                    self.storage.create(&mut changes, name, &record, &new.version)?;
                    new.fulfil(&mut changes);
                }
                Ok::<_, TransitError>((changes, absent))
            })
            .await;
        self.forget_cached(Some(name));
        if was_not_kept(&created, |absent| *absent) {
            self.discard(&new).await;
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
        match self.rotate_when(name, When::Asked).await? {
            None => Ok(None),
            Some(_) => self.key(name).await,
        }
    }

    /// Adds a version if `when` applies, before the work and in the moment of the change. Answers whether it was added,
    /// `None` where there is no such key.
    pub(crate) async fn rotate_when(&self, name: &str, when: When) -> Result<Option<bool>, TransitError> {
        let Some(Stored { record, .. }) = self.storage.record(name).await? else { return Ok(None) };
        if !self.applies(when, name, &record).await? {
            return Ok(Some(false));
        }
        usable(&record)?;
        record.may_rotate(name)?;
        let new = self.generate(name, &record).await?;
        let rotated = self
            .storage
            .store()
            .transact("rotate transit key", || async {
                let mut changes = Changes::default();
                let Some(mut stored) = self.storage.record(name).await? else { return Ok((changes, None)) };
                if !self.applies(when, name, &stored.record).await? {
                    return Ok((changes, Some(false)));
                }
                usable(&stored.record)?;
                stored.record.may_rotate(name)?;
                let number = stored.record.add_version(new.version.created_at)?;
                // From its first own version on a key is like any other, as in the reference.
                stored.record.imported = None;
                self.storage.add_version(&mut changes, name, number, &new.version)?;
                new.fulfil(&mut changes);
                self.storage.replace(&mut changes, name, &stored)?;
                Ok::<_, TransitError>((changes, Some(true)))
            })
            .await;
        self.forget_cached(Some(name));
        if was_not_kept(&rotated, |added| *added == Some(true)) {
            self.discard(&new).await;
        }
        rotated
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
/// objects stay in the token until the announcement of them expires (`intent.rs`).
fn was_not_kept<T>(outcome: &Result<T, TransitError>, kept: impl Fn(&T) -> bool) -> bool {
    match outcome {
        Ok(outcome) => !kept(outcome),
        Err(TransitError::Store(error)) => matches!(error, StoreError::Conflict),
        Err(_) => true,
    }
}

/// Refuses a key that is kept but must not be used.
fn usable(record: &KeyRecord) -> Result<(), TransitError> {
    if record.soft_deleted { Err(TransitError::SoftDeleted) } else { Ok(()) }
}

/// An error that may tell of work which lacked something; see [`Transit::supplied`].
pub(crate) trait Lacking {
    /// Whether it does.
    fn is_lacking(&self) -> bool;
}

impl Lacking for TransitError {
    fn is_lacking(&self) -> bool {
        Self::is_lacking(self)
    }
}

impl Lacking for Fault {
    /// Work in process is never busy for another reason.
    fn is_lacking(&self) -> bool {
        matches!(self, Self::Busy { .. })
    }
}
