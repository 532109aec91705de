//! What went wrong, by whose fault it is. Only the edge turns a fault into a status and a text.

use std::time::Duration;

/// Failure of a call.
///
/// | fault | whose | the edge answers |
/// |---|---|---|
/// | `Caller` | caller | 400 with the texts |
/// | `CallerWithData` | caller | 400 with texts and data |
/// | `Denied` | policy | 403 `permission denied` |
/// | `Refused` | policy, with a text of its own | 403 |
/// | `Absent` | nobody | 404 `{"errors":[]}` |
/// | `NotFound` | caller | 404 with the text |
/// | `UnsupportedOperation` | caller | 405 |
/// | `TooLarge` | caller | 413 |
/// | `UnsupportedMedia` | caller | 415 |
/// | `Sealed` | operator | 503 `Vault is sealed` |
/// | `Busy` | load | 503 with `Retry-After` |
/// | `Dependency` | HSM, database | 500; the detail goes to the log |
/// | `Internal` | a path where Vault answers a plain 500 with the text | 500 |
/// | `Bug` | us | 500; the detail goes to the log |
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The request is wrong; the text says how.
    #[error("{0}")]
    Caller(String),
    /// The request is wrong and the answer carries a JSON object besides.
    #[error("{text}")]
    CallerWithData {
        /// What is wrong.
        text: String,
        /// JSON object for `data`.
        data: Vec<u8>,
    },
    /// The policies said no.
    #[error("permission denied")]
    Denied,
    /// Refused by a rule, and the client needs the rule's own words (`bad token`).
    #[error("{0}")]
    Refused(String),
    /// There is nothing at this place.
    #[error("not found")]
    Absent,
    /// There is nothing at this place, and the text says what is missing.
    #[error("{0}")]
    NotFound(String),
    /// The endpoint does not know this verb.
    #[error("unsupported operation")]
    UnsupportedOperation,
    /// The body is larger than the limit.
    #[error("request body too large")]
    TooLarge,
    /// PATCH without `application/merge-patch+json`.
    #[error("unsupported media type: {0}")]
    UnsupportedMedia(String),
    /// The barrier is sealed.
    #[error("Vault is sealed")]
    Sealed,
    /// Queues are full; try again.
    #[error("busy")]
    Busy {
        /// When to try again.
        retry_after: Duration,
    },
    /// The HSM, the database or another thing we depend on failed. Names the call that failed, never a secret.
    #[error("{0}")]
    Dependency(String),
    /// A failure Vault reports as a plain 500 with its text, which clients match on.
    #[error("{0}")]
    Internal(String),
    /// Something that must not happen did.
    #[error("internal error: {0}")]
    Bug(String),
}

impl Fault {
    /// A caller's fault with a text.
    #[must_use]
    pub fn caller(text: impl Into<String>) -> Self {
        Self::Caller(text.into())
    }
}
