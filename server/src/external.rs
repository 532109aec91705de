//! Keys that others made, registered under names: one store behind two dialects, `sys/external-keys` of OpenBao and
//! `sys/managed-keys` of Vault Enterprise.
//!
//! | to find | look in |
//! |---|---|
//! | what a registration may say | `parameters` |
//! | what is stored of one, and how it changes | `records` |
//! | the tokens in use, opened at first need | `tokens` |
//! | which mount may use which key, and the key itself | this file |
//!
//! A configuration names a token, by the alias of a library in the server's configuration, never by a path: loading a
//! library is running code. A key names an object in it. A mount may use a key if the key grants it, if the mount's tuning
//! allows the key, or if the key is for any mount. Engines see only the trait [`ExternalKeys`].
//!
//! What was found once is remembered with the registration, public half included: "not found" later is an error, never a
//! reason to make another key or to take the next best.

pub(crate) mod parameters;
pub(crate) mod records;
mod tokens;

pub(crate) use records::{ConfigRecord, KeyRecord};

use crate::mount::{Mounted, Mounts};
use async_trait::async_trait;
use chancery_engine::{Fault, route::is_name};
use chancery_hsm::{ExternalKey, ExternalKeyError, ExternalKeyName, ExternalKeys, Hsm, HsmError, KeyReference};
use chancery_store::{Store, StoreError, View};
use parameters::KeyParameters;
use parking_lot::RwLock;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    hash::{DefaultHasher, Hash, Hasher},
    path::PathBuf,
    sync::{Arc, OnceLock, Weak},
};
use tokens::Tokens;

/// Registrations whose first uses wait for each other. Opening a token may take long, so others shall not wait.
const LOCK_STRIPES: usize = 16;

/// A PKCS#11 library that registrations may name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KmsLibrary {
    /// The module, found.
    pub module: PathBuf,
    /// Sessions at once with each token behind it; `None` leaves it to the HSM layer.
    pub sessions: Option<usize>,
    /// Commands that may wait for each token; `None` leaves it to the HSM layer.
    pub queue: Option<usize>,
}

/// The registered keys and the tokens they live in.
pub struct ExternalKeyRegistry {
    store: Store,
    view: View,
    tokens: Tokens,
    mounts: OnceLock<Weak<Mounts>>,
    turns: [tokio::sync::Mutex<()>; LOCK_STRIPES],
    ready: RwLock<Ready>,
}

/// Keys ready for use, by `config:key`.
#[derive(Default)]
struct Ready {
    keys: HashMap<String, Arc<ReadyKey>>,
    /// Goes up with every change, so that what was read before one is not kept after it.
    generation: u64,
}

struct ReadyKey {
    grants: BTreeSet<String>,
    any_mount: bool,
    key: Arc<ExternalKey>,
}

/// `config` and `key` of a reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) config: String,
    pub(crate) key: String,
}

impl Place {
    /// The place that a managed key of this name has.
    pub(crate) fn managed(name: &str) -> Self {
        let name = name.to_lowercase();
        Self { config: name.clone(), key: name }
    }

    fn parse(reference: &str) -> Option<Self> {
        let (config, key) = reference.split_once(':')?;
        (is_name(config) && is_name(key)).then(|| Self { config: config.to_owned(), key: key.to_owned() })
    }

    fn reference(&self) -> String {
        format!("{}:{}", self.config, self.key)
    }

    /// How the tuning of a mount names it.
    fn allowed_as(&self) -> String {
        if self.config == self.key { self.key.clone() } else { self.reference() }
    }
}

impl ExternalKeyRegistry {
    /// A registry over the store's `sys/external-keys/`. `own` is the appliance's token, `libraries` what the
    /// configuration names.
    pub(crate) fn new(store: Store, own: Option<Hsm>, libraries: BTreeMap<String, KmsLibrary>) -> Arc<Self> {
        Arc::new(Self {
            view: store.view("sys/external-keys/"),
            store,
            tokens: Tokens::new(own, libraries),
            mounts: OnceLock::new(),
            turns: std::array::from_fn(|_| tokio::sync::Mutex::new(())),
            ready: RwLock::default(),
        })
    }

    /// Whose paths and tuning decide what a mount may use.
    pub(crate) fn set_mounts(&self, mounts: Weak<Mounts>) {
        // Set once, when the core is put together.
        let _first = self.mounts.set(mounts);
    }

    /// The registered keys as the mount with this UUID may use them.
    pub(crate) fn for_mount(self: &Arc<Self>, uuid: &str) -> Arc<dyn ExternalKeys> {
        Arc::new(MountKeys { registry: Arc::clone(self), mount_uuid: uuid.to_owned() })
    }

