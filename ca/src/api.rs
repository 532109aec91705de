//! One file per endpoint family: request, answer, handler.

pub(crate) mod caching;
pub(crate) mod cel;
pub(crate) mod certificates;
pub(crate) mod config;
pub(crate) mod crl;
pub(crate) mod fields;
pub(crate) mod import;
pub(crate) mod intermediate;
pub(crate) mod issue;
pub(crate) mod issuer;
pub(crate) mod issuers;
pub(crate) mod key_choice;
pub(crate) mod keys;
pub(crate) mod ocsp;
pub(crate) mod public;
pub(crate) mod revoke;
pub(crate) mod roles;
pub(crate) mod root;
pub(crate) mod search;
pub(crate) mod sign_intermediate;
pub(crate) mod sign_list;
pub(crate) mod tidy;

use crate::{error::CaError, validity::MountTtl};
use chancery_engine::{Call, MountPoint};

/// The mount's bounds on validity.
pub(crate) fn mount_ttl(mount: &MountPoint) -> MountTtl {
    MountTtl { default: mount.default_lease_ttl, maximum: mount.max_lease_ttl }
}

/// Who asks, as logs and the inventory name them.
pub(crate) fn requester(call: &Call) -> String {
    call.permit.identity().map(|identity| identity.display_name.clone()).unwrap_or_default()
}

/// A name an operator gives to an issuer or a key.
pub(crate) fn check_name(kind: &str, name: &str) -> Result<(), CaError> {
    if name == crate::authority::DEFAULT {
        return Err(CaError::Caller(format!("reserved keyword 'default' can not be used as {kind} name")));
    }
    if !name.is_empty() && !chancery_engine::route::is_name(name) {
        return Err(CaError::Caller(format!("{kind} name contained invalid characters")));
    }
    Ok(())
}
