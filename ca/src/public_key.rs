//! Public keys that strangers present: which kinds are accepted, how strong they must be.
//!
//! The SPKI is kept byte for byte: what a CSR was signed with is what the certificate carries.

use crate::oid;
use aws_lc_rs::digest;
use const_oid::ObjectIdentifier;
use der::{
    Decode, Sequence,
    asn1::{AnyRef, UintRef},
};
use spki::SubjectPublicKeyInfoRef;

/// A public key whose parameters passed the checks below.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    der: Vec<u8>,
    kind: PublicKeyKind,
}

/// What sort of key it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PublicKeyKind {
    /// A NIST curve, by its size.
    Ec {
        /// 256, 384 or 521.
        bits: u32,
    },
    /// RSA, by the size of the modulus.
    Rsa {
        /// At least [`PublicKey::SMALLEST_RSA`].
        bits: u32,
    },
    /// Ed25519.
    Ed25519,
    /// ML-DSA, by its parameter set.
    MlDsa {
        /// 44, 65 or 87.
        set: u32,
    },
}

/// Why a key is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublicKeyError {
    /// It does not parse.
    #[error("x509: malformed public key")]
    Malformed,
    /// An algorithm that is not offered.
    #[error("x509: unsupported public key algorithm {0}")]
    Algorithm(ObjectIdentifier),
    /// Curve parameters written out, or none (CVE-2020-0601).
    #[error("x509: invalid ECDSA parameters")]
    ExplicitCurve,
    /// A named curve that is not offered.
    #[error("x509: unsupported elliptic curve")]
    Curve,
    /// The point is not an uncompressed point of the curve's size.
    #[error("x509: failed to unmarshal elliptic curve point")]
    Point,
    /// The modulus is too short.
    #[error("RSA keys < 2048 bits are unsafe and not supported")]
    SmallModulus,
    /// The modulus is too long.
    #[error("RSA keys > 8192 bits are not supported: got {0}")]
    LargeModulus(u32),
    /// The modulus is even or has a small prime factor.
    #[error("x509: RSA modulus is divisible by a small prime")]
    WeakModulus,
    /// The exponent is even, 1, or enormous.
    #[error("x509: RSA public exponent is not an odd number from 3 to 2^64")]
    Exponent,
}

#[derive(Sequence)]
struct RsaPublicKey<'a> {
    modulus: UintRef<'a>,
    exponent: UintRef<'a>,
}

impl PublicKey {
    /// Shortest RSA modulus, in bits.
    pub const SMALLEST_RSA: u32 = 2048;
    const LARGEST_RSA: u32 = 8192;

    /// Checks the DER of a SubjectPublicKeyInfo.
    ///
    /// # Errors
    /// A [`PublicKeyError`] that says what is wrong with it.
    pub fn parse(der: &[u8]) -> Result<Self, PublicKeyError> {
        let spki = SubjectPublicKeyInfoRef::from_der(der).map_err(|_| PublicKeyError::Malformed)?;
        let bits = spki.subject_public_key.as_bytes().ok_or(PublicKeyError::Malformed)?;
        let kind = match spki.algorithm.oid {
            oid::EC => ec(spki.algorithm.parameters, bits)?,
            oid::RSA => {
                if spki.algorithm.parameters.is_some_and(|parameters| !parameters.is_null()) {
                    return Err(PublicKeyError::Malformed);
                }
                rsa(bits)?
            }
            oid::ED25519 if spki.algorithm.parameters.is_none() && bits.len() == 32 => PublicKeyKind::Ed25519,
            oid::ED25519 => return Err(PublicKeyError::Malformed),
            oid::ML_DSA_44 => ml_dsa(44, spki.algorithm.parameters, bits)?,
            oid::ML_DSA_65 => ml_dsa(65, spki.algorithm.parameters, bits)?,
            oid::ML_DSA_87 => ml_dsa(87, spki.algorithm.parameters, bits)?,
            other => return Err(PublicKeyError::Algorithm(other)),
        };
        Ok(Self { der: der.to_vec(), kind })
    }

    /// The SubjectPublicKeyInfo.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// What sort of key it is.
    #[must_use]
    pub fn kind(&self) -> PublicKeyKind {
        self.kind
    }

    /// The key identifier of RFC 5280 §4.2.1.2 (1): SHA-1 of the key's bits.
    #[must_use]
    pub fn identifier(&self) -> Vec<u8> {
        let bits =
            SubjectPublicKeyInfoRef::from_der(&self.der).ok().and_then(|spki| spki.subject_public_key.as_bytes());
        digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, bits.unwrap_or(&self.der)).as_ref().to_vec()
    }
}

impl PublicKeyKind {
    /// `ec`, `rsa`, `ed25519` or `mldsa`, as roles have it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ec { .. } => "ec",
            Self::Rsa { .. } => "rsa",
            Self::Ed25519 => "ed25519",
            Self::MlDsa { .. } => "mldsa",
        }
    }

    /// Size of the curve or the modulus, parameter set of ML-DSA; 0 for Ed25519, which has only one.
    #[must_use]
    pub fn bits(self) -> u32 {
        match self {
            Self::Ec { bits } | Self::Rsa { bits } => bits,
            Self::MlDsa { set } => set,
            Self::Ed25519 => 0,
        }
    }

    /// Name for the inventory: `ec-p256`, `rsa-2048`, `ed25519`, `ml-dsa-65`.
    #[must_use]
    pub fn label(self) -> String {
        match self {
            Self::Ec { bits } => format!("ec-p{bits}"),
            Self::Rsa { bits } => format!("rsa-{bits}"),
            Self::Ed25519 => "ed25519".to_owned(),
            Self::MlDsa { set } => format!("ml-dsa-{set}"),
        }
    }
}

