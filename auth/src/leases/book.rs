//! Where leases are written down, and the revocation of secrets' leases. Shared by tokens and leases.

use super::{LeaseRevoker, Revoker};
use crate::{
    error::{AuthError, stored},
    tokens::{Found, record::later},
};
use chancery_engine::{Clock, Fault};
use chancery_store::{Changes, Page, Store, StoreError, View};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::sync::{Arc, Weak};

/// Longest pause between attempts to revoke, in seconds.
const LONGEST_PAUSE: u64 = 3600;

/// One stored lease.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct LeaseRecord {
    pub(super) kind: LeaseKind,
    pub(super) issued: Timestamp,
    pub(super) expires: Timestamp,
    pub(super) last_renewal: Option<Timestamp>,
    pub(super) renewable: bool,
    pub(super) ttl: u64,
    pub(super) max_ttl: u64,
    /// How often revocation failed.
    pub(super) attempts: u32,
}

/// What a lease stands for.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LeaseKind {
    /// A token; what else is known stands in its own record.
    Token {
        /// Hash of the token.
        key: String,
    },
    /// A secret that an engine made.
    Secret {
        /// Which mount made it.
        mount_uuid: String,
        /// What the engine needs to revoke it.
        internal: Vec<u8>,
        /// Hash of the token it was made with.
        token: String,
    },
}

/// The lease store. Cheap to clone.
#[derive(Clone)]
pub(crate) struct LeaseBook {
    store: Store,
    clock: Arc<dyn Clock>,
    leases: View,
    by_token: View,
    revoker: Revoker,
}

impl std::fmt::Debug for LeaseBook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LeaseBook").finish_non_exhaustive()
    }
}

impl LeaseBook {
    pub(crate) fn new(store: Store, clock: Arc<dyn Clock>) -> Self {
        let (leases, by_token) = (store.view("sys/lease/id/"), store.view("sys/lease/token/"));
        Self { store, clock, leases, by_token, revoker: Revoker::default() }
    }

