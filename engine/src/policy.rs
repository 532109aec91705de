//! The policy language: documents in HCL or JSON, compiled into an [`Acl`] that mints [`Permit`]s.
//!
//! Semantics are Vault's (`vault-api.md` §4.3): the most specific rule decides, the same path in several policies
//! unites, `deny` wins.

mod acl;
mod document;
mod pattern;

pub use acl::{AccessRequest, Acl};
pub use document::{ParameterRules, Policy, PolicyError, Rule};
