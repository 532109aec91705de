//! Keys that others made or named: found by `CKA_ID` or `CKA_LABEL`, never renamed, never destroyed by us.
//!
//! An operator registers such a key under a name (`sys/external-keys`, `sys/managed-keys`); engines know only that name
//! and ask an [`ExternalKeys`] for the key behind it, which also says whether their mount may use it. The registry itself
//! is the server's: engines see this trait and nothing else.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::{Hsm, HsmError, KeyAlgorithm, KeyId, KeyReference, RsaPadding, command::wire_aad};

/// Who named a key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// We made it and chose its `CKA_ID`.
    #[default]
    Own,
    /// Somebody else did. Where the `CKA_ID` does not suffice to find it, its label is part of the search.
    Foreign {
        /// `CKA_LABEL`, where it is needed to find the key.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        label: Option<String>,
    },
}

impl Origin {
    pub(crate) fn is_own(&self) -> bool {
        *self == Self::Own
    }

    pub(crate) fn label(&self) -> Option<&str> {
        match self {
            Self::Own => None,
            Self::Foreign { label } => label.as_deref(),
        }
    }

    /// Associated data as it travels to the token. Ours begins with a byte of our own (see [`wire_aad`]); a key that
    /// others use too must read and write what they do.
    pub(crate) fn wire_aad(&self, aad: &[u8]) -> Vec<u8> {
        if self.is_own() { wire_aad(aad) } else { aad.to_vec() }
    }
}

/// What an operator knows of a key: at least one of the two.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeySearch {
    /// `CKA_ID`.
    pub id: Option<KeyId>,
    /// `CKA_LABEL`.
    pub label: Option<String>,
}

impl KeySearch {
    pub(crate) fn check(&self) -> Result<(), HsmError> {
        let is_empty = self.id.as_ref().is_none_or(|id| id.as_bytes().is_empty())
            && self.label.as_deref().is_none_or(str::is_empty);
        if is_empty {
            return Err(HsmError::invalid("a key is found by its id or its label; neither was given"));
        }
        // The appliance's own keys are not for hire: the key-encryption key would unseal it, a CA's would sign anything.
        if self.label.as_deref().is_some_and(is_reserved) {
            return Err(reserved());
        }
        Ok(())
    }
}

impl fmt::Display for KeySearch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.id, &self.label) {
            (Some(id), Some(label)) => write!(f, "a key with id {id} and label {label:?}"),
            (Some(id), None) => write!(f, "a key with id {id}"),
            (None, label) => write!(f, "a key with label {:?}", label.as_deref().unwrap_or_default()),
        }
    }
}

/// Whether a label marks one of the appliance's own keys.
pub(crate) fn is_reserved(label: &str) -> bool {
    label.starts_with(crate::LABEL_PREFIX)
}

pub(crate) fn reserved() -> HsmError {
    HsmError::invalid(format!("keys whose label starts with {:?} are the appliance's own", crate::LABEL_PREFIX))
}

/// A registered key, ready for use.
#[derive(Clone, Debug)]
pub struct ExternalKey {
    /// Where it lives.
    pub hsm: Hsm,
    /// Which it is.
    pub key: KeyReference,
    /// How RSA texts are padded with it.
    pub padding: RsaPadding,
    /// The mechanism the operator meant it for, where he said so; decides what happens where a request does not say.
    pub mechanism: Option<Mechanism>,
}

/// The mechanisms a registration can bind a key to (PKCS#11 §6), by the names and numbers of the standard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mechanism {
    /// `CKM_RSA_PKCS`: signatures and decryption with PKCS#1 v1.5 padding.
    #[serde(rename = "CKM_RSA_PKCS")]
    RsaPkcs,
    /// `CKM_RSA_PKCS_OAEP`
    #[serde(rename = "CKM_RSA_PKCS_OAEP")]
    RsaOaep,
    /// `CKM_RSA_PKCS_PSS`
    #[serde(rename = "CKM_RSA_PKCS_PSS")]
    RsaPss,
    /// `CKM_ECDSA`
    #[serde(rename = "CKM_ECDSA")]
    Ecdsa,
    /// `CKM_EDDSA`
    #[serde(rename = "CKM_EDDSA")]
    Eddsa,
    /// `CKM_AES_GCM`
    #[serde(rename = "CKM_AES_GCM")]
    AesGcm,
    /// `CKM_SHA256_HMAC`
    #[serde(rename = "CKM_SHA256_HMAC")]
    HmacSha256,
}