    pub(super) fn set_revoker(&self, revoker: Weak<dyn LeaseRevoker>) {
        *self.revoker.write() = Some(revoker);
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    pub(super) fn leases(&self) -> &View {
        &self.leases
    }

    pub(super) async fn load(&self, lease_id: &str) -> Result<Option<(u64, LeaseRecord)>, StoreError> {
        let Some(entry) = self.leases.read(lease_id).await? else { return Ok(None) };
        Ok(Some((entry.version, entry.decode()?)))
    }

    /// Adds the lease of a token to the change that writes the token.
    pub(crate) fn put_token_lease(
        &self,
        changes: &mut Changes,
        lease_id: &str,
        token_key: &str,
        expires: Timestamp,
    ) -> Result<(), StoreError> {
        let record = LeaseRecord {
            kind: LeaseKind::Token { key: token_key.to_owned() },
            issued: self.clock.now(),
            expires,
            last_renewal: None,
            renewable: true,
            ttl: 0,
            max_ttl: 0,
            attempts: 0,
        };
        changes.put_expiring(&self.leases, lease_id, &record, expires)?;
        Ok(())
    }

    /// Adds the end of a token's lease to the change that deletes the token.
    pub(crate) fn delete_token_lease(&self, changes: &mut Changes, lease_id: &str) {
        changes.delete(&self.leases, lease_id);
    }

    /// Writes the lease of a secret, provided that the token still is as `owner` says.
    pub(super) async fn put_secret_lease(
        &self,
        lease_id: &str,
        token_key: &str,
        record: &LeaseRecord,
        owner: Option<Found>,
    ) -> Result<(), Fault> {
        let mut changes = Changes::default();
        // A batch token is not stored; everything else must be there when the lease is written, or nobody would end it.
        if let Some(owner) = owner {
            changes.expect_version(&self.store.view("sys/token/id/"), token_key, owner.version);
        }
        stored(changes.put_expiring(&self.leases, lease_id, record, record.expires).map(drop))?;
        stored(changes.put(&self.by_token, &index_key(token_key, lease_id), lease_id).map(drop))?;
        match self.store.commit(changes).await {
            Ok(_) => Ok(()),
            Err(StoreError::Conflict) => Err(Fault::Denied),
            Err(error) => Err(AuthError::Store(error).into()),
        }
    }

    /// Adds to `changes` that all leases of the token are due now.
    pub(crate) async fn expire_of_token(&self, changes: &mut Changes, token_key: &str) -> Result<(), StoreError> {
        let now = self.clock.now();
        for lease_id in self.ids_of_token(token_key).await? {
            if let Some((_, mut lease)) = self.load(&lease_id).await? {
                lease.expires = now;
                changes.put_expiring(&self.leases, &lease_id, &lease, now)?;
            }
        }
        Ok(())
    }

    /// Revokes all leases of the token; those that fail stay due.
    pub(crate) async fn revoke_of_token(&self, token_key: &str) {
        let Ok(ids) = self.ids_of_token(token_key).await else { return };
        for lease_id in ids {
            let Ok(Some((_, lease))) = self.load(&lease_id).await else { continue };
            if let Err(fault) = self.revoke_secret(&lease_id, &lease, false).await {
                tracing::warn!(lease = lease_id, %fault, "lease was not revoked with its token, will try again");
            }
        }
    }

    /// Asks the engine to undo the secret and forgets the lease; a failure is kept for later unless `force`.
    pub(super) async fn revoke_secret(&self, lease_id: &str, lease: &LeaseRecord, force: bool) -> Result<(), Fault> {
        let LeaseKind::Secret { mount_uuid, internal, token } = &lease.kind else { return Ok(()) };
        let revoker = self.revoker.read().as_ref().and_then(Weak::upgrade);
        let outcome = match revoker {
            Some(revoker) => revoker.revoke(mount_uuid, internal).await,
            None => Err(Fault::Dependency("no engine is there to revoke leases".to_owned())),
        };
        match outcome {
            Err(fault) if !force => {
                self.postpone(lease_id, lease).await?;
                Err(fault)
            }
            _ => self.forget(lease_id, Some(token)).await,
        }
    }

    /// Deletes a lease and its index entry.
    pub(super) async fn forget(&self, lease_id: &str, token_key: Option<&str>) -> Result<(), Fault> {
        let mut changes = Changes::default();
        changes.delete(&self.leases, lease_id);
        if let Some(token_key) = token_key {
            changes.delete(&self.by_token, &index_key(token_key, lease_id));
        }
        stored(self.store.commit(changes).await.map(drop))
    }

    async fn postpone(&self, lease_id: &str, lease: &LeaseRecord) -> Result<(), Fault> {
        let mut lease = lease.clone();
        lease.attempts = lease.attempts.saturating_add(1);
        let pause = LONGEST_PAUSE.min(10_u64.saturating_mul(1 << lease.attempts.min(10)));
        let due = later(self.clock.now(), pause);
        lease.expires = lease.expires.min(self.clock.now());
        let mut changes = Changes::default();
        stored(changes.put_expiring(&self.leases, lease_id, &lease, due).map(drop))?;
        stored(self.store.commit(changes).await.map(drop))
    }

    async fn ids_of_token(&self, token_key: &str) -> Result<Vec<String>, StoreError> {
        let mut ids = Vec::new();
        for name in self.by_token.list(token_key, Page::default()).await? {
            if let Some(entry) = self.by_token.read(&format!("{token_key}/{name}")).await? {
                ids.push(entry.decode()?);
            }
        }
        Ok(ids)
    }
}

/// The id holds slashes, so its hash stands in the index.
fn index_key(token_key: &str, lease_id: &str) -> String {
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, lease_id.as_bytes());
    format!("{token_key}/{}", data_encoding::HEXLOWER.encode(hash.as_ref()))
}
