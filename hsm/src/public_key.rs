//! Public keys as SubjectPublicKeyInfo (RFC 5280 §4.1.2.7), read and built.

use der::{
    Decode, Encode,
    asn1::{Any, BitString, ObjectIdentifier, OctetString, UintRef},
};
use spki::{AlgorithmIdentifier, SubjectPublicKeyInfo};

use crate::{HsmError, KeyAlgorithm};

const ID_EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
/// RFC 8410 §3.
const ID_ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
/// RFC 9881 §2.
const ML_DSA_44: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.3.17");
const ML_DSA_65: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.3.18");
const ML_DSA_87: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.3.19");
const SECP256R1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const SECP384R1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const SECP521R1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.35");

type Spki = SubjectPublicKeyInfo<Any, BitString>;

/// What kind of public key an SPKI holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Ec(KeyAlgorithm),
    Ed25519,
    MlDsa(KeyAlgorithm),
    Rsa { modulus_bytes: usize },
}

/// Reads the kind of a public key.
pub(crate) fn algorithm_of(spki_der: &[u8]) -> Result<Kind, HsmError> {
    let unreadable = || HsmError::invalid("not a public key this appliance understands");
    let info = Spki::from_der(spki_der).map_err(|_| unreadable())?;
    match info.algorithm.oid {
        ID_EC_PUBLIC_KEY => {
            let parameters = info.algorithm.parameters.ok_or_else(unreadable)?;
            let curve = parameters.decode_as::<ObjectIdentifier>().map_err(|_| unreadable())?;
            match curve {
                SECP256R1 => Ok(Kind::Ec(KeyAlgorithm::EcP256)),
                SECP384R1 => Ok(Kind::Ec(KeyAlgorithm::EcP384)),
                SECP521R1 => Ok(Kind::Ec(KeyAlgorithm::EcP521)),
                _ => Err(unreadable()),
            }
        }
        ID_ED25519 => Ok(Kind::Ed25519),
        ML_DSA_44 => Ok(Kind::MlDsa(KeyAlgorithm::MlDsa44)),
        ML_DSA_65 => Ok(Kind::MlDsa(KeyAlgorithm::MlDsa65)),
        ML_DSA_87 => Ok(Kind::MlDsa(KeyAlgorithm::MlDsa87)),
        RSA_ENCRYPTION => {
            let key = info.subject_public_key.as_bytes().ok_or_else(unreadable)?;
            let key = RsaPublicKey::from_der(key).map_err(|_| unreadable())?;
            Ok(Kind::Rsa { modulus_bytes: key.modulus.as_bytes().len() })
        }
        _ => Err(unreadable()),
    }
}

/// Modulus and public exponent of an RSA key, big-endian without leading zeros.
pub(crate) fn rsa_numbers(spki_der: &[u8]) -> Result<(Vec<u8>, Vec<u8>), HsmError> {
    let unreadable = |_| HsmError::invalid("not an RSA public key");
    let info = Spki::from_der(spki_der).map_err(unreadable)?;
    let key = info.subject_public_key.as_bytes().unwrap_or_default();
    let key = RsaPublicKey::from_der(key).map_err(unreadable)?;
    Ok((key.modulus.as_bytes().to_vec(), key.public_exponent.as_bytes().to_vec()))
}

/// `RSAPublicKey` (RFC 8017 §A.1.1).
#[derive(der::Sequence)]
struct RsaPublicKey<'a> {
    modulus: UintRef<'a>,
    public_exponent: UintRef<'a>,
}

/// The named curve as `CKA_EC_PARAMS` wants it (PKCS#11 §6.3.3).
pub(crate) fn curve_parameters(algorithm: KeyAlgorithm) -> Result<Vec<u8>, HsmError> {
    curve_oid(algorithm)?.to_der().map_err(encoding)
}

fn curve_oid(algorithm: KeyAlgorithm) -> Result<ObjectIdentifier, HsmError> {
    match algorithm {
        KeyAlgorithm::EcP256 => Ok(SECP256R1),
        KeyAlgorithm::EcP384 => Ok(SECP384R1),
        KeyAlgorithm::EcP521 => Ok(SECP521R1),
        KeyAlgorithm::Ed25519 => Ok(ID_ED25519),
        _ => Err(HsmError::Internal { detail: "a key without a curve asked for its parameters" }),
    }
}

/// The algorithm whose `CKA_EC_PARAMS` these are; Ed25519 also appears as a PrintableString (PKCS#11 §6.3.5).
pub(crate) fn algorithm_of_curve(parameters: &[u8]) -> Option<KeyAlgorithm> {
    const EDWARDS25519: &[u8] = b"\x13\x0cedwards25519";
    if parameters == EDWARDS25519 {
        return Some(KeyAlgorithm::Ed25519);
    }
    let oid = ObjectIdentifier::from_der(parameters).ok()?;
    [KeyAlgorithm::EcP256, KeyAlgorithm::EcP384, KeyAlgorithm::EcP521, KeyAlgorithm::Ed25519]
        .into_iter()
        .find(|algorithm| curve_oid(*algorithm).ok() == Some(oid))
}

