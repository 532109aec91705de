//! The key types and what each can do.

use crate::nonce::{LONGEST_NONCE_BYTES, NONCE_BYTES};
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
    #[serde(rename = "xchacha20-poly1305")]
    XChaCha20Poly1305,
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
    #[serde(rename = "aes128-cmac")]
    Aes128Cmac,
    #[serde(rename = "aes256-cmac")]
    Aes256Cmac,
    // OpenBao's names; `KeyType::of_parameter_set` reads Vault's.
    #[serde(rename = "mldsa-44")]
    MlDsa44,
    #[serde(rename = "mldsa-65")]
    MlDsa65,
    #[serde(rename = "mldsa-87")]
    MlDsa87,
    // Our own addition: neither Vault nor OpenBao has key encapsulation.
    #[serde(rename = "ml-kem-512")]
    MlKem512,
    #[serde(rename = "ml-kem-768")]
    MlKem768,
    #[serde(rename = "ml-kem-1024")]
    MlKem1024,
    /// A key that somebody else made in an HSM, in OpenBao's words.
    #[serde(rename = "external-key")]
    ExternalKey,
    /// The same in Vault's words.
    #[serde(rename = "managed_key")]
    ManagedKey,
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

/// Vault's name for all of ML-DSA.
pub(crate) const ML_DSA: &str = "ml-dsa";

