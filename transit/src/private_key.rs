//! Private keys from outside: PKCS#8 (RFC 5958) read the way the reference reads it, checked, and kept in our form.
//!
//! Accepted are named curves, two-prime RSA, Ed25519 and ML-DSA seeds. What stands behind the key, attributes and a
//! public half are not looked at; the public half is computed. The texts are the reference's, but for the detail of
//! its ASN.1 reader.

use crate::{
    curve::Curve,
    ed25519,
    error::TransitError,
    key_type::KeyType,
    rsa_numbers::{MALFORMED, RsaNumbers},
};
use chancery_hsm::software::SoftwareKey;
use der::{
    Decode, Encode, Sequence, SliceReader, Tag, Tagged,
    asn1::{AnyRef, BitStringRef, ObjectIdentifier, OctetStringRef},
};
use zeroize::Zeroizing;

pub(crate) const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const RSA_PSS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.10");
pub(crate) const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
pub(crate) const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

/// Bytes of an ML-DSA seed (FIPS 204 §5.1), and its tag in PKCS#8 (RFC 9881 §6).
const ML_DSA_SEED_BYTES: usize = 32;
const ML_DSA_SEED_TAG: u8 = 0x80;

/// A private key somebody sent, its parts checked against each other.
pub(crate) enum PrivateKey {
    Rsa(Box<RsaNumbers>),
    /// The scalar has the length of the curve's order.
    Ec(Curve, Zeroizing<Vec<u8>>),
    Ed25519(Zeroizing<Vec<u8>>),
    /// The type and the seed.
    MlDsa(KeyType, Zeroizing<Vec<u8>>),
}

/// RFC 5280 §4.1.1.2
#[derive(Sequence)]
pub(crate) struct AlgorithmIdentifier<'a> {
    pub(crate) algorithm: ObjectIdentifier,
    pub(crate) parameters: Option<AnyRef<'a>>,
}

/// RFC 5958 §2, as far as it is written here.
#[derive(Sequence)]
struct PrivateKeyInfo<'a> {
    version: u8,
    algorithm: AlgorithmIdentifier<'a>,
    private_key: &'a OctetStringRef,
}

/// RFC 5915 §3; the parameters may be anything, since they are not looked at.
#[derive(Sequence)]
struct EcPrivateKey<'a> {
    version: u8,
    private_key: &'a OctetStringRef,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    parameters: Option<AnyRef<'a>>,
    #[asn1(context_specific = "1", tag_mode = "EXPLICIT", optional = "true")]
    public_key: Option<BitStringRef<'a>>,
}

impl PrivateKey {
    /// Reads PKCS#8.
    pub(crate) fn from_pkcs8(der: &[u8]) -> Result<Self, TransitError> {
        Self::read(der).map_err(|text| {
            let space = if text.starts_with('\n') { "" } else { " " };
            TransitError::Caller(format!("error parsing asymmetric key:{space}{text}"))
        })
    }

    fn read(der: &[u8]) -> Result<Self, String> {
        let Some((algorithm, key)) = outer(der) else { return Err(other_form(der).to_owned()) };
        match algorithm.algorithm {
            RSA | RSA_PSS => rsa(key).map_err(|text| format!("{}{text}", embedded("RSA"))),
            EC => ec(algorithm.parameters, key),
            ED25519 => ed25519_seed(algorithm.parameters, key),
            other => match ml_dsa_named(other) {
                Some(key_type) => ml_dsa(key_type, algorithm.parameters, key),
                None => Err(format!("x509: PKCS#8 wrapping contained private key with unknown algorithm: {other}")),
            },
        }
    }

    /// Refuses a key of another type than the named key's; the dear checks come last.
    pub(crate) fn fit(&self, key_type: KeyType) -> Result<(), TransitError> {
        let got = match self {
            Self::Rsa(numbers) if key_type.is_rsa() => {
                check_modulus(key_type, numbers.modulus_bytes())?;
                let checked = numbers.check_primes();
                return checked.map_err(|text| {
                    TransitError::Caller(format!("error parsing asymmetric key: {}{text}", embedded("RSA")))
                });
            }
            Self::Ec(curve, _) if key_type.is_ecdsa() => return curve.fit(key_type),
            Self::Ed25519(_) if key_type == KeyType::Ed25519 => return Ok(()),
            Self::MlDsa(found, _) if *found == key_type => return Ok(()),
            Self::Rsa(_) => "*rsa.PrivateKey",
            Self::Ec(..) => "*ecdsa.PrivateKey",
            Self::Ed25519(_) => "ed25519.PrivateKey",
            Self::MlDsa(found, _) => found.name(),
        };
        Err(wrong_type(key_type, got))
    }

