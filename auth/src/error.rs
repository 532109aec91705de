//! What can go wrong here, and whose fault it is.

use chancery_engine::Fault;
use chancery_store::StoreError;

/// Failure of this crate; becomes a [`Fault`] at its face.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// The store failed, or a caller was faster.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Somebody's fault already.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl From<AuthError> for Fault {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::Fault(fault) => fault,
            AuthError::Store(StoreError::Sealed | StoreError::NotInitialized) => Self::Sealed,
            AuthError::Store(error) if error.is_temporary() => {
                Self::Busy { retry_after: std::time::Duration::from_secs(1) }
            }
            AuthError::Store(error) => Self::Dependency(format!("store: {error}")),
        }
    }
}

/// The store's failure as a fault.
pub(crate) fn stored<T>(result: Result<T, StoreError>) -> Result<T, Fault> {
    result.map_err(|error| AuthError::Store(error).into())
}
