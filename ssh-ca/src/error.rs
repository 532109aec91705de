//! What can go wrong in this engine, by whose fault it is.

use crate::public_key::PublicKeyError;
use chancery_engine::Fault;
use chancery_hsm::HsmError;
use chancery_store::StoreError;
use std::time::Duration;

/// Failure of a request to this engine.
#[derive(Debug, thiserror::Error)]
pub enum SshError {
    /// The request is wrong; the text says how.
    #[error("{0}")]
    Caller(String),
    /// Refused to a caller who has no token: a renewal whose proof does not hold.
    #[error("{0}")]
    Refused(String),
    /// There is nothing at this place.
    #[error("not found")]
    Absent,
    /// The certificate that was encoded does not say what was approved. Nothing was signed.
    #[error("certificate not issued: {0}")]
    Lint(&'static str),
    /// A stored record does not parse.
    #[error("stored {place} does not parse: {detail}")]
    Corrupt {
        /// Which record.
        place: String,
        /// What the parser said.
        detail: String,
    },
    /// Something of ours did not encode.
    #[error("{0}")]
    Encoding(String),
    /// The HSM failed.
    #[error(transparent)]
    Hsm(#[from] HsmError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A task of ours ended without an answer.
    #[error("{0}")]
    Task(#[from] tokio::task::JoinError),
    /// The contract crate refused something.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl SshError {
    /// A caller's mistake.
    #[must_use]
    pub fn caller(text: impl Into<String>) -> Self {
        Self::Caller(text.into())
    }

    pub(crate) fn corrupt(place: impl Into<String>, detail: impl std::fmt::Display) -> Self {
        Self::Corrupt { place: place.into(), detail: detail.to_string() }
    }
}

impl From<PublicKeyError> for SshError {
    fn from(error: PublicKeyError) -> Self {
        Self::Caller(format!("failed to parse public_key as SSH key: {error}"))
    }
}

impl From<der::Error> for SshError {
    fn from(error: der::Error) -> Self {
        Self::Encoding(error.to_string())
    }
}

impl From<SshError> for Fault {
    fn from(error: SshError) -> Self {
        let text = error.to_string();
        match error {
            SshError::Caller(_) => Self::Caller(text),
            SshError::Refused(_) => Self::Refused(text),
            SshError::Absent => Self::Absent,
            SshError::Lint(_) | SshError::Corrupt { .. } | SshError::Encoding(_) | SshError::Task(_) => Self::Bug(text),
            SshError::Hsm(error) => from_hsm(&error),
            SshError::Store(StoreError::Sealed) => Self::Sealed,
            SshError::Store(StoreError::Hsm(error)) => from_hsm(&error),
            SshError::Store(error) if error.is_temporary() => Self::Busy { retry_after: Duration::from_secs(1) },
            SshError::Store(_) => Self::Dependency(text),
            SshError::Fault(fault) => fault,
        }
    }
}

fn from_hsm(error: &HsmError) -> Fault {
    if error.is_busy() {
        Fault::Busy { retry_after: Duration::from_secs(1) }
    } else if error.is_caller_fault() {
        Fault::Caller(error.to_string())
    } else {
        Fault::Dependency(error.to_string())
    }
}