const ALL: [KeyType; 22] = [
    KeyType::Aes128Gcm96,
    KeyType::Aes256Gcm96,
    KeyType::ChaCha20Poly1305,
    KeyType::XChaCha20Poly1305,
    KeyType::EcdsaP256,
    KeyType::EcdsaP384,
    KeyType::EcdsaP521,
    KeyType::Ed25519,
    KeyType::Rsa2048,
    KeyType::Rsa3072,
    KeyType::Rsa4096,
    KeyType::Hmac,
    KeyType::Aes128Cmac,
    KeyType::Aes256Cmac,
    KeyType::MlDsa44,
    KeyType::MlDsa65,
    KeyType::MlDsa87,
    KeyType::MlKem512,
    KeyType::MlKem768,
    KeyType::MlKem1024,
    KeyType::ExternalKey,
    KeyType::ManagedKey,
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
            Self::XChaCha20Poly1305 => "xchacha20-poly1305",
            Self::EcdsaP256 => "ecdsa-p256",
            Self::EcdsaP384 => "ecdsa-p384",
            Self::EcdsaP521 => "ecdsa-p521",
            Self::Ed25519 => "ed25519",
            Self::Rsa2048 => "rsa-2048",
            Self::Rsa3072 => "rsa-3072",
            Self::Rsa4096 => "rsa-4096",
            Self::Hmac => "hmac",
            Self::Aes128Cmac => "aes128-cmac",
            Self::Aes256Cmac => "aes256-cmac",
            Self::MlDsa44 => "mldsa-44",
            Self::MlDsa65 => "mldsa-65",
            Self::MlDsa87 => "mldsa-87",
            Self::MlKem512 => "ml-kem-512",
            Self::MlKem768 => "ml-kem-768",
            Self::MlKem1024 => "ml-kem-1024",
            Self::ExternalKey => "external-key",
            Self::ManagedKey => "managed_key",
        }
    }

    /// The type that Vault names by two parameters, `type=ml-dsa` and `parameter_set=44|65|87`.
    pub(crate) fn of_parameter_set(name: &str, set: &str) -> Option<Self> {
        match (name, set) {
            (ML_DSA, "44") => Some(Self::MlDsa44),
            (ML_DSA, "65") => Some(Self::MlDsa65),
            (ML_DSA, "87") => Some(Self::MlDsa87),
            _ => None,
        }
    }

    /// Vault's `parameter_set` of this type.
    pub(crate) fn parameter_set(self) -> Option<&'static str> {
        match self {
            Self::MlDsa44 => Some("44"),
            Self::MlDsa65 => Some("65"),
            Self::MlDsa87 => Some("87"),
            _ => None,
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
        matches!(self, Self::Aes128Gcm96 | Self::Aes256Gcm96 | Self::ChaCha20Poly1305 | Self::XChaCha20Poly1305)
    }

    /// Whether a version may encrypt only so many messages, because their nonces are random and short (`usage.rs`).
    pub(crate) fn has_message_limit(self) -> bool {
        matches!(self, Self::Aes128Gcm96 | Self::Aes256Gcm96 | Self::ChaCha20Poly1305)
    }

    pub(crate) fn is_rsa(self) -> bool {
        matches!(self, Self::Rsa2048 | Self::Rsa3072 | Self::Rsa4096)
    }

    pub(crate) fn is_ecdsa(self) -> bool {
        matches!(self, Self::EcdsaP256 | Self::EcdsaP384 | Self::EcdsaP521)
    }

    pub(crate) fn is_ml_dsa(self) -> bool {
        matches!(self, Self::MlDsa44 | Self::MlDsa65 | Self::MlDsa87)
    }

    pub(crate) fn is_ml_kem(self) -> bool {
        matches!(self, Self::MlKem512 | Self::MlKem768 | Self::MlKem1024)
    }

    pub(crate) fn is_cmac(self) -> bool {
        matches!(self, Self::Aes128Cmac | Self::Aes256Cmac)
    }

    /// Every version has an HMAC key beside its own.
    pub(crate) fn has_own_mac_key(self) -> bool {
        self != Self::Hmac && !self.is_cmac()
    }

    /// Made by somebody else; what it can do is told by the key behind each version.
    pub(crate) fn is_external(self) -> bool {
        matches!(self, Self::ExternalKey | Self::ManagedKey)
    }

    /// Has a public half.
    pub(crate) fn is_asymmetric(self) -> bool {
        (self.supports_signing() && !self.is_external()) || self.is_ml_kem()
    }

    pub(crate) fn supports_encryption(self) -> bool {
        self.is_aead() || self.is_rsa() || self.is_ml_kem() || self.is_external()
    }

    pub(crate) fn supports_signing(self) -> bool {
        self.is_rsa() || self.is_ecdsa() || self == Self::Ed25519 || self.is_ml_dsa() || self.is_external()
    }

    /// Ciphertexts carry associated data.
    pub(crate) fn takes_associated_data(self) -> bool {
        self.is_aead() || self.is_ml_kem() || self.is_external()
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
            Self::Aes128Gcm96 | Self::Aes128Cmac => Some(16),
            Self::Aes256Gcm96 | Self::ChaCha20Poly1305 | Self::XChaCha20Poly1305 | Self::Aes256Cmac => Some(32),
            _ => None,
        }
    }

    /// Bytes of the nonce before the ciphertext of a cipher.
    pub(crate) fn nonce_bytes(self) -> usize {
        if self == Self::XChaCha20Poly1305 { LONGEST_NONCE_BYTES } else { NONCE_BYTES }
    }

    /// The HSM's word for this type; `None` where the HSM makes no such key.
    pub(crate) fn hsm_algorithm(self) -> Option<KeyAlgorithm> {
        Some(match self {
            Self::Aes128Gcm96 => KeyAlgorithm::Aes128,
            Self::Aes256Gcm96 => KeyAlgorithm::Aes256,
            Self::EcdsaP256 => KeyAlgorithm::EcP256,
            Self::EcdsaP384 => KeyAlgorithm::EcP384,
            Self::EcdsaP521 => KeyAlgorithm::EcP521,
            Self::Ed25519 => KeyAlgorithm::Ed25519,
            Self::Rsa2048 => KeyAlgorithm::Rsa2048,
            Self::Rsa3072 => KeyAlgorithm::Rsa3072,
            Self::Rsa4096 => KeyAlgorithm::Rsa4096,
            Self::Hmac => KeyAlgorithm::Hmac,
            _ => return None,
        })
    }

    /// What a token would have to offer for this type, where the HSM makes no such key.
    pub(crate) fn missing_mechanism(self) -> &'static str {
        match self {
            Self::ChaCha20Poly1305 => "CKM_CHACHA20_POLY1305",
            Self::XChaCha20Poly1305 => "XChaCha20-Poly1305",
            Self::Aes128Cmac | Self::Aes256Cmac => "CKM_AES_CMAC",
            Self::MlDsa44 | Self::MlDsa65 | Self::MlDsa87 => "CKM_ML_DSA",
            Self::MlKem512 | Self::MlKem768 | Self::MlKem1024 => "CKM_ML_KEM",
            other => other.name(),
        }
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
