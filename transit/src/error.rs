//! What can go wrong with a named key, and whose fault it is.
//!
//! The texts are the ones clients of Vault and OpenBao know. Where those servers answer 500 to a caller's mistake
//! (a bad associated data, a signature with a version that does not exist), this engine keeps the text and answers 400.

use chancery_engine::Fault;
use chancery_hsm::HsmError;
use chancery_store::StoreError;
use std::time::Duration;

/// Failure of a transit operation. No variant carries a key, a plaintext or any other input.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TransitError {
    #[error("encryption key not found")]
    EncryptionKeyNotFound,
    #[error("{0}")]
    Caller(String),
    #[error("refusing to use soft-deleted key")]
    SoftDeleted,
    #[error("illegal base64 data at input byte {0}")]
    IllegalBase64(usize),
    #[error("unable to decode input as base64: illegal base64 data at input byte {0}")]
    InputNotBase64(usize),
    #[error("failed to base64-decode context")]
    ContextNotBase64,
    #[error("unable to get associated_data/additional_data from factory[0]: illegal base64 data at input byte {0}")]
    AssociatedDataNotBase64(usize),
    #[error("{place}associated_data' provided for non-AEAD cipher suite {key_type}")]
    AssociatedDataWithoutAead { place: String, key_type: &'static str },
    #[error(
        "missing 'context' for key derivation; the key was created using a derived key, which means additional, per-request information must be included in order to perform operations with the key"
    )]
    MissingContext,
    #[error("error deriving key: {}", Self::MissingContext)]
    MissingContextForSignature,
    #[error("missing plaintext to encrypt")]
    MissingPlaintext,
    #[error("missing ciphertext to decrypt")]
    MissingCiphertext,
    #[error("{thing}: {what}")]
    InvalidEnvelope { thing: &'static str, what: &'static str },
    #[error("invalid ciphertext: could not decode base64")]
    CiphertextNotBase64,
    #[error("invalid ciphertext length")]
    CiphertextLength,
    #[error("cipher: message authentication failed")]
    Unauthentic,
    #[error("ciphertext or signature version is disallowed by policy (too old)")]
    VersionTooOld,
    #[error("requested version for {0} is negative")]
    VersionNegative(&'static str),
    #[error("requested version for {0} is higher than the latest key version")]
    VersionTooHigh(&'static str),
    #[error("requested version for {0} is less than the minimum encryption key version")]
    VersionBelowMinimum(&'static str),
    #[error(
        "this key version uses convergent encryption of version {0}, which is read but not written; rotate the key"
    )]
    ConvergentReadOnly(i8),
    #[error("requested version for {0} does not contain a private part")]
    NoPrivateHalf(&'static str),
    #[error("no such key version")]
    NoSuchVersion,
    #[error("failed to RSA decrypt the ciphertext: crypto/rsa: decryption error")]
    RsaDecryption,
    #[error("failed to RSA encrypt the plaintext: crypto/rsa: message too long for RSA key size")]
    RsaTooLong,
    #[error("{operation} not supported for key type {key_type}")]
    TypeCannot { operation: &'static str, key_type: &'static str },
    #[error("key type {key_type} does not support {operation}")]
    TypeDoesNot { operation: &'static str, key_type: &'static str },
    #[error(
        "this key version has made 2^32 encryptions, the most its cipher allows with random nonces; rotate the key"
    )]
    Exhausted,
    /// No encryption of the version is reserved: never seen by a caller unless the store cannot keep up.
    #[error("no encryption is reserved")]
    Unreserved,
    /// The version exists but is not in memory: never seen by a caller unless the cache cannot keep up.
    #[error("the key version is not loaded")]
    NotLoaded,
    #[error("the key lives in an HSM, and this appliance runs without one")]
    NoHsm,
    #[error("the random source failed")]
    Random,
    #[error("aws-lc: {0}")]
    Crypto(&'static str),
    #[error("{0}")]
    Bug(&'static str),
    /// A registered key that this mount cannot have, and why.
    #[error("{place}failed to fetch external key: {why}")]
    ExternalKey { place: &'static str, why: String },
    #[error("{0}")]
    Registry(String),
    #[error(transparent)]
    Hsm(HsmError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl TransitError {
    /// A caller's mistake told by `text`.
    pub(crate) fn caller(text: impl Into<String>) -> Self {
        Self::Caller(text.into())
    }

    /// Whether the caller can mend it; everything else is ours or the environment's.
    pub(crate) fn is_callers(&self) -> bool {
        match self {
            Self::NoHsm | Self::Random | Self::Crypto(_) | Self::Bug(_) | Self::Registry(_) | Self::Store(_) => false,
            Self::Unreserved | Self::NotLoaded => false,
            Self::Hsm(error) => error.is_caller_fault(),
            _ => true,
        }
    }

    /// Whether the work lacked what the store has; see `Transit::supplied`.
    pub(crate) fn is_lacking(&self) -> bool {
        matches!(self, Self::NotLoaded | Self::Unreserved)
    }

    /// What an item of a batch may say of it: internal detail stays in the log.
    pub(crate) fn item_text(&self) -> String {
        match self {
            Self::Random | Self::Crypto(_) | Self::Bug(_) | Self::Registry(_) | Self::Store(_) => {
                "internal error".to_owned()
            }
            Self::Hsm(error) if !error.is_caller_fault() && !error.is_busy() => "the HSM failed".to_owned(),
            told => told.to_string(),
        }
    }

    /// The same failure, told the way the endpoints tell it that use a key.
    pub(crate) fn in_factory(self, place: &'static str) -> Self {
        match self {
            Self::ExternalKey { why, .. } => Self::ExternalKey { place, why },
            other => other,
        }
    }

    /// The same mistake, told the way endpoints tell it whose member is called `input`.
    pub(crate) fn in_input(self) -> Self {
        match self {
            Self::IllegalBase64(at) => Self::InputNotBase64(at),
            other => other,
        }
    }
}

impl From<HsmError> for TransitError {
    fn from(error: HsmError) -> Self {
        Self::Hsm(error)
    }
}

impl From<TransitError> for Fault {
    fn from(error: TransitError) -> Self {
        let text = error.to_string();
        match error {
            TransitError::Store(StoreError::Sealed) => Self::Sealed,
            TransitError::Store(error) if error.is_temporary() => Self::Busy { retry_after: Duration::from_secs(1) },
            TransitError::Hsm(error) if error.is_busy() => Self::Busy { retry_after: Duration::from_secs(1) },
            TransitError::Unreserved | TransitError::NotLoaded => Self::Busy { retry_after: Duration::from_secs(1) },
            TransitError::Bug(_) => Self::Bug(text),
            error if error.is_callers() => Self::Caller(text),
            _ => Self::Dependency(text),
        }
    }
}

/// Bounds of a batch's label: what went wrong in it, all items taken together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Failures {
    pub(crate) by_caller: bool,
    pub(crate) internal: bool,
    pub(crate) succeeded: bool,
    /// An item met a version that is not loaded or has nothing reserved: the batch is to be run again.
    pub(crate) lacking: bool,
}

impl Failures {
    /// Takes note of one item.
    pub(crate) fn note<T>(&mut self, outcome: &Result<T, TransitError>) {
        match outcome {
            Ok(_) => self.succeeded = true,
            Err(error) if error.is_lacking() => self.lacking = true,
            // Told in the item, and the answer stays a 200, as OpenBao's does.
            Err(TransitError::AssociatedDataWithoutAead { .. }) => {}
            Err(error) if error.is_callers() => self.by_caller = true,
            Err(_) => self.internal = true,
        }
    }

    /// Fails where the batch is to be run again.
    pub(crate) fn complete(self) -> Result<Self, TransitError> {
        if self.lacking { Err(TransitError::NotLoaded) } else { Ok(self) }
    }

    /// Takes over what another part of the batch noted.
    pub(crate) fn join(&mut self, other: Self) {
        self.by_caller |= other.by_caller;
        self.internal |= other.internal;
        self.succeeded |= other.succeeded;
        self.lacking |= other.lacking;
    }
}
