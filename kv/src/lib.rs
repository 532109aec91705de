//! Key-value engine: secrets as they were written, with or without versions.
//!
//! | mount option | service | what it keeps |
//! |---|---|---|
//! | `version=1` | [`Plain`] | the last value written |
//! | `version=2` | [`Versioned`] | many versions, soft deletion, check-and-set, metadata |
//!
//! It needs nothing but a storage view: it is the smallest engine to read before writing one.

mod error;
mod plain;
mod versioned;

pub use error::KvError;
pub use plain::Plain;
pub use versioned::Versioned;
