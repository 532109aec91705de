//! Implicit rejection of PKCS#1 v1.5 ciphertexts (draft-irtf-cfrg-rsa-guidance §7): where the padding is bad, a message
//! comes out all the same, random in content and length but always equal for one key and ciphertext.
//!
//! Whoever could tell good padding from bad could decrypt and sign with the key (Bleichenbacher 1998, ROBOT 2017). The
//! library has checked the padding when we hear of it; both outcomes then take the same steps here, so that the answer
//! and, as far as we have it in hand, its time say nothing.

use aws_lc_rs::{digest, hmac};
use der::{
    Decode, Sequence,
    asn1::{AnyRef, ObjectIdentifier, OctetStringRef, UintRef},
};
use subtle::{ConditionallySelectable, ConstantTimeEq, ConstantTimeLess};
use zeroize::Zeroizing;

use crate::HsmError;

/// Bytes before the separator at least: two of framing and eight of padding (RFC 8017 §7.2.1).
const FRAME_BYTES: usize = 10;

/// Lengths drawn, of which the last fitting one counts.
const LENGTH_DRAWS: usize = 128;

/// What the messages of one key are made from: the hash of its private exponent.
pub(super) struct Secret(Zeroizing<Vec<u8>>);

/// RFC 5208 §5, as far as it is read here.
#[derive(Sequence)]
struct PrivateKeyInfo<'a> {
    version: u8,
    algorithm: AlgorithmIdentifier<'a>,
    private_key: &'a OctetStringRef,
}

#[derive(Sequence)]
struct AlgorithmIdentifier<'a> {
    algorithm: ObjectIdentifier,
    parameters: Option<AnyRef<'a>>,
}

/// RFC 8017 §A.1.2
#[derive(Sequence)]
struct RsaPrivateKey<'a> {
    version: u8,
    modulus: UintRef<'a>,
    public_exponent: UintRef<'a>,
    private_exponent: UintRef<'a>,
    prime1: UintRef<'a>,
    prime2: UintRef<'a>,
    exponent1: UintRef<'a>,
    exponent2: UintRef<'a>,
    coefficient: UintRef<'a>,
}

impl Secret {
    /// The secret of a key given as PKCS#8.
    pub(super) fn of_private_key(pkcs8: &[u8], modulus_bytes: usize) -> Result<Self, HsmError> {
        let unreadable = |_| HsmError::invalid("not a valid RSA private key");
        let outer = PrivateKeyInfo::from_der(pkcs8).map_err(unreadable)?;
        let key = RsaPrivateKey::from_der(outer.private_key.as_bytes()).map_err(unreadable)?;
        let exponent = key.private_exponent.as_bytes();
        let mut padded = Zeroizing::new(vec![0; modulus_bytes.saturating_sub(exponent.len())]);
        padded.extend_from_slice(exponent);
        Ok(Self(Zeroizing::new(digest::digest(&digest::SHA256, &padded).as_ref().to_vec())))
    }

    /// The key that the message of one ciphertext is drawn with.
    pub(super) fn of_ciphertext(&self, ciphertext: &[u8]) -> Zeroizing<Vec<u8>> {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.0);
        Zeroizing::new(hmac::sign(&key, ciphertext).as_ref().to_vec())
    }
}

/// The message of a PKCS#1 v1.5 ciphertext: the first `opened` bytes of `buffer`, which is as long as the modulus, or
/// where `opened` is `None` the one drawn with `key`.
///
/// # Errors
///
/// [`HsmError::Internal`] if `opened` is more than any modulus holds.
pub fn choose_pkcs1_plaintext(
    opened: Option<usize>,
    buffer: &[u8],
    key: &[u8],
) -> Result<Zeroizing<Vec<u8>>, HsmError> {
    let too_long = HsmError::Internal { detail: "a decrypted message is longer than any RSA modulus" };
    let drawn = draw(key, b"message", buffer.len());
    let drawn_length = draw_length(key, buffer.len().saturating_sub(FRAME_BYTES));
    let good = u8::from(opened.is_some()).ct_eq(&1);
    let opened_length = u16::try_from(opened.unwrap_or_default()).map_err(|_| too_long)?;
    let length = usize::from(u16::conditional_select(&drawn_length, &opened_length, good));
    // The drawn message stands at the end, as a decrypted one does behind its padding.
    let drawn = drawn.get(buffer.len().saturating_sub(length)..).unwrap_or_default();
    let opened = buffer.get(..length).unwrap_or_default();
    let chosen = drawn.iter().zip(opened).map(|(drawn, opened)| u8::conditional_select(drawn, opened, good));
    Ok(Zeroizing::new(chosen.collect()))
}

/// The last of the drawn lengths that is below `limit`.
fn draw_length(key: &[u8], limit: usize) -> u16 {
    let limit = u16::try_from(limit).unwrap_or(u16::MAX);
    // All bits up to the highest one of the limit.
    let mask = u16::MAX.checked_shr(limit.leading_zeros()).unwrap_or(0);
    let mut length = 0;
    for draw in draw(key, b"length", 2 * LENGTH_DRAWS).chunks_exact(2) {
        let candidate = draw.iter().fold(0_u16, |number, byte| number << 8 | u16::from(*byte)) & mask;
        length.conditional_assign(&candidate, candidate.ct_lt(&limit));
    }
    length
}

/// HMAC-SHA256 over a counter, a label and the number of bits wanted.
fn draw(key: &[u8], label: &[u8], bytes: usize) -> Zeroizing<Vec<u8>> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    let bits = u16::try_from(bytes * 8).unwrap_or(u16::MAX).to_be_bytes();
    let mut drawn = Zeroizing::new(Vec::with_capacity(bytes + 32));
    let mut counter = 0_u16;
    while drawn.len() < bytes {
        let mut round = hmac::Context::with_key(&key);
        round.update(&counter.to_be_bytes());
        round.update(label);
        round.update(&bits);
        drawn.extend_from_slice(round.sign().as_ref());
        counter = counter.wrapping_add(1);
    }
    drawn.truncate(bytes);
    drawn
}
