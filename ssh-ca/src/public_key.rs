//! Public keys that strangers present: read strictly, refused where they are weak or not what they say.
//!
//! `ssh-key` reads the format; what it lets pass (long and short forms, points off their curve, small moduli) is refused
//! here. The bytes kept are the bytes that were read: a key that would be written differently is no key.

use crate::blob::{BlobReader, BlobWriter, strip_zeros};
use aws_lc_rs::{
    agreement,
    digest::{SHA256, digest},
};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD},
};
use curve25519_dalek::edwards::CompressedEdwardsY;
use data_encoding::HEXLOWER;
use der::{
    Decode, Encode,
    asn1::{Any, BitString, ObjectIdentifier, UintRef},
};
use spki::{AlgorithmIdentifier, SubjectPublicKeyInfo};
use ssh_key::{
    Algorithm, EcdsaCurve,
    encoding::{Decode as _, Encode as _},
    public::KeyData,
};

const ID_EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
/// RFC 8410 §3.
const ID_ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

type Spki = SubjectPublicKeyInfo<Any, BitString>;

/// A public key that passed every check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshPublicKey {
    kind: KeyKind,
    blob: Vec<u8>,
}

/// What sort of key it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// `ssh-rsa`, by the size of the modulus.
    Rsa {
        /// From [`SshPublicKey::SMALLEST_RSA`] up.
        bits: u32,
    },
    /// `ecdsa-sha2-nistp…`
    Ecdsa {
        /// 256, 384 or 521.
        bits: u32,
    },
    /// `ssh-ed25519`
    Ed25519,
    /// `sk-ecdsa-sha2-nistp256@openssh.com`: the private half is in a security key.
    SkEcdsa,
    /// `sk-ssh-ed25519@openssh.com`
    SkEd25519,
}

/// Why a key is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublicKeyError {
    /// Several lines.
    #[error("ssh: more than one line")]
    Lines,
    /// No base64.
    #[error("ssh: the key is not base64")]
    Base64,
    /// It ends early or is written in a form OpenSSH does not write, with bytes behind it for example.
    #[error("ssh: short read")]
    Malformed,
    /// Bytes follow the key.
    #[error("ssh: trailing junk in public key")]
    Trailing,
    /// The type before the base64 is not the one in it.
    #[error("ssh: the line says {stated} and the key in it is {found}")]
    OtherType {
        /// What stands before the base64.
        stated: String,
        /// What the key says.
        found: String,
    },
    /// A certificate.
    #[error("ssh: this is a certificate, not a public key")]
    Certificate,
    /// A type that is not offered, DSA among them.
    #[error("ssh: unknown or refused key algorithm: {0}")]
    Algorithm(String),
    /// The point is not on its curve, or is none that an honest key has.
    #[error("ssh: invalid curve point")]
    Point,
    /// The modulus is too short.
    #[error("ssh: RSA keys of less than 2048 bits are refused: got {0}")]
    SmallModulus(u32),
    /// The modulus is too long.
    #[error("ssh: RSA keys of more than 16384 bits are refused: got {0}")]
    LargeModulus(u32),
    /// The modulus is even or divisible by a small prime.
    #[error("ssh: the RSA modulus is divisible by a small prime")]
    WeakModulus,
    /// The exponent is even, one, or enormous.
    #[error("ssh: the RSA exponent is not an odd number from 3 to 2^64")]
    Exponent,
}

impl SshPublicKey {
    /// Shortest RSA modulus, in bits.
    pub const SMALLEST_RSA: u32 = 2048;
    /// OpenSSH takes no longer one (SSHBUF_MAX_BIGNUM).
    const LARGEST_RSA: u32 = 16_384;

