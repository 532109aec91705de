//! Signed checkpoints: every so often a key in the HSM vouches for where the chain stood.

use super::chain::ChainHead;
use serde::{Deserialize, Serialize};

/// The `checkpoint` member of a line of type `checkpoint`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// UUID of the sink, so that no signature can be moved to another chain.
    pub sink: String,
    /// The line it vouches for.
    pub seq: u64,
    /// That line's hash.
    pub hash: String,
    /// `ecdsa-sha256`
    pub algorithm: String,
    /// CKA_ID of the key, in hex.
    pub key_id: String,
    /// SubjectPublicKeyInfo, in base64.
    pub public_key: String,
    /// ECDSA-Sig-Value (RFC 3279 §2.2.3), in base64.
    pub signature: String,
}

impl Checkpoint {
    pub(crate) fn covers(&self) -> ChainHead {
        ChainHead { seq: self.seq, hash: self.hash.clone() }
    }

    /// The line, without its closing brace.
    pub(crate) fn line(&self, time: &str) -> Vec<u8> {
        let mut line = format!("{{\"time\":\"{time}\",\"type\":\"checkpoint\",\"checkpoint\":").into_bytes();
        if serde_json::to_writer(&mut line, self).is_err() {
            line.extend_from_slice(b"null");
        }
        line
    }
}

/// The bytes that are signed.
pub(crate) fn signed_message(sink: &str, head: &ChainHead) -> Vec<u8> {
    format!("chancery audit checkpoint 1\n{sink}\n{}\n{}\n", head.seq, head.hash).into_bytes()
}
