//! What is stored of a token, and where.
//!
//! | key below `sys/token/` | holds |
//! |---|---|
//! | `id/<hash>` | [`TokenRecord`]; expires with the token |
//! | `accessor/<accessor>` | the hash |
//! | `child/<hash of parent>/<hash>` | nothing: the index for tree revocation |
//! | `secret/salt`, `secret/batch` | the HMAC key of the hashes, the key of batch tokens |
//!
//! `<hash>` is HMAC-SHA-256(salt, token): whoever reads the store learns no token.

use chancery_engine::{SecretString, response::AuthBlock};
use chancery_store::{Store, View};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One stored token.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct TokenRecord {
    pub(crate) accessor: String,
    /// Hash of the parent; none for an orphan.
    pub(crate) parent: Option<String>,
    pub(crate) policies: Vec<String>,
    /// Path of the request that made it.
    pub(crate) path: String,
    pub(crate) display_name: String,
    pub(crate) metadata: Option<BTreeMap<String, String>>,
    /// Uses granted; 0 for no bound.
    pub(crate) num_uses: i64,
    /// Uses left; [`SPENT`] once the last one was taken.
    pub(crate) uses_left: i64,
    pub(crate) issued: Timestamp,
    /// TTL at creation in seconds; 0 for no end.
    pub(crate) creation_ttl: u64,
    pub(crate) expires: Option<Timestamp>,
    pub(crate) last_renewal: Option<Timestamp>,
    pub(crate) renewable: bool,
    pub(crate) limits: RenewalLimits,
    pub(crate) role: String,
    pub(crate) bound_cidrs: Vec<String>,
    pub(crate) entity_id: String,
    /// Handed back to the login method; never shown.
    pub(crate) internal: BTreeMap<String, String>,
    pub(crate) lease_id: String,
}

/// What renewal must respect; all in seconds, 0 for none.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct RenewalLimits {
    /// TTL without an increment: the role's.
    pub(crate) ttl: u64,
    /// The role's maximum.
    pub(crate) max_ttl: u64,
    pub(crate) explicit_max_ttl: u64,
    pub(crate) period: u64,
    /// The mount's defaults when the token was made.
    pub(crate) mount_default_ttl: u64,
    pub(crate) mount_max_ttl: u64,
}

/// `uses_left` of a token whose last use is in progress.
pub(crate) const SPENT: i64 = -1;

/// The views of the token store.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    pub(crate) tokens: View,
    pub(crate) accessors: View,
    pub(crate) children: View,
    pub(crate) secrets: View,
    pub(crate) cubbyholes: View,
}

impl Places {
    pub(crate) fn of(store: &Store) -> Self {
        Self {
            tokens: store.view("sys/token/id/"),
            accessors: store.view("sys/token/accessor/"),
            children: store.view("sys/token/child/"),
            secrets: store.view("sys/token/secret/"),
            cubbyholes: store.view("sys/cubbyhole/"),
        }
    }
}

impl TokenRecord {
    /// The increment asked for. Where none was, and no role says how long, the TTL granted last holds again.
    pub(crate) fn increment_or_last(&self, increment: u64) -> u64 {
        if increment > 0 || self.limits.ttl > 0 || self.limits.period > 0 {
            return increment;
        }
        let since = self.last_renewal.unwrap_or(self.issued);
        self.expires.map_or(0, |end| u64::try_from(end.duration_since(since).as_secs()).unwrap_or(0))
    }

    /// Whether it may still be used at `now`.
    pub(crate) fn is_alive(&self, now: Timestamp) -> bool {
        self.uses_left != SPENT && self.expires.is_none_or(|expires| now < expires)
    }

    /// Seconds left at `now`; 0 for no end.
    pub(crate) fn ttl_left(&self, now: Timestamp) -> u64 {
        self.expires.map_or(0, |expires| seconds_between(now, expires))
    }

    /// The `auth` block. `token` is empty where only the accessor is known; `ttl` is what was just granted.
    pub(crate) fn block(&self, token: SecretString, ttl: u64) -> AuthBlock {
        AuthBlock {
            client_token: token,
            accessor: self.accessor.clone(),
            policies: self.policies.clone(),
            token_policies: self.policies.clone(),
            identity_policies: Vec::new(),
            metadata: self.metadata.clone(),
            lease_duration: ttl,
            renewable: self.renewable,
            entity_id: self.entity_id.clone(),
            token_type: "service",
            orphan: self.parent.is_none(),
            mfa_requirement: None,
            num_uses: self.num_uses,
        }
    }
}

/// Whole seconds from `from` to `to`, at least 0.
pub(crate) fn seconds_between(from: Timestamp, to: Timestamp) -> u64 {
    u64::try_from(to.duration_since(from).as_secs()).unwrap_or(0)
}

/// The moment `seconds` after `from`.
pub(crate) fn later(from: Timestamp, seconds: u64) -> Timestamp {
    from.checked_add(jiff::SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX)))
        .unwrap_or(Timestamp::MAX)
}
