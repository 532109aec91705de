//! Keyed hashes that stand in the log for values: HMAC-SHA256 (FIPS 198-1).
//!
//! A large batch has thousands of short strings, each with a hash of its own, so the two blocks that hold the key are
//! hashed once, when the sink is opened; a string of up to 55 bytes then costs two blocks more. AWS-LC's HMAC keeps the
//! same states but spends several times that on setting up its contexts.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

const PREFIX: &[u8] = b"hmac-sha256:";
const HEX_BYTES: usize = 64;
/// Bytes of a hash as the log shows it.
const SHOWN_BYTES: usize = PREFIX.len() + HEX_BYTES;

/// The secret of one sink. Whoever knows a value can ask `sys/audit-hash` for its hash; nobody can go back.
pub(crate) struct Salt {
    keyed: Hmac<Sha256>,
    /// The hash of the empty text, which every item of a batch without a reference holds.
    empty: [u8; SHOWN_BYTES],
}

impl Salt {
    /// Bytes of a salt.
    pub(crate) const BYTES: usize = 32;

    pub(crate) fn new(key: &[u8]) -> Self {
        #[expect(clippy::expect_used, reason = "the trait allows for codes that do not take every key; HMAC does")]
        let keyed = Hmac::new_from_slice(key).expect("HMAC takes keys of any length");
        let empty = shown(keyed.clone());
        Self { keyed, empty }
    }

    /// `hmac-sha256:` and the hash in hex.
    pub(crate) fn hash(&self, value: &[u8]) -> String {
        let mut out = Vec::with_capacity(SHOWN_BYTES);
        self.write(value, &mut out);
        String::from_utf8(out).unwrap_or_default()
    }

    pub(crate) fn write(&self, value: &[u8], out: &mut Vec<u8>) {
        if value.is_empty() {
            return out.extend_from_slice(&self.empty);
        }
        let mut keyed = self.keyed.clone();
        keyed.update(value);
        out.extend_from_slice(&shown(keyed));
    }
}

fn shown(keyed: Hmac<Sha256>) -> [u8; SHOWN_BYTES] {
    let mut text = [0; SHOWN_BYTES];
    let (prefix, digits) = text.split_at_mut(PREFIX.len());
    prefix.copy_from_slice(PREFIX);
    digits.copy_from_slice(&hex(&keyed.finalize().into_bytes().into()));
    text
}

/// A hash in lower-case hex. Every line has several, a batch thousands; the general encoder works bit by bit.
pub(super) fn hex(hash: &[u8; HEX_BYTES / 2]) -> [u8; HEX_BYTES] {
    let digit = |value: u8| value.wrapping_add(if value > 9 { b'a' - 10 } else { b'0' });
    let mut text = [0; HEX_BYTES];
    for (pair, byte) in text.chunks_exact_mut(2).zip(hash) {
        pair.copy_from_slice(&[digit(byte >> 4), digit(byte & 0xf)]);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::hmac as reference;
    use data_encoding::HEXLOWER;

    #[test]
    fn hashes_are_those_of_aws_lc_for_every_length_of_key_and_value() {
        let bytes: Vec<u8> = (0..=255).cycle().take(400).collect();
        for key in [0, 1, 31, 32, 33, 63, 64, 65, 130] {
            let key = &bytes[..key];
            let (salt, known) = (Salt::new(key), reference::Key::new(reference::HMAC_SHA256, key));
            for length in (0..200).chain([255, 256, 257, 400]) {
                let value = &bytes[..length];
                let expected = format!("hmac-sha256:{}", HEXLOWER.encode(reference::sign(&known, value).as_ref()));
                assert_eq!(salt.hash(value), expected, "key of {}, value of {length}", key.len());
            }
        }
    }

    #[test]
    fn a_known_answer() {
        // RFC 4231 §4.3
        let salt = Salt::new(b"Jefe");
        assert_eq!(
            salt.hash(b"what do ya want for nothing?"),
            "hmac-sha256:5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }
}
