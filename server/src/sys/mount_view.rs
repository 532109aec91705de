//! A mount as listings show it, and the members that enabling and tuning share.

use crate::mount::{MountClass, Mounted, Tuning};
use chancery_engine::{
    Fault,
    wire::{CommaList, Flag, KeyValues, Text, parse_duration},
};
use serde::{Deserialize, Serialize, Serializer};
use std::collections::BTreeMap;

/// One mount in `sys/mounts`, `sys/auth` and `sys/internal/ui/mounts`.
#[derive(Serialize)]
pub(super) struct MountView<'a> {
    accessor: &'a str,
    config: ConfigView<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deprecation_status: Option<&'static str>,
    description: &'a str,
    external_entropy_access: bool,
    local: bool,
    options: Option<&'a BTreeMap<String, String>>,
    /// Only `sys/internal/ui/mounts/:path` has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<&'a str>,
    plugin_version: &'a str,
    running_plugin_version: &'static str,
    running_sha256: &'static str,
    seal_wrap: bool,
    #[serde(rename = "type")]
    kind: &'a str,
    uuid: &'a str,
}

/// `config` of a listed mount: what it sets itself.
#[derive(Serialize)]
pub(super) struct ConfigView<'a> {
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    allowed_managed_keys: &'a [String],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    allowed_response_headers: &'a [String],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    audit_non_hmac_request_keys: &'a [String],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    audit_non_hmac_response_keys: &'a [String],
    default_lease_ttl: u64,
    force_no_cache: bool,
    #[serde(skip_serializing_if = "str::is_empty")]
    listing_visibility: &'a str,
    max_lease_ttl: u64,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    passthrough_request_headers: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    token_type: Option<&'a str>,
}

/// What of a mount strangers may see where it says `listing_visibility=unauth`.
#[derive(Serialize)]
pub(super) struct StrangersView<'a> {
    description: &'a str,
    options: Option<&'a BTreeMap<String, String>>,
    #[serde(rename = "type")]
    kind: &'a str,
}

/// A map whose members keep the order they are given in.
pub(super) struct Members<'a, T>(pub(super) Vec<(&'a str, T)>);

impl<T: Serialize> Serialize for Members<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

/// The version every engine of this appliance has: it is built in.
pub(super) const RUNNING_VERSION: &str = concat!("v", env!("CARGO_PKG_VERSION"), "+builtin.chancery");

impl<'a> MountView<'a> {
    pub(super) fn of(mounted: &'a Mounted) -> Self {
        let entry = &mounted.entry;
        let own = !matches!(entry.kind.as_str(), "system" | "cubbyhole" | "token" | "generic");
        Self {
            accessor: &entry.accessor,
            config: ConfigView::of(mounted),
            deprecation_status: own.then_some("supported"),
            description: &entry.tuning.description,
            external_entropy_access: entry.external_entropy_access,
            local: entry.local,
            options: entry.tuning.options.as_ref(),
            path: None,
            plugin_version: &entry.tuning.plugin_version,
            running_plugin_version: RUNNING_VERSION,
            running_sha256: "",
            seal_wrap: entry.seal_wrap,
            kind: &entry.kind,
            uuid: &entry.uuid,
        }
    }

    pub(super) fn with_path(self, path: &'a str) -> Self {
        Self { path: Some(path), ..self }
    }
}

impl<'a> ConfigView<'a> {
    pub(super) fn of(mounted: &'a Mounted) -> Self {
        let tuning = &mounted.entry.tuning;
        Self {
            allowed_managed_keys: &tuning.allowed_managed_keys,
            allowed_response_headers: &tuning.allowed_response_headers,
            audit_non_hmac_request_keys: &tuning.audit_non_hmac_request_keys,
            audit_non_hmac_response_keys: &tuning.audit_non_hmac_response_keys,
            default_lease_ttl: tuning.default_lease_ttl,
            force_no_cache: tuning.force_no_cache,
            listing_visibility: &tuning.listing_visibility,
            max_lease_ttl: tuning.max_lease_ttl,
            passthrough_request_headers: &tuning.passthrough_request_headers,
            token_type: token_type(mounted),
        }
    }
}

impl<'a> StrangersView<'a> {
    pub(super) fn of(mounted: &'a Mounted) -> Self {
        let entry = &mounted.entry;
        Self { description: &entry.tuning.description, options: entry.tuning.options.as_ref(), kind: &entry.kind }
    }
}

/// `token_type` of auth mounts; secrets have none.
pub(super) fn token_type(mounted: &Mounted) -> Option<&str> {
    match (mounted.entry.class, mounted.entry.tuning.token_type.as_str()) {
        (MountClass::Secret, _) => None,
        (MountClass::Auth, "") => Some("default-service"),
        (MountClass::Auth, kind) => Some(kind),
    }
}

