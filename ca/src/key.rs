//! CA keys: they live in the HSM and this mount holds references to them; see `custody` for those that do not.

use crate::{error::CaError, public_key::PublicKey};
use chancery_engine::SecretString;
use chancery_hsm::{ExternalKeyName, KeyAlgorithm, KeyReference};
use serde::{Deserialize, Serialize};

/// A CA key as it is stored: with an HSM everything but the key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRecord {
    /// UUID.
    pub id: String,
    /// Name given by the operator; empty where there is none.
    pub name: String,
    /// Where the key is.
    pub reference: KeyReference,
    /// The private half (PKCS#8, base64) where no HSM keeps it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private_key: Option<SecretString>,
    /// What the operator registered the key as, where he made it (`kms`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<ExternalKeyName>,
}

impl KeyRecord {
    /// `ec`, `rsa`, `ed25519` or `mldsa`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        kind_name(self.reference.algorithm)
    }

    /// The public half.
    ///
    /// # Errors
    /// [`CaError::Corrupt`] where the reference has none.
    pub fn public_key(&self) -> Result<PublicKey, CaError> {
        let der = self.reference.public_key.as_deref().unwrap_or_default();
        PublicKey::parse(der).map_err(|error| CaError::corrupt(format!("key {}", self.id), error))
    }
}

/// `ec`, `rsa`, `ed25519` or `mldsa`.
#[must_use]
pub fn kind_name(algorithm: KeyAlgorithm) -> &'static str {
    match algorithm {
        KeyAlgorithm::EcP256 | KeyAlgorithm::EcP384 | KeyAlgorithm::EcP521 => "ec",
        KeyAlgorithm::Ed25519 => "ed25519",
        _ if algorithm.is_ml_dsa() => "mldsa",
        _ => "rsa",
    }
}

/// The algorithm that `key_type` and `key_bits` name; 0 bits are the type's usual size.
///
/// # Errors
/// [`CaError::Caller`] that names the type or the size.
pub fn algorithm(key_type: &str, key_bits: i64) -> Result<KeyAlgorithm, CaError> {
    Ok(match (key_type, key_bits) {
        ("rsa", 0 | 2048) => KeyAlgorithm::Rsa2048,
        ("rsa", 3072) => KeyAlgorithm::Rsa3072,
        ("rsa", 4096) => KeyAlgorithm::Rsa4096,
        ("ec", 0 | 256) => KeyAlgorithm::EcP256,
        ("ec", 384) => KeyAlgorithm::EcP384,
        ("ec", 521) => KeyAlgorithm::EcP521,
        ("ed25519", _) => KeyAlgorithm::Ed25519,
        ("mldsa", 0 | 44) => KeyAlgorithm::MlDsa44,
        ("mldsa", 65) => KeyAlgorithm::MlDsa65,
        ("mldsa", 87) => KeyAlgorithm::MlDsa87,
        ("rsa", bits) if bits < 2048 => {
            return Err(CaError::Caller(format!("RSA keys < 2048 bits are unsafe and not supported: got {bits}")));
        }
        ("rsa", bits) => return Err(CaError::Caller(format!("unsupported bit length for RSA key: {bits}"))),
        ("ec", bits) => return Err(CaError::Caller(format!("unsupported bit length for EC key: {bits}"))),
        ("mldsa", bits) => return Err(CaError::Caller(format!("unsupported bit length for ML-DSA key: {bits}"))),
        (other, _) => return Err(CaError::Caller(format!("unknown key type {other}"))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_and_sizes_name_algorithms() {
        assert_eq!(algorithm("ec", 0).unwrap(), KeyAlgorithm::EcP256);
        assert_eq!(algorithm("rsa", 4096).unwrap(), KeyAlgorithm::Rsa4096);
        assert_eq!(algorithm("ed25519", 123).unwrap(), KeyAlgorithm::Ed25519);
        for (kind, bits, text) in [
            ("foo", 0, "unknown key type foo"),
            ("ec", 123, "unsupported bit length for EC key: 123"),
            ("rsa", 1024, "RSA keys < 2048 bits are unsafe and not supported: got 1024"),
        ] {
            assert_eq!(algorithm(kind, bits).unwrap_err().to_string(), text);
        }
    }
}
