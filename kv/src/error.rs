//! What can go wrong in the key-value engine.

use chancery_engine::Fault;
use chancery_store::StoreError;

/// Failure of the key-value engine.
#[derive(Debug, thiserror::Error)]
pub enum KvError {
    /// The request is wrong; the text is Vault's.
    #[error("{0}")]
    Request(String),
    /// There is nothing at this place.
    #[error("not found")]
    Absent,
    /// Storage failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A value did not serialise.
    #[error("value does not serialise: {0}")]
    Serialise(#[from] serde_json::Error),
}

impl KvError {
    pub(crate) fn request(text: impl Into<String>) -> Self {
        Self::Request(text.into())
    }
}

impl From<KvError> for Fault {
    fn from(error: KvError) -> Self {
        match error {
            KvError::Request(text) => Self::Caller(text),
            KvError::Absent => Self::Absent,
            KvError::Store(StoreError::Sealed) => Self::Sealed,
            KvError::Store(StoreError::InvalidKey) => Self::caller("invalid path"),
            KvError::Store(error) if error.is_temporary() => {
                Self::Busy { retry_after: std::time::Duration::from_secs(1) }
            }
            KvError::Store(error) => Self::Dependency(error.to_string()),
            KvError::Serialise(error) => Self::Bug(error.to_string()),
        }
    }
}
