//! New terms, by request and before a term has encrypted too much.

use super::{
    Barrier,
    budget::Reserved,
    keyring::Keyring,
    seal::{self, ENCRYPTIONS, KEYRING},
};
use crate::{
    StoreError,
    backend::{Batch, Expectation, Operation},
    wiped::to_json,
};
use jiff::Timestamp;
use std::sync::Arc;

/// Encryptions after which a term is replaced unless a lower limit is set: 90 % of the 2^32 that NIST SP 800-38D section
/// 8.3 allows a key with random nonces.
pub const MAXIMUM_ENCRYPTIONS: u64 = 3_865_470_566;

/// How many encryptions are reserved at once: one more write for so many.
const BLOCK: u64 = 1 << 16;

/// How often to look again when others take what was just reserved.
const ATTEMPTS: u32 = 1000;

/// The active term.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyStatus {
    /// Its number, counted from one.
    pub term: u32,
    /// When it was made.
    pub install_time: Timestamp,
    /// How often it has encrypted; after a restart this may be too high by one reserved block, never too low.
    pub encryptions: u64,
}

/// Seals values under the term that was active when it was asked for.
pub(crate) struct Sealer(Arc<Keyring>);

impl Sealer {
    pub(crate) fn seal_entry(&self, path: &str, expires_at: Option<i64>, value: &[u8]) -> Result<Vec<u8>, StoreError> {
        self.0.seal_entry(path, expires_at, value)
    }
}

impl Barrier {
    /// A sealer for so many values; rotates first if the active term may not encrypt that many any more.
    pub(crate) async fn sealer(&self, values: usize) -> Result<Sealer, StoreError> {
        let count = u64::try_from(values).unwrap_or(u64::MAX);
        for _ in 0..ATTEMPTS {
            let keyring = self.keyring()?;
            if keyring.budget.take(count) {
                return Ok(Sealer(keyring));
            }
            match self.replenish(count).await {
                // Another node or another task was faster: look again.
                Ok(()) | Err(StoreError::Conflict) => {}
                Err(error) => return Err(error),
            }
        }
        Err(StoreError::Conflict)
    }

    /// Makes a new term, which seals from now on. Old terms stay readable.
    ///
    /// # Errors
    /// [`StoreError::Sealed`], or the database's failure.
    pub async fn rotate(&self) -> Result<(), StoreError> {
        let _alone = self.inner.ceremony.lock().await;
        loop {
            let next = self.keyring()?.with_next_term((self.inner.clock)())?;
            match self.write_keyring(next, true).await {
                Err(StoreError::Conflict) => self.refresh().await?,
                result => return result,
            }
        }
    }

    /// The active term.
    ///
    /// # Errors
    /// [`StoreError::Sealed`], or the database's failure.
    pub async fn key_status(&self) -> Result<KeyStatus, StoreError> {
        let keyring = self.keyring()?;
        let (reserved, _) = self.read_reserved(&keyring).await?;
        let encryptions = if reserved.term == keyring.active() { reserved.encryptions } else { 0 };
        Ok(KeyStatus {
            term: keyring.active(),
            install_time: keyring.installed_at().ok_or_else(|| StoreError::corrupt(KEYRING))?,
            encryptions: encryptions.saturating_sub(keyring.budget.remaining()),
        })
    }

    /// After how many encryptions a term is replaced.
    ///
    /// # Errors
    /// [`StoreError::Sealed`].
    pub fn encryption_limit(&self) -> Result<u64, StoreError> {
        Ok(self.keyring()?.limit)
    }

