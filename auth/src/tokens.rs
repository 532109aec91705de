//! The token store: makes, recognises, renews, revokes and wraps.

mod authenticate;
pub(crate) mod batch;
mod cache;
pub(crate) mod create;
pub(crate) mod record;
mod renew;
mod revoke;
mod ttl;
mod wrapping;

pub use create::{NewToken, sanitize_policies};
pub(crate) use wrapping::RESPONSE_KEY;
pub use wrapping::{Wrapped, WrappingInformation};

use crate::{error::stored, leases::LeaseBook, policies::Policies, salt};
use chancery_engine::{Clock, Fault, SecretString};
use chancery_store::{Page, Store};
use hmac::{Hmac, KeyInit as _, Mac as _};
use parking_lot::RwLock;
use record::{Places, TokenRecord};
use sha2::Sha256;
use std::sync::Arc;
use zeroize::Zeroizing;

/// The tokens of the installation. Cheap to clone.
#[derive(Clone)]
pub struct Tokens(Arc<Inner>);

struct Inner {
    store: Store,
    clock: Arc<dyn Clock>,
    policies: Policies,
    places: Places,
    leases: LeaseBook,
    cache: cache::IdentityCache,
    secrets: RwLock<Option<Arc<Secrets>>>,
}

/// Keys that never leave the store but in memory.
struct Secrets {
    /// Holds the state behind the key: of a hash for every request, only the token's own bytes are left to do.
    salt: Hmac<Sha256>,
    batch: Zeroizing<Vec<u8>>,
}

/// A stored token together with its hash and version.
pub(crate) struct Found {
    pub(crate) key: String,
    pub(crate) record: TokenRecord,
    pub(crate) version: u64,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokens").finish_non_exhaustive()
    }
}

impl Tokens {
    /// The tokens in `store`.
    #[must_use]
    pub fn new(store: Store, clock: Arc<dyn Clock>, policies: Policies) -> Self {
        let places = Places::of(&store);
        let leases = LeaseBook::new(store.clone(), Arc::clone(&clock));
        Self(Arc::new(Inner {
            store,
            clock,
            policies,
            places,
            leases,
            cache: cache::IdentityCache::default(),
            secrets: RwLock::default(),
        }))
    }

    /// Forgets every key and every cached identity: the barrier was sealed.
    pub fn forget(&self) {
        self.0.secrets.write().take();
        self.0.cache.clear();
        self.0.policies.invalidate();
    }

    /// Another process has changed or removed tokens with these hashes.
    pub fn changed_elsewhere<'k>(&self, keys: impl Iterator<Item = &'k str>) {
        let keys: Vec<String> = keys.map(str::to_owned).collect();
        if !keys.is_empty() {
            self.0.cache.remove(&keys);
        }
    }

    /// Any token and any policy may have been changed by another process.
    pub fn changed_entirely(&self) {
        self.0.cache.clear();
        self.0.policies.invalidate();
    }

    /// The policies tokens are compiled from.
    #[must_use]
    pub fn policies(&self) -> &Policies {
        &self.0.policies
    }

    pub(crate) fn book(&self) -> &LeaseBook {
        &self.0.leases
    }

    pub(crate) fn now(&self) -> jiff::Timestamp {
        self.0.clock.now()
    }

    /// The hash a token is stored under.
    pub(crate) async fn key_of(&self, token: &SecretString) -> Result<String, Fault> {
        let secrets = self.secrets().await?;
        let mut salted = secrets.salt.clone();
        salted.update(token.expose().as_bytes());
        Ok(data_encoding::HEXLOWER.encode(&salted.finalize().into_bytes()))
    }

    /// The live token, by its text.
    pub(crate) async fn find(&self, token: &SecretString) -> Result<Option<Found>, Fault> {
        let key = self.key_of(token).await?;
        self.find_key(&key).await
    }

    /// The live token, by its hash.
    pub(crate) async fn find_key(&self, key: &str) -> Result<Option<Found>, Fault> {
        Ok(self.load(key).await?.filter(|found| found.record.is_alive(self.0.clock.now())))
    }

    /// The live token, by its accessor.
    pub(crate) async fn find_accessor(&self, accessor: &str) -> Result<Option<Found>, Fault> {
        let Some(entry) = stored(self.0.places.accessors.read(accessor).await)? else { return Ok(None) };
        let key: String = stored(entry.decode())?;
        self.find_key(&key).await
    }

    /// Accessors of all stored tokens, sorted.
    ///
    /// # Errors
    /// The store's.
    pub async fn accessors(&self) -> Result<Vec<String>, Fault> {
        stored(self.0.places.accessors.list("", Page::default()).await)
    }

    /// The stored token whether alive or not.
    pub(crate) async fn load(&self, key: &str) -> Result<Option<Found>, Fault> {
        let Some(entry) = stored(self.0.places.tokens.read(key).await)? else { return Ok(None) };
        let record = stored(entry.decode())?;
        Ok(Some(Found { key: key.to_owned(), record, version: entry.version }))
    }

    async fn secrets(&self) -> Result<Arc<Secrets>, Fault> {
        if let Some(secrets) = self.0.secrets.read().as_ref() {
            return Ok(Arc::clone(secrets));
        }
        let (store, view) = (&self.0.store, &self.0.places.secrets);
        let salt = salt::read_or_make(store, view, "salt").await?;
        let batch = salt::read_or_make(store, view, "batch").await?;
        let salt = Hmac::new_from_slice(&salt).map_err(|_| Fault::Bug("HMAC refused a key".to_owned()))?;
        let secrets = Arc::new(Secrets { salt, batch });
        *self.0.secrets.write() = Some(Arc::clone(&secrets));
        Ok(secrets)
    }
}
