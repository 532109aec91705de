//! Leases: every grant with an end, of secrets and of tokens, under the path that made it.
//!
//! | key | holds |
//! |---|---|
//! | `sys/lease/id/<path>/<random>` | [`LeaseRecord`]; expires with the lease |
//! | `sys/lease/token/<hash of token>/<hash of id>` | the lease id: index for revocation with the token |

mod book;

pub(crate) use book::LeaseBook;

use crate::{
    error::{AuthError, stored},
    tokens::{
        Tokens,
        record::{later, seconds_between},
    },
};
use async_trait::async_trait;
use book::{LeaseKind, LeaseRecord};
use chancery_engine::{Fault, Identity, MountPoint, identity::TokenType, response::LeaseGrant};
use chancery_store::{Changes, Page};
use jiff::Timestamp;
use serde::Serialize;
use std::sync::{Arc, Weak};

/// Undoes what a lease stands for; the server finds the mount and asks its engine.
#[async_trait]
pub trait LeaseRevoker: Send + Sync + 'static {
    /// Revokes the secret that the engine mounted as `mount_uuid` described by `internal`.
    async fn revoke(&self, mount_uuid: &str, internal: &[u8]) -> Result<(), Fault>;
}

/// The leases of the installation. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Leases {
    tokens: Tokens,
}

/// What the envelope shows of a lease that was just made or renewed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisteredLease {
    /// Path and a random part.
    pub lease_id: String,
    /// Seconds.
    pub lease_duration: u64,
    /// Whether it can be renewed.
    pub renewable: bool,
}

/// What `sys/leases/lookup` shows.
#[derive(Debug, Clone, Serialize)]
pub struct LeaseInformation {
    /// The lease.
    pub id: String,
    /// When it was made.
    pub issue_time: Timestamp,
    /// When it ends; null for never.
    pub expire_time: Option<Timestamp>,
    /// When it was renewed last.
    pub last_renewal: Option<Timestamp>,
    /// Whether it can be renewed.
    pub renewable: bool,
    /// Seconds left.
    pub ttl: u64,
}

impl Leases {
    /// The leases beside `tokens`, in the same store.
    #[must_use]
    pub fn new(tokens: Tokens) -> Self {
        Self { tokens }
    }

    /// Says who revokes secrets. Until then expired leases of secrets wait.
    pub fn set_revoker(&self, revoker: Weak<dyn LeaseRevoker>) {
        self.book().set_revoker(revoker);
    }

    /// Registers the lease of a secret that `caller` got at `path` (full, with the mount's). Durable on return.
    ///
    /// # Errors
    /// [`Fault::Denied`] when the token is gone meanwhile: the caller must revoke the secret then. The store's.
    pub async fn register(
        &self,
        grant: &LeaseGrant,
        mount: &MountPoint,
        path: &str,
        caller: &Identity,
    ) -> Result<RegisteredLease, Fault> {
        let lease_id = format!("{path}/{}", crate::random::text(24)?.expose());
        let now = self.book().now();
        let maximum = bounded(grant.max_ttl, mount.max_lease_ttl);
        let asked = if grant.ttl == 0 { mount.default_lease_ttl } else { grant.ttl };
        let mut ttl = bounded(asked, maximum).max(1);
        let owner = match caller.token_type {
            TokenType::Service => Some(self.tokens.find_key(&caller.token_key).await?.ok_or(Fault::Denied)?),
            TokenType::Batch => None,
        };
        if owner.is_none() {
            // Nothing tells when a batch token is over, so its leases end with it.
            ttl = ttl.min(seconds_between(now, later(caller.issue_time, caller.token_ttl))).max(1);
        }
        let record = LeaseRecord {
            kind: LeaseKind::Secret {
                mount_uuid: mount.uuid.clone(),
                internal: grant.internal.clone(),
                token: caller.token_key.clone(),
            },
            issued: now,
            expires: later(now, ttl),
            last_renewal: None,
            renewable: grant.renewable,
            ttl,
            max_ttl: maximum,
            attempts: 0,
        };
        self.book().put_secret_lease(&lease_id, &caller.token_key, &record, owner).await?;
        Ok(RegisteredLease { lease_id, lease_duration: ttl, renewable: grant.renewable })
    }

    /// What is known of a lease.
    ///
    /// # Errors
    /// [`Fault::Caller`] `invalid lease`; the store's.
    pub async fn lookup(&self, lease_id: &str) -> Result<LeaseInformation, Fault> {
        let now = self.book().now();
        let (_, lease) = self.live(lease_id).await?.ok_or_else(|| Fault::caller("invalid lease"))?;
        if let LeaseKind::Token { key } = &lease.kind {
            let found = self.tokens.find_key(key).await?.ok_or_else(|| Fault::caller("invalid lease"))?;
            return Ok(LeaseInformation {
                id: lease_id.to_owned(),
                issue_time: found.record.issued,
                expire_time: found.record.expires,
                last_renewal: found.record.last_renewal,
                renewable: found.record.renewable,
                ttl: found.record.ttl_left(now),
            });
        }
        Ok(LeaseInformation {
            id: lease_id.to_owned(),
            issue_time: lease.issued,
            expire_time: Some(lease.expires),
            last_renewal: lease.last_renewal,
            renewable: lease.renewable,
            ttl: seconds_between(now, lease.expires),
        })
    }

