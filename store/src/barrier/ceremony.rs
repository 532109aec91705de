//! Initialise, unseal and seal.

use super::{
    Barrier, LoadedSeal, aead,
    budget::Reserved,
    keyring::Keyring,
    rotation::MAXIMUM_ENCRYPTIONS,
    seal::{self, ENCRYPTIONS, KEY_ENCRYPTION_KEY, KEYRING, KeyEncryptionKeys, SEAL, SealKind, SealRecord},
    shares,
};
use crate::{
    ShareFault, StoreError,
    backend::{Batch, Expectation, Operation},
    wiped::to_json,
};
use chancery_hsm::{Hsm, envelope::EnvelopeKeys};
use std::sync::Arc;
use uuid::Uuid;
use zeroize::Zeroizing;

/// What [`Barrier::initialize`] shall set up.
#[derive(Debug, Clone)]
pub struct Initialize {
    /// The seal.
    pub seal: SealChoice,
}

/// Which seal.
#[derive(Debug, Clone)]
pub enum SealChoice {
    /// A key split into shares.
    Shamir {
        /// How many shares.
        shares: u32,
        /// How many of them unseal.
        threshold: u32,
    },
    /// A key-encryption key in the HSM, made now unless one is recorded.
    Pkcs11 {
        /// The HSM.
        hsm: Hsm,
        /// Label of the key, such as `chancery/kek/main`.
        key_label: String,
        /// How many recovery shares.
        recovery_shares: u32,
        /// How many of them authorise rekeying and new root tokens.
        recovery_threshold: u32,
    },
}

/// The result of initialising or rekeying: the only time the shares exist together.
pub struct Initialized {
    /// Key shares of a Shamir seal, recovery shares of an HSM seal.
    pub shares: Vec<Zeroizing<Vec<u8>>>,
}

impl std::fmt::Debug for Initialized {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Initialized").field("shares", &self.shares.len()).finish()
    }
}

/// How far an attempt to unseal has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnsealProgress {
    /// Whether the barrier is still sealed.
    pub sealed: bool,
    /// Number of shares that exist.
    pub shares: u8,
    /// How many of them are needed.
    pub threshold: u8,
    /// How many were submitted in this attempt.
    pub progress: u8,
    /// Id of this attempt; empty without one.
    pub nonce: String,
}

/// Shares submitted so far.
pub(super) struct Attempt {
    nonce: String,
    shares: Vec<Zeroizing<Vec<u8>>>,
}

impl Attempt {
    fn new() -> Self {
        Self { nonce: Uuid::new_v4().to_string(), shares: Vec::new() }
    }

    pub(super) fn progress(&self) -> (u8, String) {
        (u8::try_from(self.shares.len()).unwrap_or(u8::MAX), self.nonce.clone())
    }
}

impl Barrier {
    /// Sets up the seal, the root key and the keyring, and leaves the barrier unsealed.
    ///
    /// # Errors
    /// [`StoreError::AlreadyInitialized`], [`StoreError::InvalidSealConfiguration`], or the failure of database or HSM.
    pub async fn initialize(&self, request: Initialize) -> Result<Initialized, StoreError> {
        let _alone = self.inner.ceremony.lock().await;
        self.load_seal().await?;
        if self.inner.seal.read().is_some() {
            return Err(StoreError::AlreadyInitialized);
        }
        let mut keyring = Keyring::first((self.inner.clock)(), MAXIMUM_ENCRYPTIONS)?;
        let instance = Uuid::new_v4().to_string();
        let key = aead::random_key()?;
        let (shares, threshold, root) = match request.seal {
            SealChoice::Shamir { shares, threshold } => {
                let (shares, threshold) = shares::check(shares, threshold)?;
                (shares, threshold, seal::seal_root(&instance, &key, &keyring.root)?)
            }
            SealChoice::Pkcs11 { hsm, key_label, recovery_shares, recovery_threshold } => {
                let (shares, threshold) = shares::check(recovery_shares, recovery_threshold)?;
                let keys = self.key_encryption_keys(&hsm, key_label).await?;
                keyring.recovery = Some(seal::recovery_tag(&key)?);
                let root = seal::seal_root_in(&hsm, &instance, &keys, &keyring.root).await?;
                *self.inner.hsm.lock() = Some(hsm);
                (shares, threshold, root)
            }
        };
        let split = shares::split(&key, shares, threshold)?;
        self.write_first(SealRecord { instance, shares, threshold, root }, keyring).await?;
        Ok(Initialized { shares: split })
    }

    /// The recorded key-encryption key; only where none is recorded is one made. A recorded key that the token does not
    /// find is an error of the sealing that follows, never a reason to make another.
    async fn key_encryption_keys(&self, hsm: &Hsm, label: String) -> Result<KeyEncryptionKeys, StoreError> {
        if let Some(stored) = self.inner.backend.read_record(KEY_ENCRYPTION_KEY).await? {
            return serde_json::from_slice(&stored.value).map_err(|_| StoreError::corrupt(KEY_ENCRYPTION_KEY));
        }
        let keys = EnvelopeKeys::generate(hsm, &label).await?;
        let record = KeyEncryptionKeys { label, keys };
        let value = to_json(KEY_ENCRYPTION_KEY, &record)?.to_vec();
        let batch = Batch {
            expectations: vec![Expectation::Record { name: KEY_ENCRYPTION_KEY, version: None }],
            operations: vec![Operation::PutRecord { name: KEY_ENCRYPTION_KEY, value }],
        };
        self.inner.backend.apply(batch).await?;
        Ok(record)
    }

