//! ML-DSA (FIPS 204), pure and with an empty context. A key is written as its seed (RFC 9881 §6).

use aws_lc_rs::{
    encoding::{AsDer, PublicKeyX509Der},
    signature::{
        KeyPair as _, ML_DSA_44, ML_DSA_44_SIGNING, ML_DSA_65, ML_DSA_65_SIGNING, ML_DSA_87, ML_DSA_87_SIGNING,
        PqdsaKeyPair, PqdsaSigningAlgorithm, PqdsaVerificationAlgorithm, UnparsedPublicKey,
    },
};
use zeroize::Zeroizing;

use super::fill_random;
use crate::{HsmError, KeyAlgorithm};

const SEED_BYTES: usize = 32;

/// Where the byte stands in [`PREFIX`] that tells the parameter set.
const SET_AT: usize = 17;

/// What stands before the seed in PKCS#8.
const PREFIX: [u8; 22] = [
    0x30, 0x34, 0x02, 0x01, 0x00, 0x30, 0x0b, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x03, 0x00, 0x04,
    0x22, 0x80, 0x20,
];

/// A key pair and the PKCS#8 it came from.
pub(super) struct Pair {
    pair: PqdsaKeyPair,
    pkcs8: Zeroizing<Vec<u8>>,
}

impl Pair {
    pub(super) fn generate(algorithm: KeyAlgorithm) -> Result<Self, HsmError> {
        let mut seed = Zeroizing::new([0; SEED_BYTES]);
        fill_random(seed.as_mut_slice())?;
        let mut pkcs8 = Zeroizing::new([PREFIX.as_slice(), seed.as_slice()].concat());
        if let Some(set) = pkcs8.get_mut(SET_AT) {
            *set = match algorithm {
                KeyAlgorithm::MlDsa44 => 0x11,
                KeyAlgorithm::MlDsa65 => 0x12,
                _ => 0x13,
            };
        }
        Self::from_pkcs8(algorithm, &pkcs8).ok_or(HsmError::Internal { detail: "key generation failed" })
    }

    pub(super) fn from_pkcs8(algorithm: KeyAlgorithm, pkcs8: &[u8]) -> Option<Self> {
        let pair = PqdsaKeyPair::from_pkcs8(signing(algorithm), pkcs8).ok()?;
        Some(Self { pair, pkcs8: Zeroizing::new(pkcs8.to_vec()) })
    }

    pub(super) fn to_pkcs8(&self) -> Zeroizing<Vec<u8>> {
        self.pkcs8.clone()
    }

    pub(super) fn public_key_der(&self) -> Result<Vec<u8>, HsmError> {
        let der: Result<PublicKeyX509Der<'_>, _> = self.pair.public_key().as_der();
        der.map(|der| der.as_ref().to_vec())
            .map_err(|_| HsmError::Internal { detail: "a public key could not be encoded" })
    }

    /// Hedged with fresh randomness (FIPS 204 §3.4).
    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, HsmError> {
        let mut signature = vec![0; self.pair.algorithm().signature_len()];
        let length = self
            .pair
            .sign(message, &mut signature)
            .map_err(|_| HsmError::Internal { detail: "software signing failed" })?;
        signature.truncate(length);
        Ok(signature)
    }
}

/// Whether `signature` is one over `message` under the public key (SubjectPublicKeyInfo).
pub(super) fn verify(algorithm: KeyAlgorithm, spki: &[u8], message: &[u8], signature: &[u8]) -> Result<bool, HsmError> {
    Ok(UnparsedPublicKey::new(verification(algorithm), spki).verify(message, signature).is_ok())
}

fn signing(algorithm: KeyAlgorithm) -> &'static PqdsaSigningAlgorithm {
    match algorithm {
        KeyAlgorithm::MlDsa44 => &ML_DSA_44_SIGNING,
        KeyAlgorithm::MlDsa65 => &ML_DSA_65_SIGNING,
        _ => &ML_DSA_87_SIGNING,
    }
}

fn verification(algorithm: KeyAlgorithm) -> &'static PqdsaVerificationAlgorithm {
    match algorithm {
        KeyAlgorithm::MlDsa44 => &ML_DSA_44,
        KeyAlgorithm::MlDsa65 => &ML_DSA_65,
        _ => &ML_DSA_87,
    }
}