    /// Reads a line of an `authorized_keys` file without options: type, base64, comment. The type may be missing.
    ///
    /// # Errors
    /// A [`PublicKeyError`] that says what is wrong with it.
    pub fn parse(line: &str) -> Result<Self, PublicKeyError> {
        let line = line.trim();
        if line.contains(['\n', '\r', '\0']) {
            return Err(PublicKeyError::Lines);
        }
        let mut words = line.split([' ', '\t']).filter(|word| !word.is_empty());
        let first = words.next().ok_or(PublicKeyError::Malformed)?;
        // Every blob begins with a length below 2^24, so its base64 begins with an A; no type does.
        let (stated, text) = match words.next() {
            Some(second) if !first.starts_with("AAAA") => (Some(first), second),
            _ => (None, first),
        };
        let blob = STANDARD.decode(text).map_err(|_| PublicKeyError::Base64)?;
        let key = Self::from_blob(&blob)?;
        match stated {
            Some(stated) if stated != key.kind.name() => {
                Err(PublicKeyError::OtherType { stated: stated.to_owned(), found: key.kind.name().to_owned() })
            }
            _ => Ok(key),
        }
    }

    /// Reads a key in OpenSSH's binary format.
    ///
    /// # Errors
    /// A [`PublicKeyError`] that says what is wrong with it.
    pub fn from_blob(blob: &[u8]) -> Result<Self, PublicKeyError> {
        let name = BlobReader::new(blob).string().ok_or(PublicKeyError::Malformed)?;
        let name = std::str::from_utf8(name).map_err(|_| PublicKeyError::Malformed)?;
        if Algorithm::new_certificate(name).is_ok() {
            return Err(PublicKeyError::Certificate);
        }
        let mut rest = blob;
        let data = KeyData::decode(&mut rest).map_err(|_| match name {
            name if KeyKind::NAMES.contains(&name) => PublicKeyError::Malformed,
            _ => PublicKeyError::Algorithm(printable(name)),
        })?;
        if !rest.is_empty() {
            return Err(PublicKeyError::Trailing);
        }
        let kind = check(&data, name)?;
        // One form for one key: what OpenSSH would write differently would have two fingerprints.
        if data.encode_vec().ok().as_deref() != Some(blob) {
            return Err(PublicKeyError::Malformed);
        }
        Ok(Self { kind, blob: blob.to_vec() })
    }

    /// The key of a SubjectPublicKeyInfo, as the HSM describes its keys.
    ///
    /// # Errors
    /// A [`PublicKeyError`]; in practice none, because the HSM made the key.
    pub fn from_spki(der: &[u8]) -> Result<Self, PublicKeyError> {
        let spki = Spki::from_der(der).map_err(|_| PublicKeyError::Malformed)?;
        let bits = spki.subject_public_key.as_bytes().ok_or(PublicKeyError::Malformed)?;
        let mut blob = BlobWriter::new();
        match spki.algorithm.oid {
            ID_ED25519 => {
                blob.string("ssh-ed25519").string(bits);
            }
            RSA_ENCRYPTION => {
                let key = RsaNumbers::from_der(bits).map_err(|_| PublicKeyError::Malformed)?;
                blob.string("ssh-rsa").mpint(key.exponent.as_bytes()).mpint(key.modulus.as_bytes());
            }
            _ => {
                let curve = match bits.len() {
                    65 => "nistp256",
                    97 => "nistp384",
                    133 => "nistp521",
                    _ => return Err(PublicKeyError::Point),
                };
                blob.string(format!("ecdsa-sha2-{curve}")).string(curve).string(bits);
            }
        }
        Self::from_blob(&blob.into_bytes())
    }

    /// The SubjectPublicKeyInfo, to verify signatures with. None for keys in security keys, whose signatures are no plain ones.
    #[must_use]
    pub fn spki(&self) -> Option<Vec<u8>> {
        let mut reader = BlobReader::new(&self.blob);
        reader.string()?;
        let (algorithm, key) = match self.kind {
            KeyKind::Ed25519 => (AlgorithmIdentifier { oid: ID_ED25519, parameters: None }, reader.string()?.to_vec()),
            KeyKind::Ecdsa { bits } => {
                reader.string()?;
                let curve = match bits {
                    256 => ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7"),
                    384 => ObjectIdentifier::new_unwrap("1.3.132.0.34"),
                    _ => ObjectIdentifier::new_unwrap("1.3.132.0.35"),
                };
                let parameters = Some(Any::encode_from(&curve).ok()?);
                (AlgorithmIdentifier { oid: ID_EC_PUBLIC_KEY, parameters }, reader.string()?.to_vec())
            }
            KeyKind::Rsa { .. } => {
                let (exponent, modulus) = (reader.mpint()?, reader.mpint()?);
                let numbers =
                    RsaNumbers { modulus: UintRef::new(modulus).ok()?, exponent: UintRef::new(exponent).ok()? };
                let parameters = Some(Any::null());
                (AlgorithmIdentifier { oid: RSA_ENCRYPTION, parameters }, numbers.to_der().ok()?)
            }
            KeyKind::SkEcdsa | KeyKind::SkEd25519 => return None,
        };
        Spki { algorithm, subject_public_key: BitString::from_bytes(&key).ok()? }.to_der().ok()
    }

