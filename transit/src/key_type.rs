//! The key types and what each can do (`vault-api.md` §1.2).

use chancery_hsm::{KeyAlgorithm, KeyPurpose};
use serde::{Deserialize, Serialize};

/// Type of a named key, spelled as the wire spells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum KeyType {
    #[serde(rename = "aes128-gcm96")]
    Aes128Gcm96,
    #[serde(rename = "aes256-gcm96")]
    Aes256Gcm96,
    #[serde(rename = "chacha20-poly1305")]
    ChaCha20Poly1305,
    #[serde(rename = "ecdsa-p256")]
    EcdsaP256,
    #[serde(rename = "ecdsa-p384")]
    EcdsaP384,
    #[serde(rename = "ecdsa-p521")]
    EcdsaP521,
    #[serde(rename = "ed25519")]
    Ed25519,
    #[serde(rename = "rsa-2048")]
    Rsa2048,
    #[serde(rename = "rsa-3072")]
    Rsa3072,
    #[serde(rename = "rsa-4096")]
    Rsa4096,
    #[serde(rename = "hmac")]
    Hmac,
}

/// Where the key's secret half lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Protection {
    /// Sealed in the store, used in process at memory speed.
    #[default]
    Software,
    /// In the token, non-extractable, used through it.
    Hsm,
}

const ALL: [KeyType; 11] = [
    KeyType::Aes128Gcm96,
    KeyType::Aes256Gcm96,
    KeyType::ChaCha20Poly1305,
    KeyType::EcdsaP256,
    KeyType::EcdsaP384,
    KeyType::EcdsaP521,
    KeyType::Ed25519,
    KeyType::Rsa2048,
    KeyType::Rsa3072,
    KeyType::Rsa4096,
    KeyType::Hmac,
];

impl KeyType {
    /// The type of that name; `None` for names nobody knows.
    pub(crate) fn named(name: &str) -> Option<Self> {
        ALL.into_iter().find(|known| known.name() == name)
    }

    /// The wire's name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Aes128Gcm96 => "aes128-gcm96",
            Self::Aes256Gcm96 => "aes256-gcm96",
            Self::ChaCha20Poly1305 => "chacha20-poly1305",
            Self::EcdsaP256 => "ecdsa-p256",
            Self::EcdsaP384 => "ecdsa-p384",
            Self::EcdsaP521 => "ecdsa-p521",
            Self::Ed25519 => "ed25519",
            Self::Rsa2048 => "rsa-2048",
            Self::Rsa3072 => "rsa-3072",
            Self::Rsa4096 => "rsa-4096",
            Self::Hmac => "hmac",
        }
    }

    /// The name that `keys[n].name` shows for an asymmetric type.
    pub(crate) fn curve_or_size(self) -> &'static str {
        match self {
            Self::EcdsaP256 => "P-256",
            Self::EcdsaP384 => "P-384",
            Self::EcdsaP521 => "P-521",
            other => other.name(),
        }
    }

    /// Authenticated encryption with a symmetric key.
    pub(crate) fn is_aead(self) -> bool {
        matches!(self, Self::Aes128Gcm96 | Self::Aes256Gcm96 | Self::ChaCha20Poly1305)
    }

    pub(crate) fn is_rsa(self) -> bool {
        matches!(self, Self::Rsa2048 | Self::Rsa3072 | Self::Rsa4096)
    }

    pub(crate) fn is_ecdsa(self) -> bool {
        matches!(self, Self::EcdsaP256 | Self::EcdsaP384 | Self::EcdsaP521)
    }

    /// Has a public half.
    pub(crate) fn is_asymmetric(self) -> bool {
        self.is_rsa() || self.is_ecdsa() || self == Self::Ed25519
    }

    pub(crate) fn supports_encryption(self) -> bool {
        self.is_aead() || self.is_rsa()
    }

    pub(crate) fn supports_signing(self) -> bool {
        self.is_asymmetric()
    }

    /// Keys of this type may be derived per context.
    pub(crate) fn supports_derivation(self) -> bool {
        self.is_aead() || self == Self::Ed25519
    }

    /// Bytes of one ECDSA field element; the width of r and s in a JWS signature (RFC 7518 §3.4).
    pub(crate) fn ecdsa_field_bytes(self) -> Option<usize> {
        match self {
            Self::EcdsaP256 => Some(32),
            Self::EcdsaP384 => Some(48),
            Self::EcdsaP521 => Some(66),
            _ => None,
        }
    }

    /// Bytes of a symmetric key; `None` where the size is not fixed or the key has two halves.
    pub(crate) fn symmetric_bytes(self) -> Option<usize> {
        match self {
            Self::Aes128Gcm96 => Some(16),
            Self::Aes256Gcm96 | Self::ChaCha20Poly1305 => Some(32),
            _ => None,
        }
    }

    /// The HSM's word for this type; `None` where PKCS#11 tokens have no such key (ChaCha20-Poly1305).
    pub(crate) fn hsm_algorithm(self) -> Option<KeyAlgorithm> {
        Some(match self {
            Self::Aes128Gcm96 => KeyAlgorithm::Aes128,
            Self::Aes256Gcm96 => KeyAlgorithm::Aes256,
            Self::ChaCha20Poly1305 => return None,
            Self::EcdsaP256 => KeyAlgorithm::EcP256,
            Self::EcdsaP384 => KeyAlgorithm::EcP384,
            Self::EcdsaP521 => KeyAlgorithm::EcP521,
            Self::Ed25519 => KeyAlgorithm::Ed25519,
            Self::Rsa2048 => KeyAlgorithm::Rsa2048,
            Self::Rsa3072 => KeyAlgorithm::Rsa3072,
            Self::Rsa4096 => KeyAlgorithm::Rsa4096,
            Self::Hmac => KeyAlgorithm::Hmac,
        })
    }

    /// What the object in the token is for.
    pub(crate) fn hsm_purpose(self) -> KeyPurpose {
        match self {
            Self::Hmac => KeyPurpose::Mac,
            other if other.is_aead() => KeyPurpose::Encrypt,
            other if other.is_rsa() => KeyPurpose::SignAndDecrypt,
            _ => KeyPurpose::Sign,
        }
    }
}

impl Protection {
    /// The protection of that name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name {
            "" | "software" => Some(Self::Software),
            "hsm" => Some(Self::Hsm),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_on_the_wire_and_in_storage_are_the_same() {
        for key_type in ALL {
            assert_eq!(serde_json::to_string(&key_type).unwrap(), format!("{:?}", key_type.name()));
            assert_eq!(KeyType::named(key_type.name()), Some(key_type));
        }
        assert_eq!(KeyType::named("AES256-GCM96"), None);
    }
}
