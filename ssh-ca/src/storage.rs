//! Where things lie in the mount's view. Nothing else spells a storage key.
//!
//! | key | what |
//! |---|---|
//! | `guard` | moves with every change of issuers, rotations or the default |
//! | `issuer/<id>` | [`IssuerRecord`] with the reference to its key |
//! | `retired/<id>` | the record of a deleted issuer, without a key: what it signed can still be revoked |
//! | `rotation/<id of the old issuer>` | [`Rotation`] |
//! | `config/issuers`, `config/krl`, `config/inventory`, `config/zeroaddress` | [`crate::settings`] |
//! | `role/<name>` | [`Role`](crate::role::Role) |
//! | `serial` | serial numbers below this one are given out or reserved |
//! | `krl` | version and moment of the key revocation list |
//! | `otp/<hash>` | a one-time password that was not used yet |
//! | `renewal` | the key of the nonces of renewals |
//!
//! Certificates and revocations are in the store's SSH inventory, under the view's name.

use crate::{
    authority::Authority,
    error::SshError,
    issuer::{Issuer, IssuerRecord},
    rotation::Rotation,
    settings::IssuerSettings,
};
use chancery_store::{Page, View};
use serde::de::DeserializeOwned;
use std::sync::Arc;

pub(crate) const GUARD: &str = "guard";
pub(crate) const CONFIG_ISSUERS: &str = "config/issuers";
pub(crate) const CONFIG_KRL: &str = "config/krl";
pub(crate) const CONFIG_INVENTORY: &str = "config/inventory";
pub(crate) const CONFIG_ZERO_ADDRESS: &str = "config/zeroaddress";
pub(crate) const ROLES: &str = "role/";
pub(crate) const SERIAL: &str = "serial";
pub(crate) const KRL: &str = "krl";
pub(crate) const RENEWAL: &str = "renewal";
const ISSUERS: &str = "issuer/";
const RETIRED: &str = "retired/";
const ROTATIONS: &str = "rotation/";

pub(crate) fn issuer(id: &str) -> String {
    format!("{ISSUERS}{id}")
}

/// A deleted issuer.
pub(crate) fn retired(id: &str) -> String {
    format!("{RETIRED}{id}")
}

pub(crate) fn rotation(old: &str) -> String {
    format!("{ROTATIONS}{old}")
}

pub(crate) fn role(name: &str) -> String {
    format!("{ROLES}{name}")
}

pub(crate) fn otp(hash: &str) -> String {
    format!("otp/{hash}")
}

/// Reads one entry.
pub(crate) async fn read<T: DeserializeOwned>(view: &View, key: &str) -> Result<Option<T>, SshError> {
    Ok(view.read(key).await?.map(|entry| entry.decode()).transpose()?)
}

/// Reads one entry and its version.
pub(crate) async fn read_versioned<T: DeserializeOwned>(view: &View, key: &str) -> Result<Option<(T, u64)>, SshError> {
    let Some(entry) = view.read(key).await? else { return Ok(None) };
    Ok(Some((entry.decode()?, entry.version)))
}

/// Reads issuers, rotations and the default. The guard is read first: a change meanwhile makes a commit conflict.
pub(crate) async fn read_authority(view: &View) -> Result<Authority, SshError> {
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
    for old in view.list(ROTATIONS, Page::default()).await? {
        if let Some(found) = read::<Rotation>(view, &rotation(&old)).await? {
            authority.rotations.insert(old, found);
        }
    }
    authority.default = read::<IssuerSettings>(view, CONFIG_ISSUERS).await?.unwrap_or_default().default;
    Ok(authority)
}
