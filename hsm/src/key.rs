//! What a key is called, what it is for and what the token says about it.
//!
//! Nothing is found by scanning: a [`KeyReference`] names the token, the `CKA_ID` and what the key must look like, and
//! a provider refuses an object that looks different.

use std::fmt;

use data_encoding::{BASE64, HEXLOWER, HEXLOWER_PERMISSIVE};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::{HsmError, KeySearch, Origin};

/// Labels of our own objects start with this, so that `list` can tell them from a neighbour's.
pub const LABEL_PREFIX: &str = "chancery/";

/// The kinds of key a provider can make.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyAlgorithm {
    /// ECDSA on NIST P-256.
    EcP256,
    /// ECDSA on NIST P-384.
    EcP384,
    /// ECDSA on NIST P-521.
    EcP521,
    /// Ed25519 (RFC 8032).
    Ed25519,
    /// RSA with a 2048-bit modulus.
    Rsa2048,
    /// RSA with a 3072-bit modulus.
    Rsa3072,
    /// RSA with a 4096-bit modulus.
    Rsa4096,
    /// AES with a 128-bit key.
    Aes128,
    /// AES with a 256-bit key.
    Aes256,
    /// A generic secret of 32 bytes, used with HMAC.
    Hmac,
    /// ML-DSA-44 (FIPS 204); in this process only.
    #[serde(rename = "ml-dsa-44")]
    MlDsa44,
    /// ML-DSA-65 (FIPS 204); in this process only.
    #[serde(rename = "ml-dsa-65")]
    MlDsa65,
    /// ML-DSA-87 (FIPS 204); in this process only.
    #[serde(rename = "ml-dsa-87")]
    MlDsa87,
}

impl KeyAlgorithm {
    /// Every algorithm that tokens are tried for, in the order tables print them.
    pub const ALL: [Self; 10] = [
        Self::EcP256,
        Self::EcP384,
        Self::EcP521,
        Self::Ed25519,
        Self::Rsa2048,
        Self::Rsa3072,
        Self::Rsa4096,
        Self::Aes128,
        Self::Aes256,
        Self::Hmac,
    ];

    /// The name used in configuration, listings and messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::EcP256 => "ec-p256",
            Self::EcP384 => "ec-p384",
            Self::EcP521 => "ec-p521",
            Self::Ed25519 => "ed25519",
            Self::Rsa2048 => "rsa2048",
            Self::Rsa3072 => "rsa3072",
            Self::Rsa4096 => "rsa4096",
            Self::Aes128 => "aes128",
            Self::Aes256 => "aes256",
            Self::Hmac => "hmac",
            Self::MlDsa44 => "ml-dsa-44",
            Self::MlDsa65 => "ml-dsa-65",
            Self::MlDsa87 => "ml-dsa-87",
        }
    }

    /// Modulus length of an RSA algorithm.
    #[must_use]
    pub fn modulus_bits(self) -> Option<u32> {
        match self {
            Self::Rsa2048 => Some(2048),
            Self::Rsa3072 => Some(3072),
            Self::Rsa4096 => Some(4096),
            _ => None,
        }
    }

    /// Length in bytes of a curve's field elements (and of each half of a raw ECDSA signature).
    #[must_use]
    pub fn field_bytes(self) -> Option<usize> {
        match self {
            Self::EcP256 => Some(32),
            Self::EcP384 => Some(48),
            Self::EcP521 => Some(66),
            _ => None,
        }
    }

    /// Length in bytes of a secret key.
    #[must_use]
    pub fn secret_bytes(self) -> Option<usize> {
        match self {
            Self::Aes128 => Some(16),
            Self::Aes256 | Self::Hmac => Some(32),
            _ => None,
        }
    }

    /// Whether the key is a pair with a public half.
    #[must_use]
    pub fn is_asymmetric(self) -> bool {
        self.secret_bytes().is_none()
    }

    /// Whether the key is one of ML-DSA.
    #[must_use]
    pub fn is_ml_dsa(self) -> bool {
        matches!(self, Self::MlDsa44 | Self::MlDsa65 | Self::MlDsa87)
    }

    /// Whether the key is an RSA key.
    #[must_use]
    pub fn is_rsa(self) -> bool {
        self.modulus_bits().is_some()
    }
}

impl fmt::Display for KeyAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a key may be used for; anything else the token itself refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyPurpose {
    /// Signatures.
    Sign,
    /// AES-GCM, both ways.
    Encrypt,
    /// HMAC.
    Mac,
    /// RSA decryption.
    Decrypt,
    /// RSA signatures and decryption, as a transit key of type `rsa-*` needs both.
    SignAndDecrypt,
}

