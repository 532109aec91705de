//! The endpoints, a file each: how a request is read, what it does, and how the answer looks.

pub(crate) mod account;
pub(crate) mod administration;
pub(crate) mod authorization;
pub(crate) mod bindings;
pub(crate) mod certificate;
pub(crate) mod challenge;
pub(crate) mod config;
pub(crate) mod directory;
pub(crate) mod finalize;
pub(crate) mod key_change;
pub(crate) mod new_account;
pub(crate) mod new_order;
pub(crate) mod order;
pub(crate) mod renewal;
pub(crate) mod revoke;
