//! Who is calling: policies, tokens, leases and login methods.
//!
//! | what | type | serves |
//! |---|---|---|
//! | named policy documents, compiled per set | [`Policies`] | `sys/policies/acl` |
//! | the token store: make, authenticate, renew, revoke, wrap | [`Tokens`] | the pipeline, `sys/wrapping` |
//! | leases of secrets and tokens | [`Leases`] | `sys/leases`, the sweeper |
//!
//! Reading order: `tokens.rs` and its children `record` (what is stored), `ttl` (how long), `create`, `authenticate`,
//! `renew`, `revoke`, `batch`, `wrapping`; then `leases.rs`; then one engine. Nothing here knows of HTTP.

mod cidr;
mod error;
mod leases;
mod parameters;
mod policies;
mod random;
mod tokens;

pub use error::AuthError;
pub use leases::{LeaseInformation, LeaseRevoker, Leases, RegisteredLease};
pub use policies::{Policies, PolicyDocument};
pub use tokens::{NewToken, Tokens, Wrapped, WrappingInformation, sanitize_policies};
