//! The secret ids of one mount, each below its role, so that no other role's path reaches it (CVE-2023-24999).
//!
//! Below the mount's view: `secret_id/<role>/<hash>` and `accessor/<role>/<accessor>` -> hash.

use super::roles::Role;
use crate::{
    cidr,
    error::{AuthError, stored},
    tokens::record::later,
};
use chancery_engine::Fault;
use chancery_store::{Changes, Store, View};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, net::IpAddr};

/// One secret id.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct SecretId {
    pub(super) accessor: String,
    pub(super) created: Timestamp,
    pub(super) updated: Timestamp,
    pub(super) expires: Option<Timestamp>,
    pub(super) ttl: u64,
    /// Uses left; 0 for no bound.
    pub(super) num_uses: i64,
    pub(super) metadata: BTreeMap<String, String>,
    pub(super) cidr_list: Vec<String>,
    pub(super) token_bound_cidrs: Vec<String>,
}

/// What is asked of a new secret id.
#[derive(Debug, Clone)]
pub(super) struct NewSecretId {
    pub(super) hash: String,
    pub(super) accessor: String,
    pub(super) ttl: u64,
    pub(super) num_uses: i64,
    pub(super) metadata: BTreeMap<String, String>,
    pub(super) cidr_list: Vec<String>,
    pub(super) token_bound_cidrs: Vec<String>,
}

/// The stored secret ids.
#[derive(Debug)]
pub(super) struct SecretIds {
    secrets: View,
    accessors: View,
    store: Store,
}

impl SecretIds {
    pub(super) fn new(view: &View, store: Store) -> Self {
        Self { secrets: view.view("secret_id"), accessors: view.view("accessor"), store }
    }

    /// Stores a new one.
    pub(super) async fn create(&self, role: &str, new: NewSecretId, now: Timestamp) -> Result<(), Fault> {
        let role = role.to_lowercase();
        let expires = (new.ttl > 0).then(|| later(now, new.ttl));
        let secret = SecretId {
            accessor: new.accessor,
            created: now,
            updated: now,
            expires,
            ttl: new.ttl,
            num_uses: new.num_uses,
            metadata: new.metadata,
            cidr_list: new.cidr_list,
            token_bound_cidrs: new.token_bound_cidrs,
        };
        let key = format!("{role}/{}", new.hash);
        let created = self.store.transact("create a secret id", || async {
            let mut changes = Changes::default();
            // A dead one that was not swept yet may be replaced.
            if let Some(known) = self.secrets.read(&key).await? {
                if known.decode::<SecretId>()?.is_alive(now) {
                    return Err(AuthError::from(Fault::caller(
                        "failed to store secret_id: SecretID is already registered",
                    )));
                }
                changes.expect_version(&self.secrets, &key, known.version);
            } else {
                changes.expect_absent(&self.secrets, &key);
            }
            match secret.expires {
                Some(expires) => changes.put_expiring(&self.secrets, &key, &secret, expires)?,
                None => changes.put(&self.secrets, &key, &secret)?,
            };
            changes.create(&self.accessors, &format!("{role}/{}", secret.accessor), &new.hash)?;
            Ok((changes, ()))
        });
        Ok(created.await?)
    }

    /// A live one, by its hash.
    pub(super) async fn find(&self, role: &str, hash: &str, now: Timestamp) -> Result<Option<SecretId>, Fault> {
        let key = format!("{}/{hash}", role.to_lowercase());
        let Some(entry) = stored(self.secrets.read(&key).await)? else { return Ok(None) };
        let secret: SecretId = stored(entry.decode())?;
        Ok(Some(secret).filter(|secret| secret.is_alive(now)))
    }

    /// The hash behind an accessor of this role.
    pub(super) async fn hash_of_accessor(&self, role: &str, accessor: &str) -> Result<Option<String>, Fault> {
        let key = format!("{}/{accessor}", role.to_lowercase());
        match stored(self.accessors.read(&key).await)? {
            Some(entry) => stored(entry.decode()).map(Some),
            None => Ok(None),
        }
    }

