//! What can go wrong, told by whose fault it is.
//!
//! The PKCS#11 classes of failure and what is done about each live in `pkcs11/failure.rs`; what reaches a caller is
//! one of these. No variant carries a secret, and foreign failures name the call that failed.

use std::path::PathBuf;

use thiserror::Error;

/// A failure of the HSM layer.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum HsmError {
    /// The caller asked for something that makes no sense.
    #[error("{reason}")]
    InvalidInput {
        /// What is wrong with it.
        reason: String,
    },
    /// A ciphertext did not authenticate, or is malformed.
    #[error("the ciphertext is damaged, or was made with another key or for another place")]
    BadData,
    /// The token (or the software provider) has no such mechanism.
    #[error("the token does not support {mechanism}")]
    NotSupported {
        /// The missing mechanism, by name.
        mechanism: String,
    },
    /// No object with this id is on the token. Not proof that it was deleted: a token that lost its storage says the same.
    #[error("{key} was not found; it may have been deleted, or the token's storage may be missing")]
    KeyNotFound {
        /// The reference that was looked for.
        key: String,
    },
    /// The object under the reference's id is not the recorded key.
    #[error("{key}: {detail}")]
    KeyMismatch {
        /// The reference that was looked for.
        key: String,
        /// What differs.
        detail: &'static str,
    },
    /// The reference belongs to another token.
    #[error("the key lives on token {expected}, but this is token {found}")]
    WrongToken {
        /// The token in the reference.
        expected: String,
        /// The token in use.
        found: String,
    },
    /// The token reports that a key could leave it.
    #[error("the token made a key that could leave it: {attribute} is {found:?}; the key was destroyed")]
    Exposed {
        /// The attribute that gives it away.
        attribute: &'static str,
        /// Its value; `None` where the token does not say.
        found: Option<bool>,
    },
    /// The token's signature does not verify under the recorded public key; it was thrown away.
    #[error("{key}: the token's signature does not verify under the recorded public key")]
    BadSignature {
        /// The key that should have signed.
        key: String,
    },
    /// A secret came back from the token altered, though the token reported success.
    #[error("the token returned an altered secret without reporting an error")]
    AlteredSecret,
    /// Too much work is queued, or the token is out of sessions or memory. Try again later.
    #[error("the token is busy: {reason}")]
    Busy {
        /// What ran out.
        reason: &'static str,
    },
    /// The operation's deadline passed; PKCS#11 calls cannot be cancelled, so it may still finish unseen.
    #[error("{operation} did not finish within {seconds} s")]
    TimedOut {
        /// The operation.
        operation: &'static str,
        /// Its deadline.
        seconds: u64,
    },
    /// The token refused our credentials. Nothing is tried again until an operator acts and the process restarts.
    #[error("the token is latched: {reason}")]
    Latched {
        /// Why.
        reason: String,
    },
    /// The token cannot be reached; reconnecting goes on in the background.
    #[error("the token is unavailable: {call} answered {code}")]
    Unavailable {
        /// The PKCS#11 function.
        call: String,
        /// Its return code.
        code: String,
    },
    /// The token answered a call with a code that is none of the above.
    #[error("{call} answered {code}")]
    Refused {
        /// The PKCS#11 function.
        call: String,
        /// Its return code.
        code: String,
    },
    /// The PKCS#11 module cannot be loaded.
    #[error("cannot load the PKCS#11 module {}: {detail}", path.display())]
    Module {
        /// The module's path.
        path: PathBuf,
        /// The loader's words.
        detail: String,
    },
    /// No slot holds the chosen token, or several do.
    #[error("{reason}")]
    Token {
        /// What was looked for and what there is.
        reason: String,
    },
    /// The operating system refused something.
    #[error("{call} failed: {detail}")]
    OperatingSystem {
        /// The call.
        call: &'static str,
        /// The system's words.
        detail: String,
    },
    /// The HSM was shut down.
    #[error("the HSM connection is closed")]
    Closed,
    /// Our own invariant broke.
    #[error("internal error of the HSM layer: {detail}")]
    Internal {
        /// Where.
        detail: &'static str,
    },
}

impl HsmError {
    /// Whether the caller can mend it by asking for something else (a 400, not a 500).
    #[must_use]
    pub fn is_caller_fault(&self) -> bool {
        matches!(self, Self::InvalidInput { .. } | Self::BadData | Self::NotSupported { .. })
    }

    /// Whether the same request may succeed later (a 503 with Retry-After).
    #[must_use]
    pub fn is_busy(&self) -> bool {
        matches!(self, Self::Busy { .. } | Self::TimedOut { .. })
    }

    /// Whether the token itself is out of reach, for now or until an operator acts.
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        matches!(self, Self::Latched { .. } | Self::Unavailable { .. } | Self::Closed)
    }

    pub(crate) fn invalid(reason: impl Into<String>) -> Self {
        Self::InvalidInput { reason: reason.into() }
    }

    pub(crate) fn not_supported(mechanism: impl Into<String>) -> Self {
        Self::NotSupported { mechanism: mechanism.into() }
    }
}