impl KeyPurpose {
    /// Whether keys of this algorithm can serve this purpose.
    #[must_use]
    pub fn fits(self, algorithm: KeyAlgorithm) -> bool {
        match self {
            Self::Sign => algorithm.is_asymmetric(),
            Self::Decrypt | Self::SignAndDecrypt => algorithm.is_rsa(),
            Self::Encrypt => matches!(algorithm, KeyAlgorithm::Aes128 | KeyAlgorithm::Aes256),
            Self::Mac => algorithm == KeyAlgorithm::Hmac,
        }
    }

    pub(crate) fn signs(self) -> bool {
        matches!(self, Self::Sign | Self::SignAndDecrypt)
    }

    pub(crate) fn decrypts_rsa(self) -> bool {
        matches!(self, Self::Decrypt | Self::SignAndDecrypt)
    }
}

/// An order for a new key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySpec {
    /// The kind of key.
    pub algorithm: KeyAlgorithm,
    /// What it may be used for.
    pub purpose: KeyPurpose,
    /// A name for people looking at the token; stored as `CKA_LABEL` behind [`LABEL_PREFIX`].
    pub label: String,
    /// Set where somebody else chose what the key is called: these are its `CKA_LABEL` and `CKA_ID` then.
    pub given: Option<KeySearch>,
}

impl KeySpec {
    /// An order for a key of `algorithm`, labelled `label`.
    #[must_use]
    pub fn new(algorithm: KeyAlgorithm, purpose: KeyPurpose, label: impl Into<String>) -> Self {
        Self { algorithm, purpose, label: label.into(), given: None }
    }

    /// An order for a key that is called as an operator says, not as we would.
    #[must_use]
    pub fn named(algorithm: KeyAlgorithm, purpose: KeyPurpose, given: KeySearch) -> Self {
        let label = given.label.clone().unwrap_or_default();
        Self { algorithm, purpose, label, given: Some(given) }
    }

    pub(crate) fn check(&self) -> Result<(), HsmError> {
        if self.purpose.fits(self.algorithm) {
            return Ok(());
        }
        let (purpose, algorithm) = (self.purpose, self.algorithm);
        Err(HsmError::InvalidInput { reason: format!("a key of type {algorithm} cannot be made for {purpose:?}") })
    }

    pub(crate) fn full_label(&self) -> String {
        if self.given.is_some() { self.label.clone() } else { format!("{LABEL_PREFIX}{}", self.label) }
    }

    /// The `CKA_ID` of the new key: the given one or a fresh one.
    pub(crate) fn new_id(&self) -> Result<KeyId, HsmError> {
        match self.given.as_ref().and_then(|given| given.id.clone()) {
            Some(id) => Ok(id),
            None => KeyId::random(),
        }
    }

    pub(crate) fn origin(&self) -> Origin {
        match &self.given {
            Some(given) => Origin::Foreign { label: given.label.clone() },
            None => Origin::Own,
        }
    }
}

/// `CKA_ID`: sixteen random bytes we choose when the key is made.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId(Vec<u8>);

impl KeyId {
    /// Takes the bytes of a `CKA_ID`.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// A fresh id.
    pub(crate) fn random() -> Result<Self, HsmError> {
        let mut bytes = vec![0; 16];
        getrandom::fill(&mut bytes)
            .map_err(|error| HsmError::OperatingSystem { call: "getrandom", detail: error.to_string() })?;
        Ok(Self(bytes))
    }

    /// The bytes as the token holds them.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

impl Serialize for KeyId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for KeyId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        HEXLOWER_PERMISSIVE.decode(text.as_bytes()).map(Self).map_err(D::Error::custom)
    }
}

/// Which token a key lives in. Serial and label decide; the rest is for people.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TokenIdentity {
    /// The token's label.
    pub label: String,
    /// The token's serial number.
    pub serial: String,
    /// The token's maker.
    pub manufacturer: String,
    /// The token's model.
    pub model: String,
}

impl TokenIdentity {
    /// Whether both name the same token.
    #[must_use]
    pub fn is_same_token(&self, other: &Self) -> bool {
        self.serial == other.serial && self.label == other.label
    }
}

impl fmt::Display for TokenIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} (serial {})", self.label, self.serial)
    }
}

/// Everything needed to use a key again, and to notice that it is not the same key any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyReference {
    /// Where the key lives.
    pub token: TokenIdentity,
    /// Its `CKA_ID`.
    pub id: KeyId,
    /// Its kind.
    pub algorithm: KeyAlgorithm,
    /// SubjectPublicKeyInfo (DER) of a key pair.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "optional_base64")]
    pub public_key: Option<Vec<u8>>,
    /// Check value of a secret key: the start of a fixed block processed with it. Absent where the token cannot make one.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "optional_base64")]
    pub check_value: Option<Vec<u8>>,
    /// Who named it.
    #[serde(default, skip_serializing_if = "Origin::is_own")]
    pub origin: Origin,
}

