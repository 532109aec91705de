//! What can go wrong in this engine, by whose fault it is.

use crate::{lint::LintFailure, names::host::InvalidLabel, public_key::PublicKeyError};
use chancery_engine::Fault;
use chancery_hsm::HsmError;
use chancery_store::StoreError;
use std::time::Duration;

/// Failure of a request to this engine.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    /// The request is wrong; the text says how.
    #[error("{0}")]
    Caller(String),
    /// What the request refers to is not there; the text says what.
    #[error("{0}")]
    Missing(String),
    /// There is nothing at this place.
    #[error("not found")]
    Absent,
    /// The certificate would not have been sound. Nothing was signed.
    #[error("certificate not issued: {0}")]
    Lint(#[from] LintFailure),
    /// A stored record does not parse.
    #[error("stored {place} does not parse: {detail}")]
    Corrupt {
        /// Which record.
        place: String,
        /// What the parser said.
        detail: String,
    },
    /// Something we encode ourselves did not encode.
    #[error("{0}")]
    Encoding(#[from] der::Error),
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

impl CaError {
    /// A caller's mistake.
    #[must_use]
    pub fn caller(text: &str) -> Self {
        Self::Caller(text.to_owned())
    }

    /// The same where what is missing is named by a parameter, not by the path.
    #[must_use]
    pub fn in_parameter(self) -> Self {
        match self {
            Self::Missing(text) => Self::Caller(text),
            other => other,
        }
    }

    pub(crate) fn corrupt(place: impl Into<String>, detail: impl std::fmt::Display) -> Self {
        Self::Corrupt { place: place.into(), detail: detail.to_string() }
    }
}

impl From<InvalidLabel> for CaError {
    fn from(error: InvalidLabel) -> Self {
        Self::Caller(error.to_string())
    }
}

impl From<PublicKeyError> for CaError {
    fn from(error: PublicKeyError) -> Self {
        match error {
            PublicKeyError::SmallModulus => Self::Caller(error.to_string()),
            _ => Self::Caller(format!("certificate request could not be parsed: {error}")),
        }
    }
}

impl From<CaError> for Fault {
    fn from(error: CaError) -> Self {
        let text = error.to_string();
        match error {
            CaError::Caller(_) | CaError::Lint(_) => Self::Caller(text),
            CaError::Missing(_) => Self::NotFound(text),
            CaError::Absent => Self::Absent,
            CaError::Corrupt { .. } | CaError::Encoding(_) | CaError::Task(_) => Self::Bug(text),
            CaError::Hsm(error) => from_hsm(&error),
            CaError::Store(StoreError::Sealed) => Self::Sealed,
            CaError::Store(error) if error.is_temporary() => Self::Busy { retry_after: Duration::from_secs(1) },
            CaError::Store(StoreError::Hsm(error)) => from_hsm(&error),
            CaError::Store(_) => Self::Dependency(text),
            CaError::Fault(fault) => fault,
        }
    }
}

fn from_hsm(error: &HsmError) -> Fault {
    // A token that is away comes back, or an operator brings it back; the request is as good as it was.
    if error.is_busy() || error.is_unavailable() {
        Fault::Busy { retry_after: Duration::from_secs(1) }
    } else if error.is_caller_fault() {
        Fault::Caller(error.to_string())
    } else {
        Fault::Dependency(error.to_string())
    }
}
