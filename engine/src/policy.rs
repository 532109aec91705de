//! The policy language: documents in HCL or JSON, compiled into an [`Acl`] that mints [`Permit`](crate::Permit)s.
//!
//! Semantics are Vault's: the most specific rule decides, the same path in several policies
//! unites, `deny` wins.

mod acl;
mod document;
mod hcl;
mod parameters;
mod pattern;
mod template;

pub use acl::{AccessRequest, Acl, Compilation};
pub use document::{Policy, PolicyError, Rule};
pub use parameters::ParameterRules;
