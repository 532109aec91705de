//! Where things lie in the mount's view. Nothing else spells a storage key.
//!
//! | key | what |
//! |---|---|
//! | `guard` | moves with every change of issuers, keys or settings |
//! | `issuer/<id>`, `key/<id>` | [`IssuerRecord`], [`KeyRecord`] |
//! | `config/issuers`, `config/keys`, `config/urls`, `config/cluster`, `config/crl` | [`crate::settings`] |
//! | `retired/<id>` | the [`IssuerRecord`] of a deleted issuer; its lists stay too |
//! | `role/<name>` | [`Role`](crate::role::Role) |
//! | `cel-role/<name>` | [`CelRole`](crate::cel::CelRole) |
//! | `crl/<issuer id>`, `crl-delta/<issuer id>`, `crl-shard/<issuer id>/<shard>` | [`CrlRecord`](crate::crl::CrlRecord) |
//! | `crl-spare/…` | the same list, signed once more for longer |
//! | `responder/<issuer id>` | the issuer's delegated OCSP responder |
//! | `ocsp/<issuer id>/<hash>/<serial>` | a signed OCSP answer; its expiry is when it is renewed |
//! | `ocsp-ahead` | up to which certificate answers were signed ahead |
//! | `config/auto-tidy`, `tidy/last` | what tidies itself, and when it last did |
//! | `tidy/removed` | the end before which certificates may have been removed |
//!
//! Certificates are in the store's inventory, under the view's name.

use crate::{
    authority::Authority,
    error::CaError,
    issuer::{Issuer, IssuerRecord},
    key::KeyRecord,
    publication::CrlScope,
};
use chancery_store::{Page, View};
use serde::de::DeserializeOwned;
use std::sync::Arc;

pub(crate) const GUARD: &str = "guard";
pub(crate) const CONFIG_ISSUERS: &str = "config/issuers";
pub(crate) const CONFIG_KEYS: &str = "config/keys";
pub(crate) const CONFIG_URLS: &str = "config/urls";
pub(crate) const CONFIG_CRL: &str = "config/crl";
pub(crate) const CONFIG_CLUSTER: &str = "config/cluster";
pub(crate) const CONFIG_AUTO_TIDY: &str = "config/auto-tidy";
/// When this mount last tidied itself.
pub(crate) const LAST_TIDY: &str = "tidy/last";
/// Certificates that ended before this may have been removed.
pub(crate) const REMOVED: &str = "tidy/removed";
/// How far signing OCSP answers ahead has come.
pub(crate) const OCSP_AHEAD: &str = "ocsp-ahead";
/// The view of signed OCSP answers.
pub(crate) const OCSP: &str = "ocsp/";
pub(crate) const ROLES: &str = "role/";
pub(crate) const CEL_ROLES: &str = "cel-role/";
const ISSUERS: &str = "issuer/";
const RETIRED: &str = "retired/";
const KEYS: &str = "key/";

pub(crate) fn issuer(id: &str) -> String {
    format!("{ISSUERS}{id}")
}

/// A deleted issuer.
pub(crate) fn retired(id: &str) -> String {
    format!("{RETIRED}{id}")
}

pub(crate) fn key(id: &str) -> String {
    format!("{KEYS}{id}")
}

pub(crate) fn role(name: &str) -> String {
    format!("{ROLES}{name}")
}

/// A role that is a program.
pub(crate) fn cel_role(name: &str) -> String {
    format!("{CEL_ROLES}{name}")
}

pub(crate) fn crl(scope: CrlScope, issuer: &str) -> String {
    match scope {
        CrlScope::Complete => format!("crl/{issuer}"),
        CrlScope::Delta => format!("crl-delta/{issuer}"),
        CrlScope::Shard(shard) => format!("crl-shard/{issuer}/{shard}"),
    }
}

/// The same list, signed once more for longer.
pub(crate) fn spare(scope: CrlScope, issuer: &str) -> String {
    format!("crl-spare/{}", crl(scope, issuer))
}

/// The delegated OCSP responder of an issuer.
pub(crate) fn responder(issuer: &str) -> String {
    format!("responder/{issuer}")
}

/// Reads one entry.
pub(crate) async fn read<T: DeserializeOwned>(view: &View, key: &str) -> Result<Option<T>, CaError> {
    Ok(view.read(key).await?.map(|entry| entry.decode()).transpose()?)
}

/// Reads issuers, keys and settings. The guard is read first: a change meanwhile makes a commit conflict.
pub(crate) async fn read_authority(view: &View) -> Result<Authority, CaError> {
    let mut authority = Authority { guard: view.read(GUARD).await?.map(|entry| entry.version), ..Authority::default() };
    if authority.guard.is_none() {
        return Ok(authority);
    }
    for id in view.list(ISSUERS, Page::default()).await? {
        if let Some(record) = read::<IssuerRecord>(view, &issuer(&id)).await? {
            authority.issuers.insert(id, Arc::new(Issuer::read(record)?));
        }
    }
    for id in view.list(RETIRED, Page::default()).await? {
        if let Some(record) = read::<IssuerRecord>(view, &retired(&id)).await? {
            authority.retired.insert(id, Arc::new(Issuer::read(record)?));
        }
    }
    for id in view.list(KEYS, Page::default()).await? {
        if let Some(record) = read::<KeyRecord>(view, &key(&id)).await? {
            authority.keys.insert(id, Arc::new(record));
        }
    }
    authority.issuer_settings = read(view, CONFIG_ISSUERS).await?.unwrap_or_default();
    authority.key_settings = read(view, CONFIG_KEYS).await?.unwrap_or_default();
    authority.url_settings = read(view, CONFIG_URLS).await?.unwrap_or_default();
    authority.cluster_settings = read(view, CONFIG_CLUSTER).await?.unwrap_or_default();
    authority.crl_settings = read(view, CONFIG_CRL).await?.unwrap_or_default();
    Ok(authority)
}

/// Bytes as base64 in JSON.
pub(crate) mod base64_bytes {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(crate) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD.decode(text).map_err(D::Error::custom)
    }
}
