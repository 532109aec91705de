//! The barrier: everything that lies in the database as a sealed entry passes through here.
//!
//! ```text
//! seal (shares, or a key in the HSM) -> root key -> keyring of terms -> every entry, bound to its place
//! ```
//!
//! | file | holds |
//! |---|---|
//! | `aead.rs` | AES-256-GCM and nonces |
//! | `keyring.rs` | the terms, and how an entry is sealed |
//! | `budget.rs` | how many encryptions are reserved |
//! | `seal.rs` | the record of the seal, the root key under it |
//! | `shares.rs` | Shamir's sharing |
//! | `ceremony.rs` | initialise, unseal, seal |
//! | `follow.rs` | what other processes changed |
//! | `rotation.rs` | new terms, by request and by count |
//! | `rekey.rs` | new shares, proof by shares |

mod aead;
mod budget;
mod ceremony;
mod follow;
pub mod fuzzing;
mod keyring;
mod rekey;
mod rotation;
mod seal;
mod shares;

pub use ceremony::{Initialize, Initialized, SealChoice, UnsealProgress};
pub use rekey::PreparedRekey;
pub use rotation::{KeyStatus, MAXIMUM_ENCRYPTIONS};
pub use seal::SealKind;

use crate::{
    Clock, StoreError,
    backend::{Backend, StoredEntry},
};
use ceremony::Attempt;
use chancery_hsm::Hsm;
use keyring::Keyring;
use parking_lot::{Mutex, RwLock};
use seal::{KEYRING, SEAL, SealRecord};
use std::sync::Arc;
use zeroize::Zeroizing;

/// The barrier of a store. Cheap to clone; all clones share one state.
#[derive(Clone)]
pub struct Barrier {
    inner: Arc<Inner>,
}

struct Inner {
    backend: Arc<dyn Backend>,
    clock: Clock,
    seal: RwLock<Option<LoadedSeal>>,
    keyring: RwLock<Option<Arc<Keyring>>>,
    attempt: Mutex<Option<Attempt>>,
    /// What unsealed the barrier, where that was an HSM.
    hsm: Mutex<Option<Hsm>>,
    /// One change of seal or keyring at a time in this process; other nodes are met by the versions of the records.
    ceremony: tokio::sync::Mutex<()>,
}

#[derive(Clone)]
struct LoadedSeal {
    record: Arc<SealRecord>,
    version: u64,
}

/// How far the barrier is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BarrierPhase {
    /// No seal was ever set up.
    Uninitialized,
    /// Set up, and closed.
    Sealed,
    /// Open.
    Unsealed,
}

/// The answer to "seal-status".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BarrierState {
    /// How far the barrier is.
    pub phase: BarrierPhase,
    /// The seal, unless uninitialized.
    pub seal: Option<SealSummary>,
}

/// What may be known of a seal by anybody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealSummary {
    /// Shamir, or the HSM.
    pub kind: SealKind,
    /// Number of key shares, or of recovery shares.
    pub shares: u8,
    /// How many of them are needed.
    pub threshold: u8,
    /// Shares submitted so far.
    pub progress: u8,
    /// Id of the present attempt to unseal; empty without one.
    pub nonce: String,
}

impl std::fmt::Debug for Barrier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Barrier").field("unsealed", &self.unsealed().is_ok()).finish_non_exhaustive()
    }
}

impl Barrier {
    /// Reads the seal's record; the barrier starts sealed.
    pub(crate) async fn load(backend: Arc<dyn Backend>, clock: Clock) -> Result<Self, StoreError> {
        let inner = Inner {
            backend,
            clock,
            seal: RwLock::default(),
            keyring: RwLock::default(),
            attempt: Mutex::default(),
            hsm: Mutex::default(),
            ceremony: tokio::sync::Mutex::default(),
        };
        let barrier = Self { inner: Arc::new(inner) };
        barrier.load_seal().await?;
        Ok(barrier)
    }

    /// How far the barrier is, and what may be known of its seal.
    pub async fn state(&self) -> BarrierState {
        if self.inner.seal.read().is_none() {
            // Another node may have initialised the database meanwhile; a failure shows in every other call.
            let _ = self.load_seal().await;
        }
        let Some(seal) = self.inner.seal.read().clone() else {
            return BarrierState { phase: BarrierPhase::Uninitialized, seal: None };
        };
        let (progress, nonce) = self.inner.attempt.lock().as_ref().map(Attempt::progress).unwrap_or_default();
        let phase = if self.unsealed().is_ok() { BarrierPhase::Unsealed } else { BarrierPhase::Sealed };
        let SealRecord { shares, threshold, .. } = *seal.record;
        let summary = SealSummary { kind: seal.record.kind(), shares, threshold, progress, nonce };
        BarrierState { phase, seal: Some(summary) }
    }

    /// `Sealed` unless unsealed.
    pub(crate) fn unsealed(&self) -> Result<(), StoreError> {
        self.keyring().map(|_| ())
    }

    fn keyring(&self) -> Result<Arc<Keyring>, StoreError> {
        self.inner.keyring.read().clone().ok_or(StoreError::Sealed)
    }

    /// Opens an entry read from the database.
    pub(crate) async fn open_entry(&self, path: &str, stored: &StoredEntry) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        let mut keyring = self.keyring()?;
        let unknown = keyring::term_of(&stored.value).is_some_and(|term| !keyring.has(term));
        if unknown {
            // Another node has rotated the keyring since this one read it.
            keyring = self.reload_keyring(&keyring).await?;
        }
        keyring.open_entry(path, stored).ok_or_else(|| StoreError::corrupt(path))
    }

    async fn load_seal(&self) -> Result<(), StoreError> {
        if let Some(stored) = self.inner.backend.read_record(SEAL).await? {
            let record = Arc::new(SealRecord::from_bytes(&stored.value)?);
            *self.inner.seal.write() = Some(LoadedSeal { record, version: stored.version });
        }
        Ok(())
    }

    fn seal_record(&self) -> Result<LoadedSeal, StoreError> {
        self.inner.seal.read().clone().ok_or(StoreError::NotInitialized)
    }

    /// Reads the keyring with a root key that the seal gave.
    async fn read_keyring(&self, root: aead::KeyBytes) -> Result<Keyring, StoreError> {
        let seal = self.seal_record()?;
        let stored = self.inner.backend.read_record(KEYRING).await?;
        let stored = stored.ok_or_else(|| StoreError::corrupt(KEYRING))?;
        let bytes = seal::open_record(&root, &seal.record.instance, KEYRING, &stored.value)?;
        Keyring::from_bytes(&bytes, root, stored.version)
    }

    async fn reload_keyring(&self, known: &Arc<Keyring>) -> Result<Arc<Keyring>, StoreError> {
        let _alone = self.inner.ceremony.lock().await;
        let current = self.keyring()?;
        if current.version != known.version {
            return Ok(current);
        }
        let read = Arc::new(self.read_keyring(current.root.clone()).await?);
        if read.version != current.version {
            *self.inner.keyring.write() = Some(read.clone());
        }
        Ok(read)
    }
}
