//! Keys of type `mldsa-*` (FIPS 204): pure ML-DSA with an empty context, as OpenBao signs.
//!
//! A key is kept as its seed. `prehashed` and the hash functions say nothing here: the input is the message.

use crate::{error::TransitError, key_type::KeyType};
use aws_lc_rs::{
    encoding::{AsDer, PublicKeyX509Der},
    signature::{
        KeyPair as _, ML_DSA_44, ML_DSA_44_SIGNING, ML_DSA_65, ML_DSA_65_SIGNING, ML_DSA_87, ML_DSA_87_SIGNING,
        PqdsaKeyPair, PqdsaSigningAlgorithm, PqdsaVerificationAlgorithm, UnparsedPublicKey,
    },
};
use zeroize::Zeroizing;

/// Bytes of a seed (FIPS 204 §3.6.1).
pub(crate) const SEED_BYTES: usize = 32;

/// Where the byte stands in [`PKCS8_PREFIX`] that tells the parameter set.
const PKCS8_SET_AT: usize = 17;

/// What stands before the seed in PKCS#8 (RFC 9881 §6).
const PKCS8_PREFIX: [u8; 22] = [
    0x30, 0x34, 0x02, 0x01, 0x00, 0x30, 0x0b, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x03, 0x00, 0x04,
    0x22, 0x80, 0x20,
];

/// A key pair of ML-DSA.
pub(crate) struct Pair(PqdsaKeyPair);

impl Pair {
    pub(crate) fn from_seed(key_type: KeyType, seed: &[u8]) -> Result<Self, TransitError> {
        let pair = PqdsaKeyPair::from_seed(signing(key_type)?, seed);
        pair.map(Self).map_err(|_| TransitError::Crypto("PqdsaKeyPair::from_seed"))
    }

    /// The public key as SubjectPublicKeyInfo.
    pub(crate) fn public_key_der(&self) -> Result<Vec<u8>, TransitError> {
        let der: PublicKeyX509Der<'_> =
            self.0.public_key().as_der().map_err(|_| TransitError::Crypto("PqdsaKeyPair::public_key"))?;
        Ok(der.as_ref().to_vec())
    }

    /// Signs `message`; the signature is hedged with fresh randomness (FIPS 204 §3.4).
    pub(crate) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, TransitError> {
        let mut signature = vec![0; self.0.algorithm().signature_len()];
        let length = self.0.sign(message, &mut signature).map_err(|_| TransitError::Crypto("PqdsaKeyPair::sign"))?;
        signature.truncate(length);
        Ok(signature)
    }
}

/// Whether `signature` is one over `message` under the public key (SubjectPublicKeyInfo).
pub(crate) fn verify(
    key_type: KeyType,
    public_key_der: &[u8],
    message: &[u8],
    signature: &[u8],
) -> Result<bool, TransitError> {
    Ok(UnparsedPublicKey::new(verification(key_type)?, public_key_der).verify(message, signature).is_ok())
}

/// A seed as PKCS#8.
pub(crate) fn to_pkcs8(key_type: KeyType, seed: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut der = Zeroizing::new([PKCS8_PREFIX.as_slice(), seed].concat());
    if let Some(set) = der.get_mut(PKCS8_SET_AT) {
        *set = match key_type {
            KeyType::MlDsa44 => 0x11,
            KeyType::MlDsa65 => 0x12,
            _ => 0x13,
        };
    }
    der
}

/// The raw public key inside a SubjectPublicKeyInfo.
pub(crate) fn raw_public_key(key_type: KeyType, der: &[u8]) -> Result<&[u8], TransitError> {
    let start = der.len().checked_sub(signing(key_type)?.public_key_len());
    start.and_then(|start| der.get(start..)).ok_or(TransitError::Bug("a public key is too short"))
}

fn signing(key_type: KeyType) -> Result<&'static PqdsaSigningAlgorithm, TransitError> {
    match key_type {
        KeyType::MlDsa44 => Ok(&ML_DSA_44_SIGNING),
        KeyType::MlDsa65 => Ok(&ML_DSA_65_SIGNING),
        KeyType::MlDsa87 => Ok(&ML_DSA_87_SIGNING),
        _ => Err(TransitError::Bug("not a key of ML-DSA")),
    }
}

fn verification(key_type: KeyType) -> Result<&'static PqdsaVerificationAlgorithm, TransitError> {
    match key_type {
        KeyType::MlDsa44 => Ok(&ML_DSA_44),
        KeyType::MlDsa65 => Ok(&ML_DSA_65),
        KeyType::MlDsa87 => Ok(&ML_DSA_87),
        _ => Err(TransitError::Bug("not a key of ML-DSA")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pkcs8_is_read_by_the_library_as_the_same_key() {
        for (key_type, algorithm) in [
            (KeyType::MlDsa44, &ML_DSA_44_SIGNING),
            (KeyType::MlDsa65, &ML_DSA_65_SIGNING),
            (KeyType::MlDsa87, &ML_DSA_87_SIGNING),
        ] {
            let seed = [7; SEED_BYTES];
            let pair = Pair::from_seed(key_type, &seed).unwrap();
            let read = PqdsaKeyPair::from_pkcs8(algorithm, &to_pkcs8(key_type, &seed)).unwrap();
            assert_eq!(read.public_key().as_ref(), pair.0.public_key().as_ref());
            let der = pair.public_key_der().unwrap();
            assert_eq!(raw_public_key(key_type, &der).unwrap(), pair.0.public_key().as_ref());
        }
        assert!(Pair::from_seed(KeyType::MlDsa44, &[7; 31]).is_err());
    }
}
