//! The engine's endpoints as a client sees them: in-memory store, a clock that stands still, software and HSM keys.
//!
//! Statuses and texts were taken from OpenBao 2.7 unless a test says where this engine differs on purpose.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking; clippy sees only functions marked as tests as such"
)]

mod batches;
mod cmac;
mod create;
mod decrypt;
mod encrypt;
mod export;
mod harness;
mod hash_and_random;
mod hmac;
mod key_types;
mod lifecycle;
mod padding;
mod properties;
mod rewrap;
mod sign;
mod verify;
