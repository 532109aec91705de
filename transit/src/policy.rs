//! A key with all its versions as Vault and OpenBao write it into a backup: base64 of this JSON.
//!
//! The names, their order and the numbers for types are those servers', since a backup made by one is restored by
//! another. Numbers of RSA and of curves stand as decimals of any length.

use crate::{encoding, key_type::KeyType};
use crypto_bigint::BoxedUint;
use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use zeroize::{Zeroize, Zeroizing};

/// Longest decimal that is read: that of a number of 8192 bits.
const LONGEST_DECIMAL: usize = 2467;

/// What a backup holds.
#[derive(Serialize, Deserialize)]
pub(crate) struct Backup {
    pub(crate) policy: Option<Policy>,
    #[serde(default)]
    pub(crate) archived_keys: Option<Archive>,
}

/// All versions from the lowest available on, by their place; the lowest place holds nothing while none was trimmed.
#[derive(Serialize, Deserialize, Default)]
pub(crate) struct Archive {
    #[serde(default)]
    pub(crate) keys: Option<Vec<Entry>>,
}

/// The key.
#[derive(Serialize, Deserialize, Default)]
#[serde(default)]
pub(crate) struct Policy {
    pub(crate) name: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) key_size: i64,
    /// The versions from the decryption minimum on, by number.
    pub(crate) keys: Option<BTreeMap<String, Entry>>,
    pub(crate) derived: bool,
    pub(crate) kdf: i64,
    pub(crate) convergent_encryption: bool,
    pub(crate) exportable: bool,
    pub(crate) min_decryption_version: i64,
    pub(crate) min_encryption_version: i64,
    pub(crate) latest_version: i64,
    pub(crate) archive_version: i64,
    pub(crate) archive_min_version: i64,
    pub(crate) min_available_version: i64,
    pub(crate) deletion_allowed: bool,
    pub(crate) convergent_version: i64,
    #[serde(rename = "type")]
    pub(crate) key_type: i64,
    pub(crate) backup_info: Option<Info>,
    pub(crate) restore_info: Option<Info>,
    pub(crate) allow_plaintext_backup: bool,
    pub(crate) version_template: String,
    pub(crate) storage_prefix: String,
    /// In nanoseconds.
    pub(crate) auto_rotate_period: i64,
    #[serde(rename = "Imported")]
    pub(crate) imported: bool,
    #[serde(rename = "AllowImportedKeyRotation")]
    pub(crate) allow_imported_key_rotation: bool,
    pub(crate) soft_deleted: bool,
}

/// When a backup or a restore took place.
#[derive(Serialize, Deserialize)]
pub(crate) struct Info {
    pub(crate) time: Timestamp,
    pub(crate) version: u32,
}

/// A version.
#[derive(Serialize, Deserialize, Default)]
#[serde(default)]
pub(crate) struct Entry {
    /// Symmetric: the key. Ed25519: seed and public key. ML-DSA: the seed.
    pub(crate) key: Option<Bytes>,
    pub(crate) hmac_key: Option<Bytes>,
    pub(crate) time: Option<Timestamp>,
    pub(crate) ec_x: Option<Decimal>,
    pub(crate) ec_y: Option<Decimal>,
    pub(crate) ec_d: Option<Decimal>,
    pub(crate) rsa_key: Option<RsaPrivate>,
    pub(crate) rsa_public_key: Option<RsaPublic>,
    /// ECDSA: PEM. Ed25519 and ML-DSA: base64. RSA: nothing.
    pub(crate) public_key: String,
    pub(crate) convergent_version: i64,
    /// In seconds.
    pub(crate) creation_time: i64,
    pub(crate) certificate_chain: Option<Vec<Bytes>>,
    pub(crate) external_key_ref: String,
}