const MECHANISMS: [(Mechanism, &str, u64); 7] = [
    (Mechanism::RsaPkcs, "CKM_RSA_PKCS", 0x0001),
    (Mechanism::RsaOaep, "CKM_RSA_PKCS_OAEP", 0x0009),
    (Mechanism::RsaPss, "CKM_RSA_PKCS_PSS", 0x000d),
    (Mechanism::Ecdsa, "CKM_ECDSA", 0x1041),
    (Mechanism::Eddsa, "CKM_EDDSA", 0x1057),
    (Mechanism::AesGcm, "CKM_AES_GCM", 0x1087),
    (Mechanism::HmacSha256, "CKM_SHA256_HMAC", 0x0251),
];

impl Mechanism {
    /// The mechanism of that name (`CKM_AES_GCM`, `AES_GCM`) or number (`0x1087`, `4231`).
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let number = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
            Some(digits) => u64::from_str_radix(digits, 16).ok(),
            None => text.parse().ok(),
        };
        let wanted = text.to_ascii_uppercase();
        let wanted = wanted.strip_prefix("CKM_").unwrap_or(&wanted);
        MECHANISMS
            .iter()
            .find(|(_, name, code)| number == Some(*code) || name.strip_prefix("CKM_") == Some(wanted))
            .map(|(mechanism, ..)| *mechanism)
    }

    /// `CKM_…`
    #[must_use]
    pub fn name(self) -> &'static str {
        MECHANISMS.iter().find(|(known, ..)| *known == self).map_or("", |(_, name, _)| name)
    }

    /// Whether keys of this kind can be used with it.
    #[must_use]
    pub fn fits(self, algorithm: KeyAlgorithm) -> bool {
        match self {
            Self::RsaPkcs | Self::RsaOaep | Self::RsaPss => algorithm.is_rsa(),
            Self::Ecdsa => algorithm.field_bytes().is_some(),
            Self::Eddsa => algorithm == KeyAlgorithm::Ed25519,
            Self::AesGcm => matches!(algorithm, KeyAlgorithm::Aes128 | KeyAlgorithm::Aes256),
            Self::HmacSha256 => algorithm == KeyAlgorithm::Hmac,
        }
    }

    /// The number of the standard.
    #[must_use]
    pub fn code(self) -> u64 {
        MECHANISMS.iter().find(|(known, ..)| *known == self).map_or(0, |(.., code)| *code)
    }
}

/// Why a registered key cannot be had.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExternalKeyError {
    /// The reference, the registration or the mount's rights are not as they should be; the text says what to mend.
    #[error("{0}")]
    Refused(String),
    /// The token.
    #[error(transparent)]
    Hsm(#[from] HsmError),
    /// The store, or something else behind the registry. The text is for the log.
    #[error("{0}")]
    Unavailable(String),
}

/// How an engine names a registered key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExternalKeyName {
    /// `config:key`, as `external_key_ref` gives it.
    Reference(String),
    /// The name of a managed key.
    Managed(String),
    /// The UUID of a managed key.
    ManagedId(String),
}

/// The registered keys as one mount may use them.
#[async_trait]
pub trait ExternalKeys: Send + Sync {
    /// The key behind a name. Found, compared and allowed; what can be answered from memory is.
    ///
    /// # Errors
    /// [`ExternalKeyError::Refused`] in the reference's words where there is no such key or no grant.
    async fn resolve(&self, name: &ExternalKeyName) -> Result<Arc<ExternalKey>, ExternalKeyError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mechanisms_go_by_name_and_number() {
        for text in ["CKM_AES_GCM", "aes_gcm", "0x1087", "4231"] {
            assert_eq!(Mechanism::parse(text), Some(Mechanism::AesGcm), "{text}");
        }
        assert_eq!(Mechanism::parse("0x1"), Some(Mechanism::RsaPkcs));
        for text in ["", "CKM_", "0x", "0x1088", "-1", "CKM_CKM_AES_GCM"] {
            assert_eq!(Mechanism::parse(text), None, "{text}");
        }
        assert_eq!((Mechanism::RsaPss.name(), Mechanism::RsaPss.code()), ("CKM_RSA_PKCS_PSS", 13));
    }

    #[test]
    fn the_appliances_own_keys_cannot_be_searched() {
        let label = |label: &str| KeySearch { id: None, label: Some(label.to_owned()) };
        assert!(label("chancery/kek/main").check().unwrap_err().is_caller_fault());
        assert!(label("").check().is_err() && KeySearch::default().check().is_err());
        label("payments").check().unwrap();
    }

    #[test]
    fn foreign_keys_get_associated_data_as_it_is() {
        assert_eq!(Origin::Foreign { label: None }.wire_aad(b"x"), b"x");
        assert_eq!(Origin::Own.wire_aad(b"x").len(), 2);
    }
}
