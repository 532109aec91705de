//! Which derivation and which convergent encryption a key uses. Keys made here always use the newest of both; the older
//! ones come with keys restored from a backup of Vault (`kdf` and `convergent_version` of its policy).

use crate::error::TransitError;
use aws_lc_rs::{hkdf, hmac};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// How the keys of a context come from a version's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kdf {
    /// HKDF-SHA256 (RFC 5869), Vault's `kdf` 1 (`Kdf_hkdf_sha256`).
    #[default]
    HkdfSha256,
    /// HMAC-SHA256 in counter mode (SP 800-108), Vault's `kdf` 0: keys made before Vault 0.2.
    HmacSha256Counter,
}

/// Where a convergent encryption takes its nonce from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ConvergentVersion {
    /// The caller gives the nonce at encryption and at decryption; the ciphertext does not hold it. Read only.
    V1,
    /// HMAC-SHA256 of the plaintext, keyed with the context, which is no secret. Read only.
    V2,
    /// HMAC-SHA256 of the plaintext, keyed with what is derived beside the cipher's key.
    #[default]
    V3,
}

impl Kdf {
    /// The name on the wire.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::HkdfSha256 => "hkdf_sha256",
            Self::HmacSha256Counter => "hmac-sha256-counter",
        }
    }
}

impl ConvergentVersion {
    /// The number on the wire.
    pub(crate) fn number(self) -> i8 {
        match self {
            Self::V1 => 1,
            Self::V2 => 2,
            Self::V3 => 3,
        }
    }

    /// The version that a policy of Vault names; `None` for -1, "each key version tells". 0 is from before there was a
    /// second one.
    pub(crate) fn of_policy(number: i64) -> Option<Self> {
        if number == 0 { Some(Self::V1) } else { Self::numbered(number) }
    }

    /// The version of that number in a key version; `None` for 0, "the policy tells".
    pub(crate) fn numbered(number: i64) -> Option<Self> {
        match number {
            1 => Some(Self::V1),
            2 => Some(Self::V2),
            3 => Some(Self::V3),
            _ => None,
        }
    }
}

/// What the keys of a derived key's contexts are made from.
pub(crate) struct DerivationKey {
    pub(crate) kdf: Kdf,
    /// `None`: encryption takes random nonces.
    pub(crate) convergent: Option<ConvergentVersion>,
    /// The version's key; for Ed25519 seed and public key, which is how Go keeps a private key.
    secret: Zeroizing<Vec<u8>>,
}

impl DerivationKey {
    pub(crate) fn new(kdf: Kdf, convergent: Option<ConvergentVersion>, secret: Zeroizing<Vec<u8>>) -> Self {
        Self { kdf, convergent, secret }
    }

    /// Derives `length` bytes for a context.
    pub(crate) fn derive(&self, context: &[u8], length: usize) -> Result<Zeroizing<Vec<u8>>, TransitError> {
        match self.kdf {
            Kdf::HkdfSha256 => hkdf_sha256(&self.secret, context, length),
            Kdf::HmacSha256Counter => hmac_sha256_counter(&self.secret, context, length),
        }
    }
}

/// HKDF-SHA256 without salt.
pub(crate) fn hkdf_sha256(key: &[u8], info: &[u8], length: usize) -> Result<Zeroizing<Vec<u8>>, TransitError> {
    struct Length(usize);
    impl hkdf::KeyType for Length {
        fn len(&self) -> usize {
            self.0
        }
    }
    let mut output = Zeroizing::new(vec![0; length]);
    hkdf::Salt::new(hkdf::HKDF_SHA256, &[])
        .extract(key)
        .expand(&[info], Length(length))
        .and_then(|material| material.fill(&mut output))
        .map_err(|_| TransitError::Crypto("hkdf::Prk::expand"))?;
    Ok(output)
}

/// SP 800-108 §4.1 with HMAC-SHA256 as Vault ran it: counted from 0, no label, 256 bits asked for. Convergent encryption
/// of version 3 needs more and asks for 512; Vault has nothing to agree with there, it cannot write such a version.
fn hmac_sha256_counter(key: &[u8], context: &[u8], length: usize) -> Result<Zeroizing<Vec<u8>>, TransitError> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    let bits: u32 = if length <= 32 { 256 } else { 512 };
    let mut output = Zeroizing::new(Vec::with_capacity(64));
    for counter in 0..bits / 256 {
        let mut round = hmac::Context::with_key(&key);
        round.update(&counter.to_be_bytes());
        round.update(context);
        round.update(&bits.to_be_bytes());
        output.extend_from_slice(round.sign().as_ref());
    }
    if output.len() < length {
        return Err(TransitError::caller("could not derive key, length too small"));
    }
    output.truncate(length);
    Ok(output)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counter_kdf_is_one_hmac_of_counter_context_and_length() {
        // printf '\0\0\0\0context\0\0\1\0' | openssl dgst -sha256 -mac HMAC -macopt hexkey:0707…07
        let key = DerivationKey::new(Kdf::HmacSha256Counter, None, Zeroizing::new(vec![7; 32]));
        let made = key.derive(b"context", 32).unwrap();
        assert_eq!(data(&made), "9d1857a236b0df17c3e49a0ec12b9d98084ec894110b3cbb8bb01ab9518d60dc");
        assert_eq!(key.derive(b"context", 16).unwrap()[..], made[..16]);
        let longer = key.derive(b"context", 64).unwrap();
        assert!(longer.len() == 64 && longer[..32] != made[..] && longer[..32] != longer[32..]);
        assert!(key.derive(b"context", 65).is_err());
    }

    fn data(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}