/// The members of `tune`, and of `config` where a mount is enabled.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct TuneRequest {
    default_lease_ttl: Option<Text>,
    max_lease_ttl: Option<Text>,
    description: Option<Text>,
    audit_non_hmac_request_keys: Option<CommaList>,
    audit_non_hmac_response_keys: Option<CommaList>,
    listing_visibility: Option<Text>,
    passthrough_request_headers: Option<CommaList>,
    allowed_response_headers: Option<CommaList>,
    token_type: Option<Text>,
    plugin_version: Option<Text>,
    force_no_cache: Option<Flag>,
    pub(super) options: Option<KeyValues>,
    allowed_managed_keys: Option<CommaList>,
    /// Vault's lock-out of users who guess.
    #[serde(rename = "user_lockout_config")]
    _user_lockout_config: Option<serde::de::IgnoredAny>,
}

/// Words of the two endpoints that take a [`TuneRequest`], which are not the same.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Occasion {
    Enabling,
    Tuning,
}

impl TuneRequest {
    pub(super) fn has_description(&self) -> bool {
        self.description.is_some()
    }

    /// Writes what is given into `tuning`; the bounds are checked by the mount table.
    pub(super) fn apply(&self, class: MountClass, occasion: Occasion, tuning: &mut Tuning) -> Result<(), Fault> {
        if let Some(ttl) = &self.default_lease_ttl {
            tuning.default_lease_ttl = lease_ttl(&ttl.0, "default", occasion)?;
        }
        if let Some(ttl) = &self.max_lease_ttl {
            tuning.max_lease_ttl = lease_ttl(&ttl.0, "max", occasion)?;
        }
        if let Some(visibility) = &self.listing_visibility {
            if !matches!(visibility.0.as_str(), "" | "hidden" | "unauth") {
                return Err(Fault::Caller(format!("invalid listing_visibility {}", visibility.0)));
            }
            tuning.listing_visibility.clone_from(&visibility.0);
        }
        if let Some(kind) = &self.token_type {
            self.apply_token_type(class, occasion, &kind.0, tuning)?;
        }
        if let Some(Text(description)) = &self.description {
            tuning.description.clone_from(description);
        }
        if let Some(Text(version)) = &self.plugin_version {
            tuning.plugin_version.clone_from(version);
        }
        if let Some(Flag(flag)) = self.force_no_cache {
            tuning.force_no_cache = flag;
        }
        for (given, place) in [
            (&self.audit_non_hmac_request_keys, &mut tuning.audit_non_hmac_request_keys),
            (&self.audit_non_hmac_response_keys, &mut tuning.audit_non_hmac_response_keys),
            (&self.passthrough_request_headers, &mut tuning.passthrough_request_headers),
            (&self.allowed_response_headers, &mut tuning.allowed_response_headers),
            (&self.allowed_managed_keys, &mut tuning.allowed_managed_keys),
        ] {
            if let Some(CommaList(list)) = given {
                place.clone_from(list);
            }
        }
        Ok(())
    }

    fn apply_token_type(
        &self,
        class: MountClass,
        occasion: Occasion,
        kind: &str,
        tuning: &mut Tuning,
    ) -> Result<(), Fault> {
        match (class, occasion) {
            (MountClass::Secret, Occasion::Enabling) => return Ok(()),
            (MountClass::Secret, Occasion::Tuning) => {
                return Err(Fault::caller("'token_type' can only be modified on auth mounts"));
            }
            (MountClass::Auth, _) => {}
        }
        if !matches!(kind, "" | "default" | "default-service" | "default-batch" | "service" | "batch") {
            return Err(Fault::caller("invalid value for 'token_type'"));
        }
        let kind = if kind == "default" { "" } else { kind };
        kind.clone_into(&mut tuning.token_type);
        Ok(())
    }
}

/// A lease TTL: a duration, or `system` for the system's own.
fn lease_ttl(text: &str, which: &str, occasion: Occasion) -> Result<u64, Fault> {
    if text == "system" {
        return Ok(0);
    }
    let seconds = parse_duration(text).map_err(|_| {
        let cause = format!("time: invalid duration {text:?}");
        Fault::Caller(match occasion {
            Occasion::Enabling => format!("unable to parse {which} TTL of {text}: {cause}"),
            Occasion::Tuning => cause,
        })
    })?;
    u64::try_from(seconds).map_err(|_| Fault::Caller(format!("{which} lease TTL cannot be negative")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lease_ttls_are_durations_or_the_systems() {
        assert_eq!(lease_ttl("1h", "max", Occasion::Tuning).unwrap(), 3600);
        assert_eq!(lease_ttl("7200", "max", Occasion::Tuning).unwrap(), 7200);
        assert_eq!(lease_ttl("system", "max", Occasion::Tuning).unwrap(), 0);
        let text = |occasion| lease_ttl("abc", "default", occasion).unwrap_err().to_string();
        assert_eq!(text(Occasion::Tuning), "time: invalid duration \"abc\"");
        assert_eq!(text(Occasion::Enabling), "unable to parse default TTL of abc: time: invalid duration \"abc\"");
        assert!(lease_ttl("-5", "default", Occasion::Tuning).is_err());
    }
}
