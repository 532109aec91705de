//! The commands that run or examine an appliance in this process instead of asking one over HTTP.

pub(crate) mod audit_verify;
