//! Public keys from outside: SubjectPublicKeyInfo (RFC 5280 §4.1) checked and written in one form.
//!
//! The texts are the reference's. RSA keys that it takes here and trips over later (an even modulus, an exponent of 1,
//! a small factor) are refused when they come.

use crate::{
    curve::Curve,
    ed25519,
    error::TransitError,
    key_type::KeyType,
    private_key::{AlgorithmIdentifier, EC, ED25519, RSA, check_modulus, ml_dsa_identifier, ml_dsa_named, wrong_type},
    rsa_numbers::{self, MALFORMED},
};
use aws_lc_rs::{agreement, rsa};
use crypto_bigint::BoxedUint;
use der::{
    Decode, Encode, Reader, Sequence, SliceReader,
    asn1::{AnyRef, BitStringRef, IntRef, ObjectIdentifier, UintRef},
};

/// First byte of an uncompressed point (SEC 1 §2.3.3).
const UNCOMPRESSED: u8 = 4;

/// A public key somebody sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum PublicKey {
    Rsa { modulus_bytes: usize, der: Vec<u8> },
    Ec(Curve, Vec<u8>),
    Ed25519(Vec<u8>),
    MlDsa(KeyType, Vec<u8>),
}

#[derive(Sequence)]
struct SubjectPublicKeyInfo<'a> {
    algorithm: AlgorithmIdentifier<'a>,
    key: BitStringRef<'a>,
}

#[derive(Sequence)]
struct RsaPublicKey<'a> {
    modulus: IntRef<'a>,
    exponent: IntRef<'a>,
}

impl PublicKey {
    /// Reads SubjectPublicKeyInfo. The error is the reference's text.
    pub(crate) fn from_der(der: &[u8]) -> Result<Self, String> {
        let mut reader = SliceReader::new(der).map_err(|_| MALFORMED)?;
        let Ok(info) = SubjectPublicKeyInfo::decode(&mut reader) else {
            return Err(match RsaPublicKey::from_der(der) {
                Ok(_) => "x509: failed to parse public key (use ParsePKCS1PublicKey instead for this key format)",
                Err(_) => MALFORMED,
            }
            .to_owned());
        };
        if reader.finish().is_err() {
            return Err("x509: trailing data after ASN.1 of public-key".to_owned());
        }
        let key = info.key.as_bytes().ok_or(MALFORMED)?;
        match info.algorithm.algorithm {
            RSA => Ok(rsa_key(info.algorithm.parameters, key)?),
            EC => ec_point(info.algorithm.parameters, key),
            ED25519 => Ok(ed25519_key(info.algorithm.parameters, key)?),
            other => match ml_dsa_named(other) {
                Some(key_type) => Ok(ml_dsa_key(key_type, info.algorithm.parameters, key)?),
                None => Err("x509: unknown public key algorithm".to_owned()),
            },
        }
    }

    /// An RSA key of its numbers.
    pub(crate) fn rsa(modulus: &BoxedUint, exponent: i64) -> Result<Self, String> {
        Ok(rsa_checked(modulus, exponent)?)
    }

    /// A point of its coordinates.
    pub(crate) fn ec(curve: Curve, x: &BoxedUint, y: &BoxedUint) -> Result<Self, String> {
        let mut point = vec![UNCOMPRESSED];
        for coordinate in [x, y] {
            let bytes = coordinate.to_be_bytes_trimmed_vartime();
            let zeros = curve.bytes().checked_sub(bytes.len()).ok_or("a coordinate is too long")?;
            point.resize(point.len() + zeros, 0);
            point.extend_from_slice(&bytes);
        }
        ec_checked(curve, &point)
    }

    /// An Ed25519 or ML-DSA key of its bare bytes.
    pub(crate) fn raw(key_type: KeyType, bytes: &[u8]) -> Result<Self, String> {
        match key_type {
            KeyType::Ed25519 => Ok(ed25519_key(None, bytes)?),
            _ => Ok(ml_dsa_key(key_type, None, bytes)?),
        }
    }

    /// The key as SubjectPublicKeyInfo in the form this crate writes.
    pub(crate) fn der(&self) -> &[u8] {
        match self {
            Self::Rsa { der, .. } | Self::Ec(_, der) | Self::Ed25519(der) | Self::MlDsa(_, der) => der,
        }
    }

    /// Refuses a key of another type than the named key's.
    pub(crate) fn fit(&self, key_type: KeyType) -> Result<(), TransitError> {
        let got = match self {
            Self::Rsa { modulus_bytes, .. } if key_type.is_rsa() => return check_modulus(key_type, *modulus_bytes),
            Self::Ec(curve, _) if key_type.is_ecdsa() => return curve.fit(key_type),
            Self::Ed25519(_) if key_type == KeyType::Ed25519 => return Ok(()),
            Self::MlDsa(found, _) if *found == key_type => return Ok(()),
            Self::Rsa { .. } => "*rsa.PublicKey",
            Self::Ec(..) => "*ecdsa.PublicKey",
            Self::Ed25519(_) => "ed25519.PublicKey",
            Self::MlDsa(found, _) => found.name(),
        };
        Err(wrong_type(key_type, got))
    }
}

