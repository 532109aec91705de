//! Keyed hashes that stand in the log for values: HMAC-SHA256 (FIPS 198-1).
//!
//! A large batch has thousands of short strings, each with a hash of its own, so the two blocks that hold the key are
//! hashed once, when the sink is opened; a string of up to 55 bytes then costs two blocks more and nothing else. General
//! HMACs keep the same states but spend as much again on contexts, buffers and copies.

use sha2::{Digest, Sha256, block_api::compress256};
use zeroize::Zeroize;

const PREFIX: &[u8] = b"hmac-sha256:";
const HEX_BYTES: usize = 64;
/// Bytes of a hash as the log shows it.
const SHOWN_BYTES: usize = PREFIX.len() + HEX_BYTES;
const BLOCK_BYTES: usize = 64;
/// The bytes of a block that the length of the message does not take (FIPS 180-4 §5.1.1).
const ROOM_BYTES: usize = BLOCK_BYTES - 8;

type Block = [u8; BLOCK_BYTES];
/// Between two blocks (FIPS 180-4 §6.2).
type State = [u32; 8];

/// What every SHA-256 starts with (FIPS 180-4 §5.3.3).
const INITIAL: State =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

/// The secret of one sink. Whoever knows a value can ask `sys/audit-hash` for its hash; nobody can go back.
pub(crate) struct Salt {
    /// Behind the key's inner block.
    inner: State,
    /// Behind its outer block.
    outer: State,
    /// The hash of the empty text, which every item of a batch without a reference holds.
    empty: [u8; SHOWN_BYTES],
}

impl Drop for Salt {
    fn drop(&mut self) {
        self.inner.zeroize();
        self.outer.zeroize();
    }
}

impl Salt {
    /// Bytes of a salt.
    pub(crate) const BYTES: usize = 32;

    /// FIPS 198-1 §4, steps 1 to 8 as far as they do not need the text.
    pub(crate) fn new(key: &[u8]) -> Self {
        let mut block: Block = [0; BLOCK_BYTES];
        if key.len() > BLOCK_BYTES {
            copy(&mut block, &Sha256::digest(key));
        } else {
            copy(&mut block, key);
        }
        let keyed = |pad: u8| {
            let mut state = INITIAL;
            compress256(&mut state, &[block.map(|byte| byte ^ pad)]);
            state
        };
        let (inner, outer) = (keyed(0x36), keyed(0x5c));
        block.zeroize();
        let mut salt = Self { inner, outer, empty: [0; SHOWN_BYTES] };
        salt.empty = salt.shown(b"");
        salt
    }

    /// `hmac-sha256:` and the hash in hex.
    pub(crate) fn hash(&self, value: &[u8]) -> String {
        String::from_utf8_lossy(&self.shown(value)).into_owned()
    }

    pub(crate) fn write(&self, value: &[u8], out: &mut Vec<u8>) {
        if value.is_empty() {
            return out.extend_from_slice(&self.empty);
        }
        out.extend_from_slice(&self.shown(value));
    }

    fn shown(&self, value: &[u8]) -> [u8; SHOWN_BYTES] {
        let mut hash = [0; HEX_BYTES / 2];
        write_state(finish(self.inner, value), &mut hash);
        write_state(finish(self.outer, &hash.clone()), &mut hash);
        let mut text = [0; SHOWN_BYTES];
        let (prefix, digits) = text.split_at_mut(PREFIX.len());
        prefix.copy_from_slice(PREFIX);
        digits.copy_from_slice(&hex(&hash));
        text
    }
}

/// Hashes the rest of a message of which one block, the key's, went before (FIPS 180-4 §5.1.1: a one bit, zeros, and
/// the length in bits at the end of the last block).
fn finish(mut state: State, message: &[u8]) -> State {
    let (blocks, rest) = message.as_chunks::<BLOCK_BYTES>();
    compress256(&mut state, blocks);
    let bits = u64::try_from(BLOCK_BYTES + message.len()).unwrap_or(u64::MAX).wrapping_mul(8).to_be_bytes();
    let mut last: [Block; 2] = [[0; BLOCK_BYTES]; 2];
    let padded = last.as_flattened_mut();
    copy(padded, rest);
    copy(padded.get_mut(rest.len()..).unwrap_or_default(), &[0x80]);
    let blocks = if rest.len() < ROOM_BYTES { 1 } else { 2 };
    copy(padded.get_mut(blocks * BLOCK_BYTES - bits.len()..).unwrap_or_default(), &bits);
    compress256(&mut state, last.get(..blocks).unwrap_or_default());
    state
}

/// Copies all of `from` to the beginning of `to`, which has room for it.
fn copy(to: &mut [u8], from: &[u8]) {
    if let Some(to) = to.get_mut(..from.len()) {
        to.copy_from_slice(from);
    }
}

fn write_state(state: State, hash: &mut [u8; HEX_BYTES / 2]) {
    for (bytes, word) in hash.as_chunks_mut::<4>().0.iter_mut().zip(state) {
        *bytes = word.to_be_bytes();
    }
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
