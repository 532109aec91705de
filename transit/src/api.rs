//! The endpoints, one file each: request, response, handler.

pub(crate) mod cmac;
pub(crate) mod config;
pub(crate) mod datakey;
pub(crate) mod decrypt;
pub(crate) mod encrypt;
pub(crate) mod export;
pub(crate) mod hash;
pub(crate) mod hmac;
pub(crate) mod keys;
pub(crate) mod keys_config;
pub(crate) mod random;
pub(crate) mod rewrap;
pub(crate) mod rotate;
pub(crate) mod sign;
mod signature_request;
pub(crate) mod soft_delete;
pub(crate) mod trim;
pub(crate) mod verify;
