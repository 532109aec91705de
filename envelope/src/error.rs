//! What is wrong with a sealed file, or with the streams it goes through.

use std::io;

/// Why a file could not be sealed or opened.
#[derive(Debug, thiserror::Error)]
pub enum EnvelopeError {
    /// The first bytes are not ours.
    #[error("it does not begin as a sealed file does")]
    NotSealed,
    /// A later version of the format.
    #[error("it is written in version {0} of the format; this program knows version 1")]
    UnknownVersion(u8),
    /// Algorithms we do not know.
    #[error("it names the algorithms by number {0}; this program knows number 1")]
    UnknownSuite(u8),
    /// Out of bounds, so that a header cannot make us take any amount of memory.
    #[error("its segments are said to be of {0} bytes; they may be of 1024 to 16777216")]
    SegmentSize(u32),
    /// A name or a wrapped key with characters that do not belong there.
    #[error("the {0} in its header is not a usable one")]
    Unusable(&'static str),
    /// The stream ended inside the header.
    #[error("it ends inside its header")]
    HeaderCut,
    /// Not 32 bytes.
    #[error("a data key has 32 bytes, this one has {0}")]
    DataKeyLength(usize),
    /// The commitment in the header is another key's.
    #[error("its data key is another one, or the first 78 bytes of its header were changed")]
    OtherKey,
    /// A tag did not verify; segments count from 0.
    #[error("segment {0} was changed, moved or cut short, or the file was cut or extended there")]
    Damaged(u64),
    /// The counter is used up.
    #[error("it is too large for its segment size: 4294967296 segments are the most")]
    TooLarge,
    /// The library failed; it gives no reason.
    #[error("the cryptographic library failed")]
    Library,
    /// Reading failed.
    #[error("reading failed: {0}")]
    Read(#[source] io::Error),
    /// Writing failed.
    #[error("writing failed: {0}")]
    Write(#[source] io::Error),
}

impl From<aws_lc_rs::error::Unspecified> for EnvelopeError {
    fn from(_: aws_lc_rs::error::Unspecified) -> Self {
        Self::Library
    }
}
