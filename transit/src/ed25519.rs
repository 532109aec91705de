//! Ed25519 key pairs from their seed, plain and derived (RFC 8032 §5.1.5, RFC 8410).

use crate::{derivation::DerivationKey, error::TransitError};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use chancery_hsm::{KeyAlgorithm, software::SoftwareKey};
use zeroize::Zeroizing;

pub(crate) mod variant;

/// Bytes of a seed, the private key of RFC 8032.
pub(crate) const SEED_BYTES: usize = 32;

/// Bytes of a public key.
pub(crate) const PUBLIC_KEY_BYTES: usize = 32;

/// What stands before the seed in PKCS#8 (RFC 8410 §7).
const PKCS8_PREFIX: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// What stands before the public key in SubjectPublicKeyInfo (RFC 8410 §4).
const SPKI_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// A seed and its public key.
pub(crate) struct Pair {
    seed: Zeroizing<Vec<u8>>,
    public_key: Vec<u8>,
}

impl Pair {
    pub(crate) fn from_seed(seed: &[u8]) -> Result<Self, TransitError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed)
            .map_err(|_| TransitError::Crypto("Ed25519KeyPair::from_seed_unchecked"))?;
        Ok(Self { seed: Zeroizing::new(seed.to_vec()), public_key: pair.public_key().as_ref().to_vec() })
    }

    /// The pair of `context`; what is derived is the seed.
    pub(crate) fn derive(key: &DerivationKey, context: &[u8]) -> Result<Self, TransitError> {
        Self::from_seed(&key.derive(context, SEED_BYTES)?)
    }

    /// The raw public key.
    pub(crate) fn public_key(&self) -> &[u8] {
        &self.public_key
    }

    /// The public key as SubjectPublicKeyInfo.
    pub(crate) fn public_key_der(&self) -> Vec<u8> {
        [SPKI_PREFIX.as_slice(), &self.public_key].concat()
    }

    /// Seed and public key, 64 bytes.
    pub(crate) fn seed_and_public_key(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new([self.seed.as_slice(), &self.public_key].concat())
    }

    /// The pair that a [`SoftwareKey`] holds, for what only the seed can do.
    pub(crate) fn of_software_key(key: &SoftwareKey) -> Result<Self, TransitError> {
        let pkcs8 = key.to_bytes()?;
        let seed = pkcs8.get(PKCS8_PREFIX.len()..PKCS8_PREFIX.len() + SEED_BYTES);
        Self::from_seed(seed.ok_or(TransitError::Bug("an Ed25519 key without a seed"))?)
    }

    /// Signs as one of the variants of RFC 8032.
    pub(crate) fn sign_variant(&self, input: &variant::Input<'_>) -> Result<Vec<u8>, TransitError> {
        variant::sign(&self.seed, &self.public_key, input)
    }

    /// The seed as PKCS#8.
    pub(crate) fn to_pkcs8(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new([PKCS8_PREFIX.as_slice(), &self.seed].concat())
    }

    pub(crate) fn into_software_key(self) -> Result<SoftwareKey, TransitError> {
        Ok(SoftwareKey::from_bytes(KeyAlgorithm::Ed25519, &self.to_pkcs8())?)
    }
}

/// The raw public key inside a SubjectPublicKeyInfo of ours or of a token's.
pub(crate) fn raw_public_key(der: &[u8]) -> &[u8] {
    der.get(der.len().saturating_sub(PUBLIC_KEY_BYTES)..).unwrap_or_default()
}