impl KeyReference {
    /// Whether both have the same material, as far as it can be told; wherever it lies.
    #[must_use]
    pub fn has_material_of(&self, other: &Self) -> bool {
        self.algorithm == other.algorithm
            && self.public_key == other.public_key
            && (self.check_value.is_none() || other.check_value.is_none() || self.check_value == other.check_value)
    }
}

impl fmt::Display for KeyReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} key {} on token {}", self.algorithm, self.id, self.token)
    }
}

/// One of our keys as `list` found it on the token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeySummary {
    /// The label without [`LABEL_PREFIX`].
    pub label: String,
    /// A reference good for using the key.
    pub reference: KeyReference,
}

/// The protection a token reports for a key (PKCS#11 §4.9 and §4.10). `None`: the token does not say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyAttributes {
    /// `CKA_LABEL`.
    pub label: String,
    /// `CKA_TOKEN`: survives the session.
    pub token: Option<bool>,
    /// `CKA_PRIVATE`: needs a login.
    pub private: Option<bool>,
    /// `CKA_SENSITIVE`: the value cannot be read in clear.
    pub sensitive: Option<bool>,
    /// `CKA_EXTRACTABLE`: the value could leave wrapped.
    pub extractable: Option<bool>,
    /// `CKA_ALWAYS_SENSITIVE`.
    pub always_sensitive: Option<bool>,
    /// `CKA_NEVER_EXTRACTABLE`.
    pub never_extractable: Option<bool>,
    /// `CKA_LOCAL`: generated in the token.
    pub local: Option<bool>,
    /// `CKA_SIGN`.
    pub sign: Option<bool>,
    /// `CKA_ENCRYPT`.
    pub encrypt: Option<bool>,
    /// `CKA_DECRYPT`.
    pub decrypt: Option<bool>,
    /// `CKA_WRAP`.
    pub wrap: Option<bool>,
    /// `CKA_UNWRAP`.
    pub unwrap: Option<bool>,
}

impl KeyAttributes {
    /// Refuses a key that could leave the token. An attribute the token does not report counts against the key.
    ///
    /// # Errors
    ///
    /// [`HsmError::Exposed`] naming the attribute.
    pub fn require_protected(&self) -> Result<(), HsmError> {
        let demands = [
            ("CKA_SENSITIVE", self.sensitive, true),
            ("CKA_EXTRACTABLE", self.extractable, false),
            ("CKA_ALWAYS_SENSITIVE", self.always_sensitive, true),
            ("CKA_NEVER_EXTRACTABLE", self.never_extractable, true),
            ("CKA_LOCAL", self.local, true),
        ];
        for (attribute, found, wanted) in demands {
            if found != Some(wanted) {
                return Err(HsmError::Exposed { attribute, found });
            }
        }
        Ok(())
    }
}

mod optional_base64 {
    use super::{BASE64, Deserialize, Deserializer, Serializer};
    use serde::de::Error as _;

    pub(super) fn serialize<S: Serializer>(bytes: &Option<Vec<u8>>, serializer: S) -> Result<S::Ok, S::Error> {
        match bytes {
            Some(bytes) => serializer.serialize_str(&BASE64.encode(bytes)),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<u8>>, D::Error> {
        let Some(text) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
        BASE64.decode(text.as_bytes()).map(Some).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reference() -> KeyReference {
        KeyReference {
            token: TokenIdentity { label: "t".into(), serial: "1".into(), manufacturer: "m".into(), model: "x".into() },
            id: KeyId::new(vec![0xab, 0x01]),
            algorithm: KeyAlgorithm::EcP256,
            public_key: Some(vec![1, 2, 3]),
            check_value: None,
            origin: Origin::Own,
        }
    }

    #[test]
    fn reference_survives_json() {
        let json = serde_json::to_string(&reference()).unwrap();
        assert!(json.contains(r#""id":"ab01""#) && json.contains(r#""public_key":"AQID""#), "{json}");
        assert_eq!(serde_json::from_str::<KeyReference>(&json).unwrap(), reference());
    }

    #[test]
    fn unreported_attribute_counts_against_the_key() {
        let mut attributes = KeyAttributes {
            sensitive: Some(true),
            extractable: Some(false),
            always_sensitive: Some(true),
            never_extractable: Some(true),
            local: Some(true),
            ..KeyAttributes::default()
        };
        attributes.require_protected().unwrap();
        attributes.never_extractable = None;
        assert!(matches!(
            attributes.require_protected(),
            Err(HsmError::Exposed { attribute: "CKA_NEVER_EXTRACTABLE", found: None })
        ));
    }

    #[test]
    fn purpose_must_fit_the_algorithm() {
        assert!(KeySpec::new(KeyAlgorithm::EcP256, KeyPurpose::Encrypt, "x").check().unwrap_err().is_caller_fault());
        KeySpec::new(KeyAlgorithm::Rsa2048, KeyPurpose::SignAndDecrypt, "x").check().unwrap();
    }
}