    /// Writes seal, keyring and counter where there were none, and opens the barrier.
    async fn write_first(&self, record: SealRecord, mut keyring: Keyring) -> Result<(), StoreError> {
        let reserved = Reserved { term: keyring.active(), encryptions: 0 };
        let mut batch = Batch::default();
        for name in [SEAL, KEYRING, ENCRYPTIONS] {
            batch.expectations.push(Expectation::Record { name, version: None });
        }
        batch.operations.push(Operation::PutRecord { name: SEAL, value: record.to_bytes()? });
        for (name, plaintext) in [(KEYRING, keyring.to_bytes()?), (ENCRYPTIONS, to_json(ENCRYPTIONS, &reserved)?)] {
            let value = seal::seal_record(&keyring.root, &record.instance, name, &plaintext)?;
            batch.operations.push(Operation::PutRecord { name, value });
        }
        let version = match self.inner.backend.apply(batch).await {
            Ok(sequence) => sequence.0,
            Err(StoreError::Conflict) => return Err(StoreError::AlreadyInitialized),
            Err(error) => return Err(error),
        };
        keyring.version = version;
        *self.inner.seal.write() = Some(LoadedSeal { record: Arc::new(record), version });
        *self.inner.keyring.write() = Some(Arc::new(keyring));
        Ok(())
    }

    /// Takes one share. The share that makes the threshold full unseals; if it does not, the attempt starts over. The
    /// same share a second time does not count, as in Vault.
    ///
    /// # Errors
    /// [`StoreError::InvalidShare`], [`StoreError::NotInitialized`], [`StoreError::OtherSeal`], or the database's failure.
    pub async fn submit_share(&self, share: &[u8]) -> Result<UnsealProgress, StoreError> {
        let _alone = self.inner.ceremony.lock().await;
        self.load_seal().await?;
        let seal = self.seal_record()?;
        if seal.record.kind() != SealKind::Shamir {
            return Err(seal.record.other_seal());
        }
        if self.unsealed().is_err() {
            shares::check_length(share)?;
            if let Some(complete) = self.collect(share, seal.record.threshold) {
                let unseal_key = shares::combine(&complete, seal.record.threshold)?;
                let root = seal.record.open_with(&unseal_key)?.ok_or(ShareFault::WrongKey)?;
                self.open_with_root(root).await?;
            }
        }
        let (progress, nonce) = self.inner.attempt.lock().as_ref().map(Attempt::progress).unwrap_or_default();
        let SealRecord { shares, threshold, .. } = *seal.record;
        Ok(UnsealProgress { sealed: self.unsealed().is_err(), shares, threshold, progress, nonce })
    }

    /// Adds a share to the attempt; gives all of them, and ends the attempt, when the threshold is full.
    fn collect(&self, share: &[u8], threshold: u8) -> Option<Vec<Zeroizing<Vec<u8>>>> {
        let mut slot = self.inner.attempt.lock();
        let attempt = slot.get_or_insert_with(Attempt::new);
        if !attempt.shares.iter().any(|known| shares::same(known, share)) {
            attempt.shares.push(Zeroizing::new(share.to_vec()));
        }
        if attempt.shares.len() < usize::from(threshold) {
            return None;
        }
        slot.take().map(|attempt| attempt.shares)
    }

    /// Unseals with the key-encryption key in the HSM.
    ///
    /// # Errors
    /// [`StoreError::OtherToken`] if the database was sealed in another token, [`StoreError::KeyEncryptionKeyMissing`],
    /// [`StoreError::OtherSeal`], [`StoreError::NotInitialized`], or the failure of database or HSM.
    pub async fn unseal_with_hsm(&self, hsm: &Hsm) -> Result<(), StoreError> {
        let _alone = self.inner.ceremony.lock().await;
        self.load_seal().await?;
        let seal = self.seal_record()?;
        if self.unsealed().is_ok() {
            return Ok(());
        }
        self.open_with_root(seal.record.open_in(hsm).await?).await?;
        *self.inner.hsm.lock() = Some(hsm.clone());
        Ok(())
    }

    async fn open_with_root(&self, root: aead::KeyBytes) -> Result<(), StoreError> {
        let keyring = self.read_keyring(root).await?;
        *self.inner.keyring.write() = Some(Arc::new(keyring));
        Ok(())
    }

    /// Forgets the shares submitted so far.
    pub fn reset_unseal(&self) {
        self.inner.attempt.lock().take();
    }

    /// Seals: drops and overwrites every key. What is being sealed or opened at this moment still ends.
    pub async fn seal(&self) {
        let _alone = self.inner.ceremony.lock().await;
        self.inner.keyring.write().take();
        self.inner.hsm.lock().take();
        self.reset_unseal();
    }
}
