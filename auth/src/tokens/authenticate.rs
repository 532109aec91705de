//! From a token to the caller behind it.

use super::{
    Found, Tokens, batch,
    cache::Cached,
    record::{SPENT, later},
};
use crate::{cidr, error::AuthError};
use chancery_engine::{Fault, Identity, SecretString, identity::TokenType};
use chancery_store::Changes;
use std::{net::IpAddr, sync::Arc};

/// Longest life of a request: so long a spent token stays for it.
const REQUEST_SECONDS: u64 = 120;

impl Tokens {
    /// Who calls with this token from this address. A counted use is durable before the answer.
    ///
    /// # Errors
    /// [`Fault::Denied`] for a token that is unknown, expired, spent or used from elsewhere.
    pub async fn authenticate(&self, token: &SecretString, client: Option<IpAddr>) -> Result<Arc<Identity>, Fault> {
        if token.expose().is_empty() || token.expose().len() > batch::MAX_BYTES {
            return Err(Fault::Denied);
        }
        if batch::is_batch(token) {
            return self.authenticate_batch(token, client).await;
        }
        let key = self.key_of(token).await?;
        let now = self.0.clock.now();
        if let Some(cached) = self.0.cache.lookup(&key)
            && cached.expires.is_none_or(|expires| now < expires)
            && cached.generation == self.0.policies.generation()
            && cached.identity.acl.valid_until().is_none_or(|until| now < until)
        {
            return if cidr::admits(&cached.bound_cidrs, client) { Ok(cached.identity) } else { Err(Fault::Denied) };
        }
        let epoch = self.0.cache.epoch();
        let generation = self.0.policies.generation();
        let found = self.find_key(&key).await?.ok_or(Fault::Denied)?;
        if !cidr::admits(&found.record.bound_cidrs, client) {
            return Err(Fault::Denied);
        }
        if found.record.num_uses > 0 {
            let found = self.take_use(found.key).await?;
            return self.identity_of(&found).await;
        }
        let identity = self.identity_of(&found).await?;
        let cached = Cached {
            identity: Arc::clone(&identity),
            expires: found.record.expires,
            bound_cidrs: found.record.bound_cidrs.into(),
            generation,
        };
        self.0.cache.insert(key, cached, epoch);
        Ok(identity)
    }

    /// To be called when the request is over: revokes a token that has just had its last use.
    ///
    /// # Errors
    /// The store's.
    pub async fn finish(&self, identity: &Identity) -> Result<(), Fault> {
        if identity.remaining_uses != SPENT {
            return Ok(());
        }
        self.revoke_key(&identity.token_key).await
    }

    /// Policies of a live token, without counting a use.
    ///
    /// # Errors
    /// The store's.
    pub async fn policies_of(&self, token: &SecretString) -> Result<Option<Vec<String>>, Fault> {
        if batch::is_batch(token) {
            return match self.authenticate_batch(token, None).await {
                Ok(identity) => Ok(Some(identity.policies.to_vec())),
                Err(Fault::Denied) => Ok(None),
                Err(fault) => Err(fault),
            };
        }
        Ok(self.find(token).await?.map(|found| found.record.policies))
    }

    /// Policies of the live token with this accessor.
    ///
    /// # Errors
    /// The store's.
    pub async fn policies_of_accessor(&self, accessor: &str) -> Result<Option<Vec<String>>, Fault> {
        Ok(self.find_accessor(accessor).await?.map(|found| found.record.policies))
    }

    /// Takes one use. The last one marks the token as spent and lets the sweeper find it should the process die.
    async fn take_use(&self, key: String) -> Result<Found, Fault> {
        let inner = &self.0;
        let taken = inner.store.transact("take a use of a token", || async {
            let now = inner.clock.now();
            let found = self.load(&key).await?.filter(|found| found.record.is_alive(now)).ok_or(Fault::Denied)?;
            let Found { key, mut record, version } = found;
            record.uses_left = if record.uses_left <= 1 { SPENT } else { record.uses_left - 1 };
            let grace = later(now, REQUEST_SECONDS);
            let expires = match record.expires {
                _ if record.uses_left != SPENT => record.expires,
                Some(expires) => Some(expires.min(grace)),
                None => Some(grace),
            };
            let mut changes = Changes::default();
            changes.replace(&inner.places.tokens, &key, &record, version, expires)?;
            Ok::<_, AuthError>((changes, Found { key, record, version }))
        });
        Ok(taken.await?)
    }

    async fn identity_of(&self, found: &Found) -> Result<Arc<Identity>, Fault> {
        let record = &found.record;
        Ok(Arc::new(Identity {
            token_key: found.key.clone(),
            accessor: record.accessor.clone(),
            display_name: record.display_name.clone(),
            policies: record.policies.clone().into(),
            metadata: record.metadata.clone().unwrap_or_default(),
            path: record.path.clone(),
            entity_id: record.entity_id.clone(),
            token_type: TokenType::Service,
            token_ttl: record.creation_ttl,
            issue_time: record.issued,
            remaining_uses: record.uses_left,
            acl: self.0.policies.acl_for(&record.policies).await?,
        }))
    }

    async fn authenticate_batch(&self, token: &SecretString, client: Option<IpAddr>) -> Result<Arc<Identity>, Fault> {
        let batch = self.open_batch(token).await?.ok_or(Fault::Denied)?;
        if !cidr::admits(&batch.bound_cidrs, client) {
            return Err(Fault::Denied);
        }
        let acl = self.0.policies.acl_for(&batch.policies).await?;
        Ok(Arc::new(Identity {
            token_key: self.key_of(token).await?,
            accessor: String::new(),
            display_name: batch.display_name,
            policies: batch.policies.into(),
            metadata: batch.metadata.unwrap_or_default(),
            path: batch.path,
            entity_id: batch.entity_id,
            token_type: TokenType::Batch,
            token_ttl: batch.ttl,
            issue_time: batch.issued,
            remaining_uses: 0,
            acl,
        }))
    }

    /// Whether a token with this hash is stored and alive.
    pub(super) async fn is_alive(&self, key: &str) -> Result<bool, Fault> {
        if let Some(cached) = self.0.cache.lookup(key) {
            return Ok(cached.expires.is_none_or(|expires| self.0.clock.now() < expires));
        }
        Ok(self.find_key(key).await?.is_some())
    }
}
