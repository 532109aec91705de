//! The engine's endpoints as a client sees them: in-memory store, a clock that stands still, keys in the software token.
//!
//! Statuses and texts were taken from OpenBao 2.7, but that a caller's mistake is never a 5xx here. Certificates
//! and CRLs are judged by the `openssl` program, requests are made by it and by `rcgen`.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking; clippy sees only functions marked as tests as such"
)]

mod authorities;
mod cel;
mod certificates;
mod config;
mod differential;
mod forge;
mod harness;
mod hostile;
mod import;
mod intermediate;
mod inventory;
mod issue;
mod issuer;
mod keys;
mod lies;
mod nodes;
mod ocsp;
mod openssl;
mod public;
mod publication;
mod revoke;
mod roles;
mod root;
mod sign;
mod sign_list;
mod tidy;