    /// Forgets keys and closes tokens: the barrier was sealed.
    pub(crate) fn forget(&self) {
        self.forget_ready(None);
        self.tokens.close_all();
    }

    /// Another server has changed registrations: keys are looked up again, tokens opened anew.
    pub(crate) fn changed_elsewhere(&self) {
        self.forget();
    }

    /// Closes every token and waits for what is under way.
    pub(crate) async fn shutdown(&self) {
        self.forget_ready(None);
        self.tokens.shutdown().await;
    }

    fn forget_ready(&self, config: Option<&str>) {
        let mut ready = self.ready.write();
        ready.generation += 1;
        match config {
            Some(config) => {
                let prefix = format!("{config}:");
                ready.keys.retain(|reference, _| !reference.starts_with(&prefix));
            }
            None => ready.keys.clear(),
        }
    }

    /// The turn to open or change what belongs to a configuration.
    async fn turn(&self, config: &str) -> tokio::sync::MutexGuard<'_, ()> {
        let mut hasher = DefaultHasher::new();
        config.hash(&mut hasher);
        let stripe = usize::try_from(hasher.finish() % LOCK_STRIPES as u64).unwrap_or_default();
        let [first, ..] = &self.turns;
        self.turns.get(stripe).unwrap_or(first).lock().await
    }

    async fn resolve(&self, mount: &Mounted, name: &ExternalKeyName) -> Result<Arc<ExternalKey>, ExternalKeyError> {
        let place = self.place(name).await?;
        let reference = place.reference();
        let known = self.ready.read().keys.get(&reference).cloned();
        if let Some(ready) = known {
            check_right(mount, &place, name, (&ready.grants, ready.any_mount))?;
            return Ok(Arc::clone(&ready.key));
        }
        let absent = || ExternalKeyError::Refused(absence(name, &reference));
        let record = self.key(&place).await.map_err(unreadable)?.ok_or_else(absent)?;
        let any_mount = parameters::flag(&record.values, "any_mount").unwrap_or_default();
        check_right(mount, &place, name, (&record.grants, any_mount))?;
        self.key_ready(&place).await
    }

    /// The key at a place, whoever asks: found now, if it was not before.
    pub(crate) async fn key_ready(&self, place: &Place) -> Result<Arc<ExternalKey>, ExternalKeyError> {
        let _turn = self.turn(&place.config).await;
        let reference = place.reference();
        let generation = {
            let ready = self.ready.read();
            if let Some(known) = ready.keys.get(&reference) {
                return Ok(Arc::clone(&known.key));
            }
            ready.generation
        };
        let Some(mut record) = self.key(place).await.map_err(unreadable)? else {
            return Err(ExternalKeyError::Refused(format!("key {reference:?} does not exist")));
        };
        let (hsm, key) = self.find(place, &record).await?;
        if record.found.as_ref() != Some(&key) {
            record.found = Some(key.clone());
            self.remember(place, &record).await.map_err(unreadable)?;
        }
        let parameters = KeyParameters::parse(&record.values).map_err(ExternalKeyError::Refused)?;
        let (padding, mechanism) = (parameters.padding, parameters.mechanism);
        let key = Arc::new(ExternalKey { hsm, key, padding, mechanism });
        let entry = ReadyKey { grants: record.grants, any_mount: parameters.any_mount, key: Arc::clone(&key) };
        let mut ready = self.ready.write();
        if ready.generation == generation {
            ready.keys.insert(reference, Arc::new(entry));
        }
        Ok(key)
    }

    /// The token of a registration and the key in it: the one remembered, else the one that fits, else a new one where
    /// the registration allows that.
    async fn find(&self, place: &Place, record: &KeyRecord) -> Result<(Hsm, KeyReference), ExternalKeyError> {
        let config = self
            .config(&place.config)
            .await
            .map_err(unreadable)?
            .ok_or_else(|| ExternalKeyError::Refused(format!("config {:?} does not exist", place.config)))?;
        let parameters = KeyParameters::parse(&record.values).map_err(ExternalKeyError::Refused)?;
        let hsm = self.tokens.open(&place.config, &config).await?;
        if let Some(found) = &record.found
            && found.token.is_same_token(&hsm.token())
        {
            return Ok((hsm, found.clone()));
        }
        let key = match hsm.find(parameters.search.clone()).await {
            // A key that was there before and is not now may be back tomorrow.
            Err(HsmError::KeyNotFound { .. })
                if parameters.generate && (record.found.is_none() || parameters.replace) =>
            {
                let order = parameters.order(&record.values).map_err(ExternalKeyError::Refused)?;
                let made = hsm.generate(order).await?;
                tracing::info!(reference = place.reference(), key = %made, "made a registered key in its token");
                made
            }
            other => other?,
        };
        match parameters.mechanism {
            Some(mechanism) if !mechanism.fits(key.algorithm) => {
                let (name, algorithm) = (mechanism.name(), key.algorithm);
                Err(ExternalKeyError::Refused(format!("mechanism {name} does not fit a key of type {algorithm}")))
            }
            _ => Ok((hsm, key)),
        }
    }

    /// Refuses a registration that no token could honour, without asking one.
    pub(crate) fn check(&self, config: &ConfigRecord, key: &KeyRecord) -> Result<(), ExternalKeyError> {
        self.tokens.check(config)?;
        KeyParameters::parse(&key.values).map(drop).map_err(ExternalKeyError::Refused)
    }

    /// Where a name leads.
    async fn place(&self, name: &ExternalKeyName) -> Result<Place, ExternalKeyError> {
        let refused = |text: String| ExternalKeyError::Refused(text);
        match name {
            ExternalKeyName::Reference(reference) => Place::parse(reference)
                .ok_or_else(|| refused("invalid key reference: must be \"<config name>:<key name>\"".to_owned())),
            ExternalKeyName::Managed(name) if is_name(name) => Ok(Place::managed(name)),
            ExternalKeyName::Managed(name) => Err(refused(absence(&ExternalKeyName::Managed(name.clone()), ""))),
            ExternalKeyName::ManagedId(id) => {
                let found = self.place_of_id(id).await.map_err(unreadable)?;
                found.ok_or_else(|| refused(format!("no managed key with id {id:?}")))
            }
        }
    }
}