    /// Takes a use for a login from `client`; `None` when there is no such secret id or it is bound to other places.
    /// The last use removes it.
    pub(super) async fn take_use(
        &self,
        role: &str,
        hash: &str,
        client: Option<IpAddr>,
        now: Timestamp,
    ) -> Result<Option<SecretId>, Fault> {
        let role = role.to_lowercase();
        let key = format!("{role}/{hash}");
        let taken = self.store.transact("take a use of a secret id", || async {
            let mut changes = Changes::default();
            let Some(entry) = self.secrets.read(&key).await? else { return Ok((changes, None)) };
            let mut secret: SecretId = entry.decode()?;
            if !secret.is_alive(now) || !cidr::admits(&secret.cidr_list, client) {
                return Ok((changes, None));
            }
            match secret.num_uses {
                0 => {}
                1 => {
                    changes.expect_version(&self.secrets, &key, entry.version);
                    changes.delete(&self.secrets, &key);
                    changes.delete(&self.accessors, &format!("{role}/{}", secret.accessor));
                }
                more => {
                    secret.num_uses = more - 1;
                    secret.updated = now;
                    changes.replace(&self.secrets, &key, &secret, entry.version, secret.expires)?;
                }
            }
            Ok::<_, AuthError>((changes, Some(secret)))
        });
        Ok(taken.await?)
    }

    /// Removes one; nothing happens where there is none.
    pub(super) async fn destroy(&self, role: &str, hash: &str) -> Result<(), Fault> {
        let role = role.to_lowercase();
        let key = format!("{role}/{hash}");
        let Some(entry) = stored(self.secrets.read(&key).await)? else { return Ok(()) };
        let secret: SecretId = stored(entry.decode())?;
        let mut changes = Changes::default();
        changes.delete(&self.secrets, &key).delete(&self.accessors, &format!("{role}/{}", secret.accessor));
        stored(self.store.commit(changes).await.map(drop))
    }

    /// Accessors of a role's secret ids.
    pub(super) async fn accessors(&self, role: &str) -> Result<Vec<String>, Fault> {
        super::names(&self.accessors, &role.to_lowercase()).await
    }

    /// Adds the end of all secret ids of a role.
    pub(super) fn delete_of_role(&self, changes: &mut Changes, role: &str) {
        changes.delete_view(&self.secrets.view(role)).delete_view(&self.accessors.view(role));
    }

    /// Removes what expired at or before `now`.
    pub(super) async fn sweep(&self, now: Timestamp) -> Result<(), Fault> {
        loop {
            let due = stored(self.secrets.expired(now, 500).await)?;
            if due.is_empty() {
                return Ok(());
            }
            for key in due {
                if let Some((role, hash)) = key.split_once('/') {
                    self.destroy(role, hash).await?;
                }
            }
        }
    }
}

impl SecretId {
    fn is_alive(&self, now: Timestamp) -> bool {
        self.expires.is_none_or(|expires| now < expires)
    }
}

/// Checks the ranges of a secret id against those of its role.
pub(super) fn check_ranges(role: &Role, cidr_list: &[String], token_ranges: &[String]) -> Result<(), Fault> {
    let wrong = |ranges: &[String]| ranges.iter().find(|range| !cidr::is_network(range)).cloned();
    if let Some(range) = wrong(cidr_list) {
        return Err(Fault::caller(format!("failed to validate CIDR blocks: invalid CIDR address: {range}")));
    }
    if let Some(range) = wrong(token_ranges) {
        return Err(Fault::caller(format!("failed to validate token CIDR blocks: invalid CIDR address: {range}")));
    }
    let role_ranges = role.secret_id_bound_cidrs.as_deref().unwrap_or_default();
    for (inner, outer) in [(cidr_list, role_ranges), (token_ranges, role.token.bound_cidrs.as_slice())] {
        if !cidr::is_subset(inner, outer) {
            return Err(Fault::caller(format!(
                "failed to verify subset relationship between CIDR blocks on the role {outer:?} and CIDR blocks on the secret ID {inner:?}"
            )));
        }
    }
    Ok(())
}
