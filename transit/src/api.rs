//! The endpoints, one file each: request, response, handler.

pub(crate) mod backup;
pub(crate) mod byok_export;
pub(crate) mod cmac;
pub(crate) mod config;
pub(crate) mod csr;
pub(crate) mod datakey;
pub(crate) mod decrypt;
pub(crate) mod derive_key;
pub(crate) mod encrypt;
pub(crate) mod export;
pub(crate) mod hash;
pub(crate) mod hmac;
pub(crate) mod import;
pub(crate) mod import_version;
pub(crate) mod keys;
pub(crate) mod keys_config;
pub(crate) mod random;
pub(crate) mod restore;
pub(crate) mod rewrap;
pub(crate) mod rotate;
pub(crate) mod set_certificate;
pub(crate) mod sign;
mod signature_request;
pub(crate) mod soft_delete;
pub(crate) mod trim;
pub(crate) mod verify;
pub(crate) mod wrapping_key;