fn ec(parameters: Option<AnyRef<'_>>, point: &[u8]) -> Result<PublicKeyKind, PublicKeyError> {
    let curve = parameters
        .and_then(|parameters| parameters.decode_as::<ObjectIdentifier>().ok())
        .ok_or(PublicKeyError::ExplicitCurve)?;
    let (bits, field) = match curve {
        oid::P256 => (256, 32),
        oid::P384 => (384, 48),
        oid::P521 => (521, 66),
        _ => return Err(PublicKeyError::Curve),
    };
    if point.first() != Some(&4) || point.len() != 1 + 2 * field {
        return Err(PublicKeyError::Point);
    }
    Ok(PublicKeyKind::Ec { bits })
}

/// RFC 9881 §4: no parameters, and the size FIPS 204 §4 gives each set.
fn ml_dsa(set: u32, parameters: Option<AnyRef<'_>>, key: &[u8]) -> Result<PublicKeyKind, PublicKeyError> {
    let length = match set {
        44 => 1312,
        65 => 1952,
        _ => 2592,
    };
    let is_sound = parameters.is_none() && key.len() == length;
    is_sound.then_some(PublicKeyKind::MlDsa { set }).ok_or(PublicKeyError::Malformed)
}

fn rsa(key: &[u8]) -> Result<PublicKeyKind, PublicKeyError> {
    let key = RsaPublicKey::from_der(key).map_err(|_| PublicKeyError::Malformed)?;
    let modulus = key.modulus.as_bytes();
    let bits = bit_length(modulus);
    if bits < PublicKey::SMALLEST_RSA {
        return Err(PublicKeyError::SmallModulus);
    }
    if bits > PublicKey::LARGEST_RSA {
        return Err(PublicKeyError::LargeModulus(bits));
    }
    if SMALL_PRIMES.iter().any(|prime| remainder(modulus, *prime) == 0) {
        return Err(PublicKeyError::WeakModulus);
    }
    let exponent = key.exponent.as_bytes();
    let is_odd = exponent.last().is_some_and(|byte| byte & 1 == 1);
    if !is_odd || exponent == [1] || exponent.len() > 8 {
        return Err(PublicKeyError::Exponent);
    }
    Ok(PublicKeyKind::Rsa { bits })
}

fn bit_length(big_endian: &[u8]) -> u32 {
    let Some(start) = big_endian.iter().position(|byte| *byte != 0) else { return 0 };
    let significant = big_endian.get(start..).unwrap_or_default();
    let top = significant.first().map_or(0, |byte| byte.leading_zeros());
    u32::try_from(significant.len()).unwrap_or(u32::MAX / 8).saturating_mul(8) - top
}

fn remainder(big_endian: &[u8], divisor: u64) -> u64 {
    big_endian.iter().fold(0, |rest, byte| ((rest << 8) | u64::from(*byte)) % divisor)
}

const SMALL_PRIMES: [u64; 46] = [
    2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101, 103, 107, 109,
    113, 127, 131, 137, 139, 149, 151, 157, 163, 167, 173, 179, 181, 191, 193, 197, 199,
];

#[cfg(test)]
mod tests {
    use super::*;
    use der::Encode;

    /// The SPKI of an RSA key, for tests of keys no honest generator makes.
    fn rsa_spki(modulus: &[u8], exponent: &[u8]) -> der::Result<Vec<u8>> {
        let key = RsaPublicKey { modulus: UintRef::new(modulus)?, exponent: UintRef::new(exponent)? }.to_der()?;
        spki::SubjectPublicKeyInfo {
            algorithm: spki::AlgorithmIdentifier { oid: oid::RSA, parameters: Some(AnyRef::NULL) },
            subject_public_key: der::asn1::BitStringRef::from_bytes(&key)?,
        }
        .to_der()
    }

    fn modulus(last: u8) -> Vec<u8> {
        let mut modulus = vec![0xa5; 256];
        if let Some(byte) = modulus.last_mut() {
            *byte = last;
        }
        modulus
    }

    /// The last byte for which no small prime divides the modulus.
    fn sound() -> Vec<u8> {
        (1..=255_u8)
            .map(modulus)
            .find(|candidate| SMALL_PRIMES.iter().all(|prime| remainder(candidate, *prime) != 0))
            .unwrap()
    }

    #[test]
    fn weak_rsa_keys_are_refused() {
        let refuse =
            |modulus: &[u8], exponent: &[u8]| PublicKey::parse(&rsa_spki(modulus, exponent).unwrap()).unwrap_err();
        assert!(PublicKey::parse(&rsa_spki(&sound(), &[1, 0, 1]).unwrap()).is_ok());
        assert_eq!(refuse(&modulus(0xa4), &[1, 0, 1]), PublicKeyError::WeakModulus);
        assert_eq!(refuse(&sound()[128..], &[1, 0, 1]), PublicKeyError::SmallModulus);
        assert_eq!(refuse(&[0xff; 1100], &[1, 0, 1]), PublicKeyError::LargeModulus(8800));
        assert_eq!(refuse(&sound(), &[1]), PublicKeyError::Exponent);
        assert_eq!(refuse(&sound(), &[4]), PublicKeyError::Exponent);
        assert_eq!(refuse(&sound(), &[0x7f; 9]), PublicKeyError::Exponent);
    }

    #[test]
    fn junk_is_refused() {
        assert_eq!(PublicKey::parse(&[]).unwrap_err(), PublicKeyError::Malformed);
        assert_eq!(PublicKey::parse(&[0x30, 0x00]).unwrap_err(), PublicKeyError::Malformed);
    }
}
