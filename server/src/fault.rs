//! Failures of the crates below, told by whose fault they are.

use chancery_engine::Fault;
use chancery_hsm::HsmError;
use chancery_store::StoreError;
use std::time::Duration;

/// When a caller should come back after a full queue.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// A failure of the store.
pub(crate) fn from_store(error: StoreError) -> Fault {
    match error {
        StoreError::Sealed | StoreError::NotInitialized => Fault::Sealed,
        error if error.is_temporary() => Fault::Busy { retry_after: RETRY_AFTER },
        StoreError::Hsm(error) => from_hsm(error),
        StoreError::InvalidKey => Fault::caller(StoreError::InvalidKey.to_string()),
        other => Fault::Dependency(other.to_string()),
    }
}

/// A failure of the HSM.
#[expect(clippy::needless_pass_by_value, reason = "made for map_err")]
pub(crate) fn from_hsm(error: HsmError) -> Fault {
    if error.is_busy() {
        Fault::Busy { retry_after: RETRY_AFTER }
    } else if error.is_caller_fault() {
        Fault::Caller(error.to_string())
    } else {
        Fault::Dependency(error.to_string())
    }
}
