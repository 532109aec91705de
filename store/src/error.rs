//! What can go wrong in the store, named by what is wrong.

use chancery_hsm::HsmError;
use std::path::PathBuf;

/// Failure of the store. No variant ever carries a value or a key, only places and names.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The barrier is sealed: nothing can be read or written.
    #[error("Vault is sealed")]
    Sealed,
    /// No seal was ever set up in this database.
    #[error("Vault is not initialized")]
    NotInitialized,
    /// A seal is already set up.
    #[error("Vault is already initialized")]
    AlreadyInitialized,
    /// A version was expected that is not there (any more): read again and retry.
    #[error("changed by another request")]
    Conflict,
    /// The database was written by a newer release.
    #[error(
        "{database} has schema version {found}, this release knows up to {known}: install the newer release again or restore a backup"
    )]
    NewerSchema {
        /// The database.
        database: String,
        /// The version in the database.
        found: i64,
        /// The newest version this release knows.
        known: i64,
    },
    /// A migration recorded in the database is not the one this release ships under that number.
    #[error("migration {version} of {database} differs from the one this release ships")]
    ForeignSchema {
        /// The database.
        database: String,
        /// Number of the migration.
        version: i64,
    },
    /// Another process has the database open.
    #[error("{} is in use by another process", path.display())]
    Locked {
        /// The database.
        path: PathBuf,
    },
    /// The database failed. Names the call that failed.
    #[error("{call}: {detail}")]
    Backend {
        /// The call that failed.
        call: &'static str,
        /// What the database said.
        detail: String,
    },
    /// The address of the database cannot be used. It is not repeated: it may hold a password.
    #[error("the address of the database cannot be used: {0}; write postgres://USER@HOST:PORT/DATABASE")]
    InvalidDatabaseUrl(&'static str),
    /// The database does not let us in, or is not one we can rely on. Waiting does not help.
    #[error("{database}: {detail}; {fix}")]
    Refused {
        /// The database.
        database: String,
        /// What it said.
        detail: String,
        /// What to do.
        fix: String,
    },
    /// The database cannot be reached, is overloaded or does not answer. Nothing was written.
    #[error("the database is not available: {detail}")]
    Unavailable {
        /// What was noticed.
        detail: String,
    },
    /// The connection broke while a change was committed, and the database did not come back in time to say whether it
    /// was. It may have been made.
    #[error("the connection to the database broke during a commit, and whether it was made could not be found out")]
    OutcomeUnknown,
    /// The lease under which a job worked was taken over by another process. Nothing was written.
    #[error("another process has taken this job over")]
    LeaseLost,
    /// What lies at this place was not put there by this store: damaged, moved or forged.
    #[error("{place} is damaged")]
    Corrupt {
        /// Path of the entry or name of the record.
        place: String,
    },
    /// The key of an entry is empty, too long or contains NUL.
    #[error("invalid storage key")]
    InvalidKey,
    /// A value could not be serialised.
    #[error("cannot serialise the value for {place}: {detail}")]
    Encode {
        /// Path of the entry.
        place: String,
        /// What the serialiser said.
        detail: String,
    },
    /// The numbers of shares are impossible. The texts are Vault's.
    #[error("invalid seal configuration: {0}")]
    InvalidSealConfiguration(&'static str),
    /// A share was refused.
    #[error(transparent)]
    InvalidShare(#[from] ShareFault),
    /// The operation does not fit the kind of seal this database has.
    #[error("the seal of this database is `{found}`")]
    OtherSeal {
        /// The kind of seal in the database.
        found: &'static str,
    },
    /// The root key was sealed in another token.
    #[error("the root key was sealed in token {recorded}, but the token in use is {found}")]
    OtherToken {
        /// The token that sealed the root key.
        recorded: String,
        /// The token in use.
        found: String,
    },
    /// The recorded key-encryption key is not in the token. It is never made a second time.
    #[error(
        "key-encryption key `{label}` is not in the token ({detail}); the token was emptied or replaced, or its storage \
         is missing. No other key opens this database"
    )]
    KeyEncryptionKeyMissing {
        /// Label of the key.
        label: String,
        /// What the HSM said: names the key.
        detail: String,
    },
    /// The operation needs the HSM that unsealed the barrier, and none did.
    #[error("no HSM has unsealed the barrier")]
    NoHsm,
    /// The HSM failed.
    #[error(transparent)]
    Hsm(#[from] HsmError),
}

/// Why a share, or a set of them, was refused. The texts are OpenBao's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ShareFault {
    /// Fewer than 16 bytes.
    #[error("invalid key: key is shorter than minimum 16 bytes")]
    TooShort,
    /// More than 33 bytes.
    #[error("invalid key: key is longer than maximum 33 bytes")]
    TooLong,
    /// Two shares carry the same number.
    #[error("invalid key: failed to compute combined key: duplicate part detected")]
    Duplicate,
    /// The shares do not fit together (different lengths, number zero, too few).
    #[error("invalid key: failed to compute combined key: parts do not fit together")]
    Malformed,
    /// The shares fit together, but the key they make is not the right one.
    #[error(
        "unable to retrieve stored keys: invalid key: failed to decrypt keys from storage: cipher: message authentication failed"
    )]
    WrongKey,
}

impl StoreError {
    /// Whether the same request may succeed in a moment, and nothing was written by this one.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::Conflict | Self::Unavailable { .. })
    }

    pub(crate) fn unavailable(detail: impl Into<String>) -> Self {
        Self::Unavailable { detail: detail.into() }
    }

    pub(crate) fn backend(call: &'static str, detail: impl std::fmt::Display) -> Self {
        Self::Backend { call, detail: detail.to_string() }
    }

    pub(crate) fn corrupt(place: impl Into<String>) -> Self {
        Self::Corrupt { place: place.into() }
    }
}