    /// What sort of key it is.
    #[must_use]
    pub fn kind(&self) -> KeyKind {
        self.kind
    }

    /// The key in OpenSSH's binary format.
    #[must_use]
    pub fn blob(&self) -> &[u8] {
        &self.blob
    }

    /// The key as it follows the type in a certificate.
    pub(crate) fn fields(&self) -> &[u8] {
        let mut reader = BlobReader::new(&self.blob);
        let _name = reader.string();
        reader.rest()
    }

    /// `type base64`
    #[must_use]
    pub fn to_line(&self) -> String {
        format!("{} {}", self.kind.name(), STANDARD.encode(&self.blob))
    }

    /// SHA-256 over the key.
    #[must_use]
    pub fn hash(&self) -> Vec<u8> {
        digest(&SHA256, &self.blob).as_ref().to_vec()
    }

    /// `SHA256:…`, as `ssh-keygen -l` shows it.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        format!("SHA256:{}", STANDARD_NO_PAD.encode(self.hash()))
    }

    /// The hash in hexadecimal, as `{{public_key_hash}}` of a key id has it.
    #[must_use]
    pub fn hex_hash(&self) -> String {
        HEXLOWER.encode(&self.hash())
    }
}

impl KeyKind {
    /// Names of all types that are offered.
    pub const NAMES: [&'static str; 7] = [
        "ssh-rsa",
        "ecdsa-sha2-nistp256",
        "ecdsa-sha2-nistp384",
        "ecdsa-sha2-nistp521",
        "ssh-ed25519",
        "sk-ecdsa-sha2-nistp256@openssh.com",
        "sk-ssh-ed25519@openssh.com",
    ];

    /// The type as it stands in the key.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Rsa { .. } => "ssh-rsa",
            Self::Ecdsa { bits: 256 } => "ecdsa-sha2-nistp256",
            Self::Ecdsa { bits: 384 } => "ecdsa-sha2-nistp384",
            Self::Ecdsa { .. } => "ecdsa-sha2-nistp521",
            Self::Ed25519 => "ssh-ed25519",
            Self::SkEcdsa => "sk-ecdsa-sha2-nistp256@openssh.com",
            Self::SkEd25519 => "sk-ssh-ed25519@openssh.com",
        }
    }

    /// The word that Vault's `allowed_user_key_lengths` has for it.
    #[must_use]
    pub fn family(self) -> &'static str {
        match self {
            Self::Rsa { .. } => "rsa",
            Self::Ecdsa { .. } => "ecdsa",
            Self::Ed25519 => "ed25519",
            Self::SkEcdsa => "sk-ecdsa",
            Self::SkEd25519 => "sk-ed25519",
        }
    }

    /// Size of modulus or curve; 0 where there is only one.
    #[must_use]
    pub fn bits(self) -> u32 {
        match self {
            Self::Rsa { bits } | Self::Ecdsa { bits } => bits,
            Self::SkEcdsa => 256,
            Self::Ed25519 | Self::SkEd25519 => 0,
        }
    }

    /// Whether the private half is in a security key (FIDO).
    #[must_use]
    pub fn is_security_key(self) -> bool {
        matches!(self, Self::SkEcdsa | Self::SkEd25519)
    }
}

/// RSAPublicKey (RFC 8017 §A.1.1).
#[derive(der::Sequence)]
struct RsaNumbers<'a> {
    modulus: UintRef<'a>,
    exponent: UintRef<'a>,
}

