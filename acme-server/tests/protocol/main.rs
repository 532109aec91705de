//! The protocol against a mount in memory: what clients ask and what they are told.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on shall panic"
)]

mod accounts;
mod administration;
mod bindings;
mod client;
mod crash;
mod harness;
mod issuance;
mod jws;
mod model;
mod orders;
mod renewal;
mod star;
