//! One file per endpoint: request, response, handler.

pub(crate) mod certificates;
pub(crate) mod config_ca;
pub(crate) mod issuers;
pub(crate) mod krl;
pub(crate) mod lookup;
pub(crate) mod otp;
pub(crate) mod public;
pub(crate) mod renew;
pub(crate) mod revoke;
pub(crate) mod roles;
pub(crate) mod rotation;
pub(crate) mod sign;
pub(crate) mod zero_address;
