//! Who is calling: policies, tokens, leases and login methods.
//!
//! | what | type | serves |
//! |---|---|---|
//! | named policy documents, compiled per set | [`Policies`] | `sys/policies/acl` |
//! | the token store: make, authenticate, renew, revoke, wrap | [`Tokens`] | the pipeline, `sys/wrapping` |
//! | leases of secrets and tokens | [`Leases`] | `sys/leases`, the sweeper |
//! | token endpoints | [`TokenEngine`] | `auth/token/` |
//! | login methods | [`AppRole`], [`Userpass`] | `auth/approle/`, `auth/userpass/` |
//! | a token's private storage | [`Cubbyhole`] | `cubbyhole/` |
//!
//! Reading order: `tokens.rs` and its children `record` (what is stored), `ttl` (how long), `create`, `authenticate`,
//! `renew`, `revoke`, `batch`, `wrapping`; then `leases.rs`; then one engine. Nothing here knows of HTTP.

mod approle;
mod cidr;
mod cubbyhole;
mod error;
mod leases;
mod parameters;
mod policies;
mod random;
mod salt;
mod token_engine;
mod tokens;
mod userpass;

pub use approle::AppRole;
pub use cubbyhole::Cubbyhole;
pub use error::AuthError;
pub use leases::{LeaseInformation, LeaseRevoker, Leases, RegisteredLease};
pub use policies::{Policies, PolicyDocument};
pub use token_engine::TokenEngine;
pub use tokens::{NewToken, Tokens, Wrapped, WrappingInformation, sanitize_policies};
pub use userpass::Userpass;