    /// Sets after how many encryptions a term is replaced, between 1 and [`MAXIMUM_ENCRYPTIONS`].
    ///
    /// # Errors
    /// [`StoreError::Sealed`], or the database's failure.
    pub async fn set_encryption_limit(&self, limit: u64) -> Result<(), StoreError> {
        let _alone = self.inner.ceremony.lock().await;
        loop {
            let mut next = Keyring::clone(&*self.keyring()?);
            next.limit = limit.clamp(1, MAXIMUM_ENCRYPTIONS);
            // What was reserved under the old limit may be more than the new one allows.
            next.budget = Arc::default();
            match self.write_keyring(next, false).await {
                Err(StoreError::Conflict) => self.refresh().await?,
                result => return result,
            }
        }
    }

    /// Reserves the next block in the database, or rotates if the limit is reached.
    async fn replenish(&self, count: u64) -> Result<(), StoreError> {
        let _alone = self.inner.ceremony.lock().await;
        let keyring = self.keyring()?;
        if keyring.budget.remaining() >= count {
            return Ok(());
        }
        let (reserved, version) = self.read_reserved(&keyring).await?;
        if reserved.term != keyring.active() {
            return self.refresh().await;
        }
        let left = keyring.limit.saturating_sub(reserved.encryptions);
        if left < count && reserved.encryptions > 0 {
            tracing::info!(term = keyring.active(), "the barrier key has reached its encryption limit, rotating");
            return self.write_keyring(keyring.with_next_term((self.inner.clock)())?, true).await;
        }
        let block = BLOCK.min(left).max(count);
        let encryptions = reserved.encryptions.saturating_add(block);
        let batch = Batch {
            expectations: vec![Expectation::Record { name: ENCRYPTIONS, version: Some(version) }],
            operations: vec![self.reserve(&keyring, Reserved { encryptions, ..reserved })?],
        };
        self.inner.backend.apply(batch).await?;
        keyring.budget.add(block);
        Ok(())
    }

    /// Writes a changed keyring over the one it was made of, with the counter of a new term at zero.
    async fn write_keyring(&self, mut next: Keyring, new_term: bool) -> Result<(), StoreError> {
        let seal = self.seal_record()?;
        let plaintext = next.to_bytes()?;
        let value = seal::seal_record(&next.root, &seal.record.instance, KEYRING, &plaintext)?;
        let mut batch = Batch {
            expectations: vec![Expectation::Record { name: KEYRING, version: Some(next.version) }],
            operations: vec![Operation::PutRecord { name: KEYRING, value }],
        };
        if new_term {
            batch.operations.push(self.reserve(&next, Reserved { term: next.active(), encryptions: 0 })?);
        }
        next.version = self.inner.backend.apply(batch).await?.0;
        *self.inner.keyring.write() = Some(Arc::new(next));
        Ok(())
    }

    fn reserve(&self, keyring: &Keyring, reserved: Reserved) -> Result<Operation, StoreError> {
        let seal = self.seal_record()?;
        let plaintext = to_json(ENCRYPTIONS, &reserved)?;
        let value = seal::seal_record(&keyring.root, &seal.record.instance, ENCRYPTIONS, &plaintext)?;
        Ok(Operation::PutRecord { name: ENCRYPTIONS, value })
    }

    pub(super) async fn read_reserved(&self, keyring: &Keyring) -> Result<(Reserved, u64), StoreError> {
        let seal = self.seal_record()?;
        let stored = self.inner.backend.read_record(ENCRYPTIONS).await?;
        let stored = stored.ok_or_else(|| StoreError::corrupt(ENCRYPTIONS))?;
        let bytes = seal::open_record(&keyring.root, &seal.record.instance, ENCRYPTIONS, &stored.value)?;
        let reserved = serde_json::from_slice(&bytes).map_err(|_| StoreError::corrupt(ENCRYPTIONS))?;
        Ok((reserved, stored.version))
    }

    /// Takes over the keyring another node has written. The ceremony lock is held.
    async fn refresh(&self) -> Result<(), StoreError> {
        let read = self.read_keyring(self.keyring()?.root.clone()).await?;
        *self.inner.keyring.write() = Some(Arc::new(read));
        Ok(())
    }
}