    /// Renews the lease of a secret by `increment` seconds (0: as long as at first), bounded by its maximum.
    ///
    /// # Errors
    /// [`Fault::Caller`] with Vault's texts; the store's.
    pub async fn renew(&self, lease_id: &str, increment: u64) -> Result<RegisteredLease, Fault> {
        let book = self.book();
        let renewed = book.store().transact("renew a lease", || async {
            let now = book.now();
            let (version, mut lease) = self.live(lease_id).await?.ok_or_else(|| Fault::caller("lease not found"))?;
            if matches!(lease.kind, LeaseKind::Token { .. }) {
                return Err(AuthError::from(Fault::caller("tokens cannot be renewed through this endpoint")));
            }
            if !lease.renewable {
                return Err(AuthError::from(Fault::caller("lease is not renewable")));
            }
            let left = seconds_between(now, later(lease.issued, lease.max_ttl));
            let asked = if increment == 0 { lease.ttl } else { increment };
            let granted = if lease.max_ttl == 0 { asked } else { asked.min(left) };
            if granted == 0 {
                return Err(AuthError::from(Fault::caller("past the max TTL, cannot renew")));
            }
            lease.expires = later(now, granted);
            lease.last_renewal = Some(now);
            let mut changes = Changes::default();
            changes.replace(book.leases(), lease_id, &lease, version, Some(lease.expires))?;
            let renewable = lease.renewable;
            Ok((changes, RegisteredLease { lease_id: lease_id.to_owned(), lease_duration: granted, renewable }))
        });
        Ok(renewed.await?)
    }

    /// Revokes one lease; one that does not exist counts as revoked.
    ///
    /// # Errors
    /// The engine's, with the lease kept; the store's.
    pub async fn revoke(&self, lease_id: &str) -> Result<(), Fault> {
        match stored(self.book().load(lease_id).await)? {
            Some((_, lease)) => self.end(lease_id, &lease, false).await,
            None => Ok(()),
        }
    }

    /// Revokes every lease below `prefix`.
    ///
    /// # Errors
    /// The first engine's, after all were tried; the store's.
    pub async fn revoke_prefix(&self, prefix: &str) -> Result<(), Fault> {
        self.revoke_below(prefix, false).await
    }

    /// Like [`revoke_prefix`](Self::revoke_prefix), forgetting leases whose engine fails.
    ///
    /// # Errors
    /// The store's.
    pub async fn revoke_force(&self, prefix: &str) -> Result<(), Fault> {
        self.revoke_below(prefix, true).await
    }

    /// Direct children of `prefix`, as LIST shows them.
    ///
    /// # Errors
    /// The store's.
    pub async fn list(&self, prefix: &str) -> Result<Vec<String>, Fault> {
        stored(self.book().leases().list(prefix, Page::default()).await)
    }

    /// How many leases there are below `prefix`.
    ///
    /// # Errors
    /// The store's.
    pub async fn count(&self, prefix: &str) -> Result<usize, Fault> {
        Ok(stored(self.book().leases().keys(prefix, Page::default()).await)?.len())
    }

    /// Ends what expired at or before `now`, at most `limit` leases and `limit` tokens; answers how many were due. Looks
    /// only at the expiry index.
    ///
    /// # Errors
    /// The store's.
    pub async fn sweep(&self, now: Timestamp, limit: usize) -> Result<usize, Fault> {
        let due = stored(self.book().leases().expired(now, limit).await)?;
        for lease_id in &due {
            if let Some((_, lease)) = stored(self.book().load(lease_id).await)?
                && let Err(fault) = self.end(lease_id, &lease, false).await
            {
                tracing::warn!(lease = lease_id, %fault, "lease was not revoked, will try again");
            }
        }
        Ok(due.len() + self.tokens.sweep(now, limit).await?)
    }

    async fn revoke_below(&self, prefix: &str, force: bool) -> Result<(), Fault> {
        let folder = prefix.trim_matches('/');
        let mut first_failure = None;
        for below in stored(self.book().leases().keys(folder, Page::default()).await)? {
            let lease_id = if folder.is_empty() { below } else { format!("{folder}/{below}") };
            let Some((_, lease)) = stored(self.book().load(&lease_id).await)? else { continue };
            if let Err(fault) = self.end(&lease_id, &lease, force).await {
                first_failure.get_or_insert(fault);
            }
        }
        first_failure.map_or(Ok(()), Err)
    }

    async fn end(&self, lease_id: &str, lease: &LeaseRecord, force: bool) -> Result<(), Fault> {
        match &lease.kind {
            LeaseKind::Token { key } => {
                self.tokens.revoke_key(key).await?;
                self.book().forget(lease_id, None).await
            }
            LeaseKind::Secret { .. } => self.book().revoke_secret(lease_id, lease, force).await,
        }
    }

    async fn live(&self, lease_id: &str) -> Result<Option<(u64, LeaseRecord)>, Fault> {
        let now = self.book().now();
        Ok(stored(self.book().load(lease_id).await)?.filter(|(_, lease)| now < lease.expires))
    }

    fn book(&self) -> &LeaseBook {
        self.tokens.book()
    }
}

/// `value`, at most `bound`; 0 stands for none.
fn bounded(value: u64, bound: u64) -> u64 {
    match (value, bound) {
        (0, other) | (other, 0) => other,
        (value, bound) => value.min(bound),
    }
}

/// Keeps a shared revoker from keeping the server alive.
pub(crate) type Revoker = Arc<parking_lot::RwLock<Option<Weak<dyn LeaseRevoker>>>>;
