//! Project Wycheproof's vectors through transit's endpoints: keys go in by import, answers come from decrypt and verify.
//!
//! A file per family. Each names the sets it runs, the vectors the API cannot express and why, and the numbers of both,
//! so that a set that silently shrinks fails. What Wycheproof calls "acceptable" is decided beside the family's code.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking; clippy sees only functions marked as tests as such"
)]

#[expect(dead_code, reason = "the engine's own tests use all of it")]
#[path = "../../../transit/tests/api/harness.rs"]
mod harness;
#[expect(dead_code, reason = "the engine's own tests use all of it")]
#[path = "../../../transit/tests/api/token.rs"]
mod token;

mod aead;
mod bench;
mod ecdsa;
mod eddsa;
mod keywrap;
mod mac;
mod ml_dsa;
mod rsa_encryption;
mod rsa_signatures;