/// An RSA private key.
#[derive(Serialize, Deserialize)]
pub(crate) struct RsaPrivate {
    #[serde(rename = "N")]
    pub(crate) modulus: Decimal,
    #[serde(rename = "E")]
    pub(crate) public_exponent: i64,
    #[serde(rename = "D")]
    pub(crate) private_exponent: Decimal,
    #[serde(rename = "Primes")]
    pub(crate) primes: Vec<Decimal>,
    /// Computed anew when it is read.
    #[serde(rename = "Precomputed", default, skip_deserializing)]
    pub(crate) precomputed: Option<Precomputed>,
}

/// What follows from the other numbers.
#[derive(Serialize)]
pub(crate) struct Precomputed {
    #[serde(rename = "Dp")]
    pub(crate) dp: Decimal,
    #[serde(rename = "Dq")]
    pub(crate) dq: Decimal,
    #[serde(rename = "Qinv")]
    pub(crate) coefficient: Decimal,
    #[serde(rename = "CRTValues")]
    pub(crate) others: [(); 0],
}

/// An RSA public key.
#[derive(Serialize, Deserialize)]
pub(crate) struct RsaPublic {
    #[serde(rename = "N")]
    pub(crate) modulus: Decimal,
    #[serde(rename = "E")]
    pub(crate) public_exponent: i64,
}

/// Bytes, base64 in the JSON.
pub(crate) struct Bytes(pub(crate) Zeroizing<Vec<u8>>);

/// A number of any length, wiped when dropped.
pub(crate) struct Decimal(pub(crate) BoxedUint);

fn is_zero(number: &i64) -> bool {
    *number == 0
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&Zeroizing::new(encoding::encode(&self.0)))
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Zeroizing::new(String::deserialize(deserializer)?);
        encoding::decode(&text).map(Self).map_err(|_| de::Error::custom("illegal base64"))
    }
}

impl Drop for Decimal {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl Serialize for Decimal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = self.0.to_string_radix_vartime(10);
        let raw = RawValue::from_string(text).map_err(serde::ser::Error::custom)?;
        raw.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Decimal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?.get();
        let number = raw.len() <= LONGEST_DECIMAL && raw.bytes().all(|byte| byte.is_ascii_digit());
        let parsed = number.then(|| BoxedUint::from_str_radix_vartime(raw, 10).ok()).flatten();
        parsed.map(Self).ok_or_else(|| de::Error::custom("not a number"))
    }
}

/// The number that those servers keep for a type. From 20,000 on they are ours, for types that OpenBao has not.
const NUMBERS: [(KeyType, i64); 20] = [
    (KeyType::Aes256Gcm96, 0),
    (KeyType::EcdsaP256, 1),
    (KeyType::Ed25519, 2),
    (KeyType::Rsa2048, 3),
    (KeyType::Rsa4096, 4),
    (KeyType::ChaCha20Poly1305, 5),
    (KeyType::EcdsaP384, 6),
    (KeyType::EcdsaP521, 7),
    (KeyType::Aes128Gcm96, 8),
    (KeyType::Rsa3072, 9),
    (KeyType::Hmac, 10),
    (KeyType::XChaCha20Poly1305, 11),
    (KeyType::MlDsa44, 12),
    (KeyType::MlDsa65, 13),
    (KeyType::MlDsa87, 14),
    (KeyType::Aes128Cmac, 20_000),
    (KeyType::Aes256Cmac, 20_001),
    (KeyType::MlKem512, 20_002),
    (KeyType::MlKem768, 20_003),
    (KeyType::MlKem1024, 20_004),
];

/// The number of a type; `None` for types that cannot be backed up.
pub(crate) fn number_of(key_type: KeyType) -> Option<i64> {
    NUMBERS.into_iter().find(|(known, _)| *known == key_type).map(|(_, number)| number)
}

/// The type of a number.
pub(crate) fn type_numbered(number: i64) -> Option<KeyType> {
    NUMBERS.into_iter().find(|(_, known)| *known == number).map(|(key_type, _)| key_type)
}