/// The registry as one mount sees it.
struct MountKeys {
    registry: Arc<ExternalKeyRegistry>,
    mount_uuid: String,
}

#[async_trait]
impl ExternalKeys for MountKeys {
    async fn resolve(&self, name: &ExternalKeyName) -> Result<Arc<ExternalKey>, ExternalKeyError> {
        let mounts = self.registry.mounts.get().and_then(Weak::upgrade);
        let mount = mounts.and_then(|mounts| mounts.by_uuid(&self.mount_uuid));
        let mount = mount.ok_or_else(|| ExternalKeyError::Unavailable("the mount is not in service".to_owned()))?;
        self.registry.resolve(&mount, name).await
    }
}

/// Refuses a mount that may not use a key.
fn check_right(
    mount: &Mounted,
    place: &Place,
    name: &ExternalKeyName,
    (grants, any_mount): (&BTreeSet<String>, bool),
) -> Result<(), ExternalKeyError> {
    let (path, allowed) = (&mount.entry.path, &mount.entry.tuning.allowed_managed_keys);
    if any_mount || grants.contains(path) || allowed.contains(&place.allowed_as()) {
        return Ok(());
    }
    tracing::debug!(mount = path, reference = place.reference(), "use of a registered key refused");
    Err(ExternalKeyError::Refused(match name {
        ExternalKeyName::Reference(reference) => format!("mount {path:?} is missing grant for key {reference:?}"),
        ExternalKeyName::Managed(_) | ExternalKeyName::ManagedId(_) => {
            format!("managed key {:?} is not among the allowed_managed_keys of mount {path:?}", place.allowed_as())
        }
    }))
}

fn absence(name: &ExternalKeyName, reference: &str) -> String {
    match name {
        ExternalKeyName::Reference(_) => format!("key {reference:?} does not exist"),
        ExternalKeyName::Managed(name) | ExternalKeyName::ManagedId(name) => {
            format!("managed key {name:?} does not exist")
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "made for map_err")]
fn unreadable(error: StoreError) -> ExternalKeyError {
    ExternalKeyError::Unavailable(error.to_string())
}

/// The failure of a registration as its author hears it: almost everything about a token is the author's to mend.
pub(crate) fn told_to_author(error: ExternalKeyError) -> Fault {
    match error {
        ExternalKeyError::Refused(text) => Fault::Caller(text),
        ExternalKeyError::Hsm(error) if error.is_busy() => crate::fault::from_hsm(error),
        ExternalKeyError::Hsm(error) => Fault::Caller(error.to_string()),
        other => Fault::Dependency(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_have_two_names() {
        let place = Place::parse("a.b:c-d").unwrap();
        assert_eq!((place.config.as_str(), place.key.as_str()), ("a.b", "c-d"));
        for wrong in ["", "a", ":", "a:", ":b", "a:b:c", "-a:b", "a/b:c"] {
            assert_eq!(Place::parse(wrong), None, "{wrong}");
        }
        assert_eq!(Place::managed("HSM").reference(), "hsm:hsm");
        assert_eq!((place.allowed_as().as_str(), Place::managed("k").allowed_as().as_str()), ("a.b:c-d", "k"));
    }
}
