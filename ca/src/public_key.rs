//! Public keys that strangers present: which kinds are accepted, how strong they must be.
//!
//! The SPKI is kept byte for byte: what a CSR was signed with is what the certificate carries. Keys whose private half
//! anybody can compute, or that no honest generator makes, are told apart in [`weak`].

mod weak;

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

/// Why a key is refused. The texts name the part that is wrong, and its value where that is short.
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
    #[error("x509: unsupported elliptic curve {0}")]
    Curve(ObjectIdentifier),
    /// The point is compressed, of another size than the curve's, or not on the curve.
    #[error("x509: failed to unmarshal elliptic curve point")]
    Point,
    /// The point generates only a handful of others: anybody can sign for it.
    #[error("x509: Ed25519 public key is a point of small order")]
    SmallOrder,
    /// The modulus is too short.
    #[error("RSA keys < 2048 bits are unsafe and not supported")]
    SmallModulus,
    /// The modulus is too long.
    #[error("RSA keys > 8192 bits are not supported: got {0}")]
    LargeModulus(u32),
    /// The modulus has a small prime factor; 2 where it is even.
    #[error("x509: RSA modulus is divisible by {0}")]
    WeakModulus(u64),
    /// The modulus was made by the Infineon library of CVE-2017-15361.
    #[error("x509: RSA modulus bears the fingerprint of ROCA (CVE-2017-15361)")]
    Roca,
    /// The factors of the modulus are so close that Fermat's method finds them.
    #[error("x509: RSA modulus is the product of two primes that are too close to each other")]
    ClosePrimes,
    /// The exponent is even, 1, or enormous.
    #[error("x509: RSA public exponent {0} is not an odd number from 3 to 2^33")]
    Exponent(String),
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
        let (kind, bits) = read(der)?;
        match kind {
            PublicKeyKind::Rsa { .. } => weak::check_modulus(rsa_numbers(bits)?.modulus.as_bytes())?,
            PublicKeyKind::Ec { bits: size } => weak::check_point(size, bits)?,
            PublicKeyKind::MlDsa { .. } => {}
            PublicKeyKind::Ed25519 => weak::check_ed25519(bits)?,
        }
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
    /// The kind of a key that was checked before, without the arithmetic.
    ///
    /// # Errors
    /// A [`PublicKeyError`] where it does not even have the form of one.
    pub(crate) fn of(der: &[u8]) -> Result<Self, PublicKeyError> {
        read(der).map(|(kind, _)| kind)
    }

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

/// Form and size; the key's own bits besides.
fn read(der: &[u8]) -> Result<(PublicKeyKind, &[u8]), PublicKeyError> {
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
    Ok((kind, bits))
}

fn ec(parameters: Option<AnyRef<'_>>, point: &[u8]) -> Result<PublicKeyKind, PublicKeyError> {
    let curve = parameters
        .and_then(|parameters| parameters.decode_as::<ObjectIdentifier>().ok())
        .ok_or(PublicKeyError::ExplicitCurve)?;
    let (bits, field) = match curve {
        oid::P256 => (256, 32),
        oid::P384 => (384, 48),
        oid::P521 => (521, 66),
        other => return Err(PublicKeyError::Curve(other)),
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

fn rsa_numbers(key: &[u8]) -> Result<RsaPublicKey<'_>, PublicKeyError> {
    RsaPublicKey::from_der(key).map_err(|_| PublicKeyError::Malformed)
}

fn rsa(key: &[u8]) -> Result<PublicKeyKind, PublicKeyError> {
    let key = rsa_numbers(key)?;
    let bits = bit_length(key.modulus.as_bytes());
    if bits < PublicKey::SMALLEST_RSA {
        return Err(PublicKeyError::SmallModulus);
    }
    if bits > PublicKey::LARGEST_RSA {
        return Err(PublicKeyError::LargeModulus(bits));
    }
    let bytes = key.exponent.as_bytes();
    let exponent = bytes.iter().fold(0_u64, |value, byte| (value << 8) | u64::from(*byte));
    // Longer ones are refused by the library that verifies, which would read as a bad signature.
    if bytes.len() > 8 || exponent % 2 == 0 || !(3..1 << 33).contains(&exponent) {
        let shown = if bytes.len() > 8 { format!("of {} bits", bit_length(bytes)) } else { exponent.to_string() };
        return Err(PublicKeyError::Exponent(shown));
    }
    Ok(PublicKeyKind::Rsa { bits })
}

fn bit_length(big_endian: &[u8]) -> u32 {
    let Some(start) = big_endian.iter().position(|byte| *byte != 0) else { return 0 };
    let significant = big_endian.get(start..).unwrap_or_default();
    let top = significant.first().map_or(0, |byte| byte.leading_zeros());
    u32::try_from(significant.len()).unwrap_or(u32::MAX / 8).saturating_mul(8) - top
}

#[cfg(test)]
mod tests;
