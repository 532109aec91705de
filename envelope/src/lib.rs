//! Files of any size, sealed by envelope: a data key that a transit key wrapped stands in the header, the content
//! follows in segments. `docs/file-format.md` describes every byte; nothing here speaks to a server.
//!
//! | to find | look in |
//! |---|---|
//! | the header, byte by byte, and what a hostile one may not do | `header.rs` |
//! | what is derived from the data key | `keys.rs` |
//! | sealing and opening a stream in constant memory | `stream.rs` |
//! | what can go wrong | `error.rs` |
//!
//! The body is bound to the first 78 bytes of the header (everything but the wrapped key and the names), so that the key
//! can be wrapped anew without touching the body.

mod error;
mod header;
mod keys;
mod stream;

pub use error::EnvelopeError;
pub use header::{DEFAULT_SEGMENT_SIZE, Header, MAX_SEGMENT_SIZE, MIN_SEGMENT_SIZE, Place};
pub use keys::{DATA_KEY_LENGTH, DataKey};
pub use stream::{Opening, Sealing};