    /// The form it is stored in: PKCS#8 of ours, or the seed.
    pub(crate) fn to_stored(&self) -> Result<Zeroizing<Vec<u8>>, TransitError> {
        match self {
            Self::Rsa(numbers) => write(RSA, AnyRef::NULL, &numbers.to_pkcs1()?),
            Self::Ec(curve, scalar) => {
                let bare = sec1(*curve, scalar, None)?;
                let pair = SoftwareKey::from_bytes(curve.algorithm(), &bare)?;
                // The point stands at the end of SubjectPublicKeyInfo.
                let public_key = pair.public_key_der().unwrap_or_default();
                let start = public_key.len().saturating_sub(1 + 2 * curve.bytes());
                sec1(*curve, scalar, public_key.get(start..))
            }
            Self::Ed25519(seed) | Self::MlDsa(_, seed) => Ok(seed.clone()),
        }
    }
}

/// Refuses a modulus of another length than the type's.
pub(crate) fn check_modulus(key_type: KeyType, bytes: usize) -> Result<(), TransitError> {
    let bits = key_type.hsm_algorithm().and_then(chancery_hsm::KeyAlgorithm::modulus_bits).unwrap_or_default();
    let expected = bits / 8;
    if usize::try_from(expected).is_ok_and(|expected| expected == bytes) {
        return Ok(());
    }
    Err(TransitError::Caller(format!("invalid key size: expected {expected} bytes, got {bytes} bytes")))
}

/// The text for a key of another type.
pub(crate) fn wrong_type(expected: KeyType, got: &str) -> TransitError {
    TransitError::Caller(format!("invalid key type: expected {}, got {got}", expected.name()))
}

/// Algorithm and key of PKCS#8; whatever follows them is skipped.
fn outer(der: &[u8]) -> Option<(AlgorithmIdentifier<'_>, &[u8])> {
    let sequence = AnyRef::decode(&mut SliceReader::new(der).ok()?).ok()?;
    if sequence.tag() != Tag::Sequence {
        return None;
    }
    let mut inner = SliceReader::new(sequence.value()).ok()?;
    u8::decode(&mut inner).ok()?;
    let algorithm = AlgorithmIdentifier::decode(&mut inner).ok()?;
    let key = <&OctetStringRef>::decode(&mut inner).ok()?;
    Some((algorithm, key.as_bytes()))
}

/// Says so where the key came in the form that stands inside PKCS#8.
fn other_form(der: &[u8]) -> &'static str {
    if EcPrivateKey::from_der(der).is_ok() {
        "x509: failed to parse private key (use ParseECPrivateKey instead for this key format)"
    } else if RsaNumbers::from_pkcs1(der).is_ok() {
        "x509: failed to parse private key (use ParsePKCS1PrivateKey instead for this key format)"
    } else {
        MALFORMED
    }
}

fn embedded(kind: &str) -> String {
    format!("x509: failed to parse {kind} private key embedded in PKCS#8: ")
}

fn rsa(key: &[u8]) -> Result<PrivateKey, &'static str> {
    let numbers = RsaNumbers::from_pkcs1(key)?;
    numbers.check()?;
    Ok(PrivateKey::Rsa(Box::new(numbers)))
}

fn ec(parameters: Option<AnyRef<'_>>, key: &[u8]) -> Result<PrivateKey, String> {
    let named: Option<ObjectIdentifier> = parameters.and_then(|parameters| parameters.decode_as().ok());
    let Some(curve) = named.and_then(Curve::identified) else {
        return Err(format!(
            "\n - assuming contents are an ed25519 private key: keysutil: failed to parse private key (invalid, \
             non-ed25519 curve parameter OID)\n - original error: {}x509: unknown elliptic curve",
            embedded("EC")
        ));
    };
    let failed = |text: &str| format!("{}{text}", embedded("EC"));
    let mut reader = SliceReader::new(key).map_err(|_| failed(MALFORMED))?;
    let key = EcPrivateKey::decode(&mut reader).map_err(|_| failed(MALFORMED))?;
    if key.version != 1 {
        return Err(failed(&format!("x509: unknown EC private key version {}", key.version)));
    }
    curve.scalar(key.private_key.as_bytes()).map(|scalar| PrivateKey::Ec(curve, scalar)).map_err(failed)
}