fn check(data: &KeyData, name: &str) -> Result<KeyKind, PublicKeyError> {
    match data {
        KeyData::Rsa(key) => {
            let modulus = key.n().as_positive_bytes().ok_or(PublicKeyError::Malformed)?;
            let exponent = key.e().as_positive_bytes().ok_or(PublicKeyError::Exponent)?;
            rsa(modulus, exponent)
        }
        KeyData::Ecdsa(key) => {
            let (algorithm, bits) = match key.curve() {
                EcdsaCurve::NistP256 => (&agreement::ECDH_P256, 256),
                EcdsaCurve::NistP384 => (&agreement::ECDH_P384, 384),
                EcdsaCurve::NistP521 => (&agreement::ECDH_P521, 521),
            };
            on_curve(algorithm, key.as_sec1_bytes())?;
            Ok(KeyKind::Ecdsa { bits })
        }
        KeyData::Ed25519(key) => {
            on_edwards_curve(&key.0)?;
            Ok(KeyKind::Ed25519)
        }
        KeyData::SkEcdsaSha2NistP256(key) => {
            on_curve(&agreement::ECDH_P256, key.ec_point().as_bytes())?;
            application(key.application())?;
            Ok(KeyKind::SkEcdsa)
        }
        KeyData::SkEd25519(key) => {
            on_edwards_curve(&key.public_key().0)?;
            application(key.application())?;
            Ok(KeyKind::SkEd25519)
        }
        _ => Err(PublicKeyError::Algorithm(printable(name))),
    }
}

/// Uncompressed, as RFC 5656 §3.1 has it and OpenSSH demands, and on the curve.
fn on_curve(algorithm: &'static agreement::Algorithm, point: &[u8]) -> Result<(), PublicKeyError> {
    if point.first() != Some(&4) {
        return Err(PublicKeyError::Point);
    }
    let parsed = agreement::ParsedPublicKey::try_from(agreement::UnparsedPublicKey::new(algorithm, point));
    parsed.map(drop).map_err(|_| PublicKeyError::Point)
}

/// On the curve, and not one of the eight points that make every signature verify.
fn on_edwards_curve(key: &[u8; 32]) -> Result<(), PublicKeyError> {
    let point = CompressedEdwardsY(*key).decompress().ok_or(PublicKeyError::Point)?;
    if point.is_small_order() { Err(PublicKeyError::Point) } else { Ok(()) }
}

/// The application of a security key's key: a text such as `ssh:`.
fn application(text: &str) -> Result<(), PublicKeyError> {
    if text.chars().any(char::is_control) { Err(PublicKeyError::Malformed) } else { Ok(()) }
}

fn rsa(modulus: &[u8], exponent: &[u8]) -> Result<KeyKind, PublicKeyError> {
    let bits = bit_length(modulus);
    if bits < SshPublicKey::SMALLEST_RSA {
        return Err(PublicKeyError::SmallModulus(bits));
    }
    if bits > SshPublicKey::LARGEST_RSA {
        return Err(PublicKeyError::LargeModulus(bits));
    }
    if SMALL_PRIMES.iter().any(|prime| remainder(modulus, *prime) == 0) {
        return Err(PublicKeyError::WeakModulus);
    }
    let is_odd = exponent.last().is_some_and(|byte| byte & 1 == 1);
    if !is_odd || exponent == [1] || exponent.len() > 8 {
        return Err(PublicKeyError::Exponent);
    }
    Ok(KeyKind::Rsa { bits })
}

fn bit_length(big_endian: &[u8]) -> u32 {
    let significant = strip_zeros(big_endian);
    let top = significant.first().map_or(0, |byte| byte.leading_zeros());
    u32::try_from(significant.len()).unwrap_or(u32::MAX / 8).saturating_mul(8) - top
}

fn remainder(big_endian: &[u8], divisor: u64) -> u64 {
    big_endian.iter().fold(0, |rest, byte| ((rest << 8) | u64::from(*byte)) % divisor)
}

const SMALL_PRIMES: [u64; 25] =
    [2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97];

/// What a stranger called a type, fit for an error text.
fn printable(name: &str) -> String {
    name.chars().filter(char::is_ascii_graphic).take(64).collect()
}

#[cfg(test)]
mod tests;