fn rsa_key(parameters: Option<AnyRef<'_>>, key: &[u8]) -> Result<PublicKey, &'static str> {
    if parameters != Some(AnyRef::NULL) {
        return Err("x509: RSA key missing NULL parameters");
    }
    let (modulus, exponent) = rsa_parts(key)?;
    rsa_checked(&modulus, exponent)
}

/// Modulus and exponent of a key that was checked, given as SubjectPublicKeyInfo.
pub(crate) fn rsa_numbers_of(der: &[u8]) -> Option<(BoxedUint, i64)> {
    rsa_parts(SubjectPublicKeyInfo::from_der(der).ok()?.key.as_bytes()?).ok()
}

fn rsa_parts(key: &[u8]) -> Result<(BoxedUint, i64), &'static str> {
    let mut reader = SliceReader::new(key).map_err(|_| MALFORMED)?;
    let numbers = RsaPublicKey::decode(&mut reader).map_err(|_| "x509: invalid RSA public key")?;
    let negative = |number: IntRef<'_>| number.as_bytes().first().is_some_and(|first| first & 0x80 != 0);
    let modulus = rsa_numbers::number(numbers.modulus.as_bytes()).map_err(|_| "crypto/rsa: modulus too large")?;
    if negative(numbers.modulus) || bool::from(modulus.is_zero()) {
        return Err("x509: RSA modulus is not a positive number");
    }
    let exponent = rsa_numbers::exponent(numbers.exponent).map_err(|_| "x509: invalid RSA public exponent")?;
    if exponent <= 0 {
        return Err("x509: RSA public exponent is not a positive number");
    }
    Ok((modulus, exponent))
}

fn rsa_checked(modulus: &BoxedUint, exponent: i64) -> Result<PublicKey, &'static str> {
    rsa_numbers::check_public(modulus, exponent)?;
    if rsa_numbers::has_small_factor(modulus) {
        return Err("crypto/rsa: a prime factor of the modulus is too small");
    }
    let der = spki(RSA, Some(AnyRef::NULL), &rewritten(modulus, exponent)?)?;
    let modulus_bytes = rsa_numbers::bytes(modulus);
    // What aws-lc would not take up later is refused now: lengths below 2048 bits, above all.
    if (256..=512).contains(&modulus_bytes) && rsa::PublicEncryptingKey::from_der(&der).is_err() {
        return Err("crypto/rsa: a modulus of this length is not supported");
    }
    Ok(PublicKey::Rsa { modulus_bytes, der })
}

fn rewritten(modulus: &BoxedUint, exponent: i64) -> Result<Vec<u8>, &'static str> {
    let exponent = exponent.to_be_bytes();
    let modulus = modulus.to_be_bytes();
    let key = RsaPublicKeyOut {
        modulus: UintRef::new(&modulus).map_err(|_| MALFORMED)?,
        exponent: UintRef::new(&exponent).map_err(|_| MALFORMED)?,
    };
    key.to_der().map_err(|_| MALFORMED)
}

#[derive(Sequence)]
struct RsaPublicKeyOut<'a> {
    modulus: UintRef<'a>,
    exponent: UintRef<'a>,
}

fn ec_point(parameters: Option<AnyRef<'_>>, point: &[u8]) -> Result<PublicKey, String> {
    let named = parameters.and_then(|parameters| parameters.decode_as::<ObjectIdentifier>().ok());
    let curve = Curve::identified(named.ok_or("x509: invalid ECDSA parameters")?);
    let curve = curve.ok_or("x509: unsupported elliptic curve")?;
    if point.first() != Some(&UNCOMPRESSED) {
        return Err("ecdsa: invalid uncompressed public key".to_owned());
    }
    ec_checked(curve, point)
}

fn ec_checked(curve: Curve, point: &[u8]) -> Result<PublicKey, String> {
    let name = curve.key_type().curve_or_size().replace('-', "");
    if point.len() != 1 + 2 * curve.bytes() {
        return Err(format!("invalid {name} point encoding"));
    }
    let parsed = agreement::ParsedPublicKey::try_from(agreement::UnparsedPublicKey::new(curve.agreement(), point));
    if parsed.is_err() {
        return Err(format!("{name} point not on curve"));
    }
    let der = spki(EC, Some(AnyRef::from(&curve.identifier())), point)?;
    Ok(PublicKey::Ec(curve, der))
}

fn ed25519_key(parameters: Option<AnyRef<'_>>, key: &[u8]) -> Result<PublicKey, &'static str> {
    if parameters.is_some() {
        return Err("x509: Ed25519 key encoded with illegal parameters");
    }
    if key.len() != ed25519::PUBLIC_KEY_BYTES {
        return Err("x509: wrong Ed25519 public key size");
    }
    Ok(PublicKey::Ed25519(spki(ED25519, None, key)?))
}

fn ml_dsa_key(key_type: KeyType, parameters: Option<AnyRef<'_>>, key: &[u8]) -> Result<PublicKey, &'static str> {
    if parameters.is_some() {
        return Err("x509: ML-DSA key encoded with illegal parameters");
    }
    let identifier = ml_dsa_identifier(key_type).ok_or(MALFORMED)?;
    // FIPS 204 table 2
    let size = match key_type {
        KeyType::MlDsa44 => 1312,
        KeyType::MlDsa65 => 1952,
        _ => 2592,
    };
    if key.len() != size {
        return Err(MALFORMED);
    }
    Ok(PublicKey::MlDsa(key_type, spki(identifier, None, key)?))
}

fn spki(algorithm: ObjectIdentifier, parameters: Option<AnyRef<'_>>, key: &[u8]) -> Result<Vec<u8>, &'static str> {
    let key = BitStringRef::from_bytes(key).map_err(|_| MALFORMED)?;
    SubjectPublicKeyInfo { algorithm: AlgorithmIdentifier { algorithm, parameters }, key }
        .to_der()
        .map_err(|_| MALFORMED)
}