/// SPKI of an EC or Edwards key from `CKA_EC_POINT`: a DER OCTET STRING by the book, the bare point on some tokens.
pub(crate) fn spki_from_point(algorithm: KeyAlgorithm, ec_point: &[u8]) -> Result<Vec<u8>, HsmError> {
    let wanted = match algorithm.field_bytes() {
        Some(field) => 2 * field + 1,
        None => 32,
    };
    let unwrapped;
    let point = if ec_point.len() == wanted {
        ec_point
    } else {
        unwrapped = OctetString::from_der(ec_point).map_err(|_| HsmError::Internal {
            detail: "the token's CKA_EC_POINT is neither a point nor an OCTET STRING",
        })?;
        unwrapped.as_bytes()
    };
    let is_point = point.len() == wanted && (algorithm == KeyAlgorithm::Ed25519 || point.first() == Some(&0x04));
    if !is_point {
        return Err(HsmError::Internal {
            detail: "the token's CKA_EC_POINT is not an uncompressed point of the curve",
        });
    }
    let algorithm = match algorithm {
        KeyAlgorithm::Ed25519 => AlgorithmIdentifier { oid: ID_ED25519, parameters: None },
        _ => {
            let curve = curve_oid(algorithm)?;
            AlgorithmIdentifier { oid: ID_EC_PUBLIC_KEY, parameters: Some(Any::encode_from(&curve).map_err(encoding)?) }
        }
    };
    encode(algorithm, point)
}

/// SPKI of an RSA key from `CKA_MODULUS` and `CKA_PUBLIC_EXPONENT`.
pub(crate) fn spki_from_rsa(modulus: &[u8], public_exponent: &[u8]) -> Result<Vec<u8>, HsmError> {
    let key = RsaPublicKey {
        modulus: UintRef::new(modulus).map_err(encoding)?,
        public_exponent: UintRef::new(public_exponent).map_err(encoding)?,
    };
    // RFC 3279 §2.3.1: parameters are NULL.
    let algorithm = AlgorithmIdentifier { oid: RSA_ENCRYPTION, parameters: Some(Any::null()) };
    encode(algorithm, &key.to_der().map_err(encoding)?)
}

fn encode(algorithm: AlgorithmIdentifier<Any>, key: &[u8]) -> Result<Vec<u8>, HsmError> {
    let subject_public_key = BitString::from_bytes(key).map_err(encoding)?;
    Spki { algorithm, subject_public_key }.to_der().map_err(encoding)
}

fn encoding(_: der::Error) -> HsmError {
    HsmError::Internal { detail: "a public key could not be encoded" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::software::SoftwareKey;

    fn raw_point(algorithm: KeyAlgorithm) -> (Vec<u8>, Vec<u8>) {
        let key = SoftwareKey::generate(algorithm).unwrap();
        let der = key.public_key_der().unwrap().to_vec();
        let point = Spki::from_der(&der).unwrap().subject_public_key.as_bytes().unwrap().to_vec();
        (der, point)
    }

    #[test]
    fn both_encodings_of_a_point_give_the_same_spki() {
        for algorithm in [KeyAlgorithm::EcP256, KeyAlgorithm::EcP384, KeyAlgorithm::EcP521, KeyAlgorithm::Ed25519] {
            let (der, point) = raw_point(algorithm);
            let wrapped = OctetString::new(point.clone()).unwrap().to_der().unwrap();
            assert_eq!(spki_from_point(algorithm, &point).unwrap(), der, "{algorithm}, bare");
            assert_eq!(spki_from_point(algorithm, &wrapped).unwrap(), der, "{algorithm}, wrapped");
        }
    }

    #[test]
    fn point_of_another_curve_is_refused() {
        let (_, point) = raw_point(KeyAlgorithm::EcP384);
        assert!(spki_from_point(KeyAlgorithm::EcP256, &point).is_err());
    }

    #[test]
    fn rsa_spki_is_rebuilt_byte_for_byte() {
        let key = SoftwareKey::generate(KeyAlgorithm::Rsa2048).unwrap();
        let der = key.public_key_der().unwrap();
        let info = Spki::from_der(der).unwrap();
        let rsa = RsaPublicKey::from_der(info.subject_public_key.as_bytes().unwrap()).unwrap();
        let rebuilt = spki_from_rsa(rsa.modulus.as_bytes(), rsa.public_exponent.as_bytes()).unwrap();
        assert_eq!(rebuilt, der);
        assert_eq!(algorithm_of(der).unwrap(), Kind::Rsa { modulus_bytes: 256 });
    }
}
