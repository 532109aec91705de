//! The engine's endpoints as a client sees them: in-memory store, a clock that stands still, software and HSM keys.
//!
//! Statuses and texts were taken from OpenBao 2.7 unless a test says where this engine differs on purpose.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking; clippy sees only functions marked as tests as such"
)]

mod backup;
mod batches;
mod byok_export;
mod cache_config;
mod cmac;
mod counting;
mod create;
mod csr;
mod decrypt;
mod derive_key;
mod encrypt;
mod export;
mod external;
mod harness;
mod hash_and_random;
mod hmac;
mod import;
mod import_version;
mod key_types;
mod legacy;
mod lifecycle;
mod material;
mod padding;
mod properties;
mod restore;
mod rewrap;
mod rotation;
mod set_certificate;
mod sign;
mod token;
mod usage;
mod verify;
mod versions;
mod wrapping_key;
