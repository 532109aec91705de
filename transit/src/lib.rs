//! Encryption as a service: named keys, their versions and ciphertexts.
//!
//! | to find | look in |
//! |---|---|
//! | which endpoints there are | `routes.rs`, then `api/<endpoint>.rs` |
//! | a mount with its cache of keys, and every way a key changes | [`Transit`] in `transit.rs` |
//! | the cache of keys and of their versions | `cache.rs`, `versions.rs` |
//! | what a key is, which version may do what | `key.rs`, `key_type.rs` |
//! | rotation by itself, and how often a version may encrypt | `rotation.rs`, `usage.rs` |
//! | how a version is made, stored and expanded | `version.rs`, `ed25519.rs` |
//! | how the keys of a context are derived | `derivation.rs` |
//! | what a crash may leave in the token | `intent.rs` |
//! | encryption of one text | `cipher.rs` on `aead.rs`, `xchacha.rs`, `kem.rs` and `nonce.rs` |
//! | the same with a key in a token, and keys that others made there | `in_token.rs`, `external.rs` |
//! | signatures and MACs of one text | `signing.rs` on `ml_dsa.rs`; `mac.rs` on `hash.rs` |
//! | keys that come and go | `import.rs`, `backup.rs` on `wrapping.rs`, `private_key.rs`, `public_key.rs`, `policy.rs` |
//! | certificates of keys | `certificates.rs` |
//! | the forms on the wire | `ciphertext.rs`, `encoding.rs`, `batch.rs`, `input.rs`, `pem.rs` |
//! | what lies where in the store | `storage.rs` |
//! | what can go wrong | `error.rs` |
//!
//! A key has a protection. `software` keys are sealed in the store and used in this process; an operation on one touches
//! no disk and takes no lock across work. `hsm` keys live in the token, non-extractable, and every operation on their
//! private or secret half goes through it; what the token cannot do fails with the mechanism's name.

mod aead;
mod api;
mod backup;
mod batch;
mod cache;
mod certificates;
mod cipher;
mod ciphertext;
mod curve;
mod derivation;
mod ed25519;
mod encoding;
mod error;
mod external;
#[doc(hidden)]
pub mod fuzzing;
mod hash;
mod import;
mod in_token;
mod input;
mod intent;
mod kem;
mod key;
mod key_type;
mod large;
mod mac;
mod ml_dsa;
mod nonce;
mod pem;
mod pem_blocks;
mod policy;
mod policy_entry;
mod private_key;
mod public_key;
mod rotation;
mod routes;
mod rsa_numbers;
mod signing;
mod storage;
mod transit;
mod usage;
#[cfg(test)]
mod vectors;
mod version;
mod versions;
mod wrapping;
mod wrapping_key;
mod xchacha;

pub use transit::Transit;
