//! The endpoints, spoken to in JSON, on the software provider and the memory store.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test that cannot go on fails")]

mod certificates;
mod harness;
mod issuers;
mod otp;
mod renewal;
mod revoke;
mod roles;
mod rotation;
mod sign;
mod templates;
