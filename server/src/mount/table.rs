//! What is stored of a mount, and the rules a path must obey to become one.

use chancery_engine::{Fault, MountPoint};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Whether a mount serves secrets or logins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MountClass {
    /// Listed by `sys/mounts`.
    Secret,
    /// Listed by `sys/auth`; its path starts with `auth/`.
    Auth,
}

/// One mount as it is stored, sealed, under `sys/mounts/<uuid>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountEntry {
    /// Secrets or logins.
    pub class: MountClass,
    /// Full path with a trailing slash: `transit/`, `auth/approle/`.
    pub path: String,
    /// Engine kind: `transit`, `approle`.
    pub kind: String,
    /// Names the storage view `mount/<uuid>/`.
    pub uuid: String,
    /// Stable public handle, `transit_1a2b3c4d` or `auth_approle_1a2b3c4d`.
    pub accessor: String,
    /// What can be tuned.
    pub tuning: Tuning,
    /// Set at creation, echoed by listings: the mount is not replicated.
    #[serde(default)]
    pub local: bool,
    /// Set at creation, echoed by listings.
    #[serde(default)]
    pub seal_wrap: bool,
    /// Set at creation, echoed by listings.
    #[serde(default)]
    pub external_entropy_access: bool,
}

/// Members of `sys/mounts/:path/tune`. Times in seconds, 0 where the system's value holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tuning {
    /// `description`
    pub description: String,
    /// `default_lease_ttl`
    pub default_lease_ttl: u64,
    /// `max_lease_ttl`
    pub max_lease_ttl: u64,
    /// `options`; `None` is shown as null.
    pub options: Option<BTreeMap<String, String>>,
    /// `audit_non_hmac_request_keys`
    pub audit_non_hmac_request_keys: Vec<String>,
    /// `audit_non_hmac_response_keys`
    pub audit_non_hmac_response_keys: Vec<String>,
    /// `listing_visibility`: "", `hidden` or `unauth`.
    pub listing_visibility: String,
    /// `passthrough_request_headers`
    pub passthrough_request_headers: Vec<String>,
    /// `allowed_response_headers`
    pub allowed_response_headers: Vec<String>,
    /// `token_type` of auth mounts.
    pub token_type: String,
    /// `plugin_version`
    pub plugin_version: String,
    /// `force_no_cache`
    pub force_no_cache: bool,
    /// `allowed_managed_keys`: registered keys this mount may use.
    pub allowed_managed_keys: Vec<String>,
}

/// What the caller of [`Mounts::mount`](super::Mounts::mount) asks for.
#[derive(Debug, Clone)]
pub struct NewMount {
    /// Secrets or logins.
    pub class: MountClass,
    /// Full path, with or without the trailing slash; auth mounts with their `auth/`.
    pub path: String,
    /// Engine kind.
    pub kind: String,
    /// Initial tuning.
    pub tuning: Tuning,
    /// See [`MountEntry::local`].
    pub local: bool,
    /// See [`MountEntry::seal_wrap`].
    pub seal_wrap: bool,
    /// See [`MountEntry::external_entropy_access`].
    pub external_entropy_access: bool,
}

/// System-wide lease bounds, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseBounds {
    /// Where neither request nor mount says anything.
    pub default_ttl: u64,
    /// The ceiling.
    pub max_ttl: u64,
}

impl Default for LeaseBounds {
    /// Vault's own: 768 hours for both.
    fn default() -> Self {
        Self { default_ttl: 2_764_800, max_ttl: 2_764_800 }
    }
}

impl NewMount {
    /// A mount of `kind` at `path` with nothing set.
    #[must_use]
    pub fn new(class: MountClass, path: impl Into<String>, kind: impl Into<String>) -> Self {
        Self {
            class,
            path: path.into(),
            kind: kind.into(),
            tuning: Tuning::default(),
            local: false,
            seal_wrap: false,
            external_entropy_access: false,
        }
    }
}

impl MountEntry {
    /// The path as listings of its class show it: auth mounts without `auth/`.
    #[must_use]
    pub fn listed_path(&self) -> &str {
        match self.class {
            MountClass::Secret => &self.path,
            MountClass::Auth => self.path.strip_prefix("auth/").unwrap_or(&self.path),
        }
    }

    /// The mount as its handlers see it.
    #[must_use]
    pub fn point(&self, bounds: LeaseBounds) -> MountPoint {
        let or = |own: u64, system: u64| if own == 0 { system } else { own };
        MountPoint {
            path: self.path.clone(),
            kind: self.kind.clone(),
            accessor: self.accessor.clone(),
            uuid: self.uuid.clone(),
            default_lease_ttl: or(self.tuning.default_lease_ttl, bounds.default_ttl),
            max_lease_ttl: or(self.tuning.max_lease_ttl, bounds.max_ttl),
            options: self.tuning.options.clone().unwrap_or_default(),
        }
    }

    /// Name of the storage view the engine writes to.
    #[must_use]
    pub fn view_name(&self) -> String {
        format!("mount/{}/", self.uuid)
    }
}

impl Tuning {
    /// Refuses lease bounds that contradict themselves or the system's.
    ///
    /// # Errors
    /// [`Fault::Caller`] in Vault's words.
    pub fn check(&self, bounds: LeaseBounds) -> Result<(), Fault> {
        if self.max_lease_ttl != 0 && self.default_lease_ttl > self.max_lease_ttl {
            return Err(Fault::caller("given default lease TTL greater than given max lease TTL"));
        }
        if self.max_lease_ttl == 0 && self.default_lease_ttl > bounds.max_ttl {
            return Err(Fault::Caller(format!(
                "given default lease TTL greater than system max lease TTL of {}",
                bounds.max_ttl
            )));
        }
        if !matches!(self.listing_visibility.as_str(), "" | "hidden" | "unauth") {
            return Err(Fault::caller("invalid listing visibility type"));
        }
        Ok(())
    }
}

/// Brings a mount path into its one spelling: no leading or doubled slash, one trailing slash.
///
/// # Errors
/// [`Fault::Caller`] on characters and segments that no request path may hold either.
pub fn canonical_path(path: &str) -> Result<String, Fault> {
    let mut canonical = String::with_capacity(path.len() + 1);
    for segment in path.split('/').filter(|segment| !segment.is_empty()) {
        if matches!(segment, "." | "..") || segment.chars().any(|c| c.is_control() || c == '\\') {
            return Err(Fault::caller("mount path contains a segment that no request could address"));
        }
        canonical.push_str(segment);
        canonical.push('/');
    }
    if canonical.is_empty() { Err(Fault::caller("path cannot be empty")) } else { Ok(canonical) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_have_one_spelling() {
        assert_eq!(canonical_path("/a//b").unwrap(), "a/b/");
        assert!(canonical_path("//").is_err());
        assert!(canonical_path("a/../b").is_err());
    }

    #[test]
    fn lease_bounds_are_checked_against_the_systems() {
        let bounds = LeaseBounds::default();
        let tuning = |default, max| Tuning { default_lease_ttl: default, max_lease_ttl: max, ..Tuning::default() };
        assert!(tuning(60, 0).check(bounds).is_ok());
        assert!(tuning(60, 30).check(bounds).is_err());
        assert!(tuning(3_000_000, 0).check(bounds).is_err());
        assert!(tuning(3_000_000, 4_000_000).check(bounds).is_ok());
    }
}
