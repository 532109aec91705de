//! The seal: what protects the root key, and its record in the database.

use super::{
    aead::{self, KeyBytes},
    keyring::Keyring,
};
use crate::{StoreError, wiped::to_json};
use aws_lc_rs::hmac;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use chancery_hsm::{
    Hsm, HsmError,
    envelope::{self, Envelope, EnvelopeKeys},
};
use serde::{Deserialize, Serialize};
use std::fmt;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// Names of the barrier's records.
pub(super) const SEAL: &str = "seal";
pub(super) const KEYRING: &str = "keyring";
pub(super) const ENCRYPTIONS: &str = "encryptions";
pub(super) const KEY_ENCRYPTION_KEY: &str = "key-encryption-key";

/// What protects the root key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SealKind {
    /// A key that was split into shares; people bring them.
    Shamir,
    /// A key-encryption key in the HSM; the appliance unseals itself.
    Pkcs11,
}

impl SealKind {
    /// The word used in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Shamir => "shamir",
            Self::Pkcs11 => "pkcs11",
        }
    }
}

impl fmt::Display for SealKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The seal's record: in clear, because it is read while everything is sealed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct SealRecord {
    /// Id of this installation, part of the associated data of every record of the barrier.
    pub(super) instance: String,
    /// Number of key shares, or of recovery shares.
    pub(super) shares: u8,
    /// How many of them are needed.
    pub(super) threshold: u8,
    /// The sealed root key.
    pub(super) root: SealedRoot,
}

/// The record of the key-encryption key: written as soon as the key exists, so that it is never made twice.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct KeyEncryptionKeys {
    pub(super) label: String,
    pub(super) keys: EnvelopeKeys,
}

/// The root key under the seal's key.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub(super) enum SealedRoot {
    /// AES-256-GCM under the key that the shares make; base64.
    Shamir { sealed: String },
    /// An envelope sealed by the key-encryption key in the HSM.
    Pkcs11 { label: String, envelope: Box<Envelope> },
}

impl SealRecord {
    pub(super) fn kind(&self) -> SealKind {
        match self.root {
            SealedRoot::Shamir { .. } => SealKind::Shamir,
            SealedRoot::Pkcs11 { .. } => SealKind::Pkcs11,
        }
    }

    pub(super) fn to_bytes(&self) -> Result<Vec<u8>, StoreError> {
        Ok(to_json(SEAL, self)?.to_vec())
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self, StoreError> {
        serde_json::from_slice(bytes).map_err(|_| StoreError::corrupt(SEAL))
    }

    /// The root key, if this is the key the shares were made of.
    pub(super) fn open_with(&self, unseal_key: &KeyBytes) -> Result<Option<KeyBytes>, StoreError> {
        let SealedRoot::Shamir { sealed } = &self.root else { return Err(self.other_seal()) };
        let sealed = STANDARD.decode(sealed).map_err(|_| StoreError::corrupt(SEAL))?;
        let cipher = aead::cipher(unseal_key)?;
        let Some(root) = aead::open(&cipher, &root_context(&self.instance), &sealed) else { return Ok(None) };
        root_from(&root).map(Some)
    }

    /// The root key, opened by the key-encryption key in the HSM.
    pub(super) async fn open_in(&self, hsm: &Hsm) -> Result<KeyBytes, StoreError> {
        let SealedRoot::Pkcs11 { label, envelope } = &self.root else { return Err(self.other_seal()) };
        let opened = envelope::open(hsm, envelope, &root_context(&self.instance)).await;
        let root = opened.map_err(|error| match error {
            HsmError::BadData | HsmError::AlteredSecret => StoreError::corrupt(SEAL),
            error => key_encryption_failure(label, error),
        })?;
        root_from(&root)
    }

    pub(super) fn other_seal(&self) -> StoreError {
        StoreError::OtherSeal { found: self.kind().as_str() }
    }
}

/// Says which key is missing, or in which token it is.
pub(super) fn key_encryption_failure(label: &str, error: HsmError) -> StoreError {
    match error {
        HsmError::KeyNotFound { .. } => {
            StoreError::KeyEncryptionKeyMissing { label: label.to_owned(), detail: error.to_string() }
        }
        HsmError::WrongToken { expected, found } => StoreError::OtherToken { recorded: expected, found },
        error => StoreError::Hsm(error),
    }
}

/// Seals a root key under the key that will be split into shares.
pub(super) fn seal_root(instance: &str, unseal_key: &KeyBytes, root: &KeyBytes) -> Result<SealedRoot, StoreError> {
    let mut sealed = Vec::new();
    aead::seal_onto(&mut sealed, &aead::cipher(unseal_key)?, &root_context(instance), &root[..])?;
    Ok(SealedRoot::Shamir { sealed: STANDARD.encode(sealed) })
}

/// Seals a root key under the key-encryption key in the HSM.
pub(super) async fn seal_root_in(
    hsm: &Hsm,
    instance: &str,
    keys: &KeyEncryptionKeys,
    root: &KeyBytes,
) -> Result<SealedRoot, StoreError> {
    let KeyEncryptionKeys { label, keys } = keys;
    let sealed = envelope::seal(hsm, keys, &root_context(instance), &root[..]).await;
    let envelope = sealed.map_err(|error| key_encryption_failure(label, error))?;
    Ok(SealedRoot::Pkcs11 { label: label.clone(), envelope: Box::new(envelope) })
}

fn root_from(bytes: &[u8]) -> Result<KeyBytes, StoreError> {
    let mut root = Zeroizing::new([0; aead::KEY_BYTES]);
    if bytes.len() != aead::KEY_BYTES {
        return Err(StoreError::corrupt(SEAL));
    }
    root.copy_from_slice(bytes);
    Ok(root)
}

/// What the sealed root key is bound to.
fn root_context(instance: &str) -> Vec<u8> {
    format!("chancery barrier v1 root-key {instance}").into_bytes()
}

/// Seals a record of the barrier under the root key.
pub(super) fn seal_record(
    root: &KeyBytes,
    instance: &str,
    name: &str,
    plaintext: &[u8],
) -> Result<Vec<u8>, StoreError> {
    let mut record = Vec::new();
    aead::seal_onto(&mut record, &aead::cipher(root)?, &record_context(instance, name), plaintext)?;
    Ok(record)
}

/// Opens a record of the barrier.
pub(super) fn open_record(
    root: &KeyBytes,
    instance: &str,
    name: &str,
    record: &[u8],
) -> Result<Zeroizing<Vec<u8>>, StoreError> {
    aead::open(&aead::cipher(root)?, &record_context(instance, name), record).ok_or_else(|| StoreError::corrupt(name))
}

fn record_context(instance: &str, name: &str) -> Vec<u8> {
    format!("chancery barrier v1 {name} {instance}").into_bytes()
}

/// The tag by which recovery shares are verified. It lies inside the sealed keyring: whoever can write the database
/// cannot plant a recovery key of his own.
pub(super) fn recovery_tag(recovery_key: &KeyBytes) -> Result<[u8; 32], StoreError> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, &recovery_key[..]);
    let tag = hmac::sign(&key, b"chancery recovery key v1");
    tag.as_ref().try_into().map_err(|_| StoreError::corrupt(KEYRING))
}

/// Whether this is the recovery key the keyring knows.
pub(super) fn is_recovery_key(keyring: &Keyring, key: &KeyBytes) -> Result<bool, StoreError> {
    let Some(known) = &keyring.recovery else { return Ok(false) };
    Ok(recovery_tag(key)?.ct_eq(known).into())
}