fn ed25519_seed(parameters: Option<AnyRef<'_>>, key: &[u8]) -> Result<PrivateKey, String> {
    if parameters.is_some() {
        return Err("x509: invalid Ed25519 private key parameters".to_owned());
    }
    let mut reader = SliceReader::new(key).map_err(|_| MALFORMED)?;
    let seed = <&OctetStringRef>::decode(&mut reader)
        .map_err(|_| format!("x509: invalid Ed25519 private key: {MALFORMED}"))?
        .as_bytes();
    if seed.len() != ed25519::SEED_BYTES {
        return Err(format!("x509: invalid Ed25519 private key length: {}", seed.len()));
    }
    Ok(PrivateKey::Ed25519(Zeroizing::new(seed.to_vec())))
}

fn ml_dsa(key_type: KeyType, parameters: Option<AnyRef<'_>>, key: &[u8]) -> Result<PrivateKey, String> {
    if parameters.is_some() {
        return Err("x509: invalid ML-DSA private key parameters".to_owned());
    }
    match key {
        [ML_DSA_SEED_TAG, length, seed @ ..]
            if usize::from(*length) == seed.len() && seed.len() == ML_DSA_SEED_BYTES =>
        {
            Ok(PrivateKey::MlDsa(key_type, Zeroizing::new(seed.to_vec())))
        }
        [ML_DSA_SEED_TAG, ..] => Err(format!("x509: invalid ML-DSA private key length: {}", key.len())),
        [0x04, ..] => Err("x509: semi-expanded ML-DSA private keys without seed are not supported".to_owned()),
        [0x30, ..] => Err("x509: ML-DSA private keys with both seed and expanded key are not supported, use e.g. \
                           \"openssl pkey -provparam ml-dsa.output_formats=seed-only\" to convert to a seed-only key"
            .to_owned()),
        [tag, ..] => Err(format!("x509: invalid ML-DSA private key: invalid ASN.1 tag {tag:x}")),
        [] => Err(format!("x509: invalid ML-DSA private key: {MALFORMED}")),
    }
}

/// The ML-DSA type of an algorithm (RFC 9881 §2).
pub(crate) fn ml_dsa_named(algorithm: ObjectIdentifier) -> Option<KeyType> {
    [KeyType::MlDsa44, KeyType::MlDsa65, KeyType::MlDsa87]
        .into_iter()
        .find(|key_type| ml_dsa_identifier(*key_type) == Some(algorithm))
}

/// The algorithm of an ML-DSA type.
pub(crate) fn ml_dsa_identifier(key_type: KeyType) -> Option<ObjectIdentifier> {
    Some(ObjectIdentifier::new_unwrap(match key_type {
        KeyType::MlDsa44 => "2.16.840.1.101.3.4.3.17",
        KeyType::MlDsa65 => "2.16.840.1.101.3.4.3.18",
        KeyType::MlDsa87 => "2.16.840.1.101.3.4.3.19",
        _ => return None,
    }))
}

/// Writes a scalar, and the point that goes with it where it is known, as SEC 1 inside PKCS#8.
fn sec1(curve: Curve, scalar: &[u8], point: Option<&[u8]>) -> Result<Zeroizing<Vec<u8>>, TransitError> {
    let key = EcPrivateKey {
        version: 1,
        private_key: OctetStringRef::new(scalar).map_err(unwritable)?,
        parameters: None,
        public_key: point.map(BitStringRef::from_bytes).transpose().map_err(unwritable)?,
    };
    let inner = Zeroizing::new(key.to_der().map_err(unwritable)?);
    write(EC, AnyRef::from(&curve.identifier()), &inner)
}

/// Writes PKCS#8 around a key.
fn write(algorithm: ObjectIdentifier, parameters: AnyRef<'_>, key: &[u8]) -> Result<Zeroizing<Vec<u8>>, TransitError> {
    let info = PrivateKeyInfo {
        version: 0,
        algorithm: AlgorithmIdentifier { algorithm, parameters: Some(parameters) },
        private_key: OctetStringRef::new(key).map_err(unwritable)?,
    };
    info.to_der().map(Zeroizing::new).map_err(unwritable)
}

fn unwritable(_: der::Error) -> TransitError {
    TransitError::Bug("a private key could not be written")
}
