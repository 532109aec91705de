//! New shares for old ones, and proof by shares.

use super::{
    Barrier, LoadedSeal,
    aead::{self, KeyBytes},
    ceremony::Initialized,
    keyring::Keyring,
    seal::{self, ENCRYPTIONS, KEYRING, KeyEncryptionKeys, SEAL, SealRecord, SealedRoot},
    shares,
};
use crate::{
    ShareFault, StoreError,
    backend::{Batch, Expectation, Operation},
    wiped::to_json,
};
use std::sync::Arc;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// New shares that are not in force yet.
pub struct PreparedRekey {
    /// The seal the proof was for.
    seal_version: u64,
    key: KeyBytes,
    shares: u8,
    threshold: u8,
    split: Vec<Zeroizing<Vec<u8>>>,
}

impl PreparedRekey {
    /// The new shares.
    #[must_use]
    pub fn shares(&self) -> &[Zeroizing<Vec<u8>>] {
        &self.split
    }

    /// Whether these shares, a threshold of them, make the new key.
    #[must_use]
    pub fn is_proven_by(&self, shares: &[Zeroizing<Vec<u8>>]) -> bool {
        shares::combine(shares, self.threshold).is_ok_and(|key| key[..].ct_eq(&self.key[..]).into())
    }
}

impl std::fmt::Debug for PreparedRekey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PreparedRekey")
            .field("shares", &self.shares)
            .field("threshold", &self.threshold)
            .finish_non_exhaustive()
    }
}

impl Barrier {
    /// Whether these shares make the key they were made of: the unseal key of a Shamir seal, the recovery key otherwise.
    ///
    /// # Errors
    /// [`StoreError::InvalidShare`] if they do not fit together at all, [`StoreError::Sealed`].
    pub async fn verify_shares(&self, proof: &[Zeroizing<Vec<u8>>]) -> Result<bool, StoreError> {
        let keyring = self.keyring()?;
        let seal = self.seal_record()?;
        let key = shares::combine(proof, seal.record.threshold)?;
        is_right(&seal.record, &keyring, &key)
    }

    /// Makes a new root key and new shares; the proof is a threshold of the present ones. The old shares are worthless
    /// afterwards.
    ///
    /// # Errors
    /// [`StoreError::InvalidShare`] if the proof is wrong, [`StoreError::InvalidSealConfiguration`],
    /// [`StoreError::Sealed`], or the failure of database or HSM.
    pub async fn rekey(
        &self,
        proof: &[Zeroizing<Vec<u8>>],
        shares: impl Into<u32>,
        threshold: impl Into<u32>,
    ) -> Result<Initialized, StoreError> {
        let prepared = self.prepare_rekey(proof, shares, threshold).await?;
        self.commit_rekey(&prepared).await?;
        Ok(Initialized { shares: prepared.split })
    }

    /// Makes new shares that are not in force until [`commit_rekey`](Self::commit_rekey): people can prove first that
    /// they have them.
    ///
    /// # Errors
    /// [`StoreError::InvalidShare`] if the proof is wrong, [`StoreError::InvalidSealConfiguration`], [`StoreError::Sealed`].
    pub async fn prepare_rekey(
        &self,
        proof: &[Zeroizing<Vec<u8>>],
        shares: impl Into<u32>,
        threshold: impl Into<u32>,
    ) -> Result<PreparedRekey, StoreError> {
        let (shares, threshold) = shares::check(shares.into(), threshold.into())?;
        let seal = self.seal_record()?;
        let proven = shares::combine(proof, seal.record.threshold)?;
        if !is_right(&seal.record, &*self.keyring()?, &proven)? {
            return Err(ShareFault::WrongKey.into());
        }
        let key = aead::random_key()?;
        let split = shares::split(&key, shares, threshold)?;
        Ok(PreparedRekey { seal_version: seal.version, key, shares, threshold, split })
    }

    /// Puts prepared shares in force, under a new root key. The old shares are worthless afterwards.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] if other shares came into force meanwhile, [`StoreError::Sealed`], or the failure of database or HSM.
    pub async fn commit_rekey(&self, prepared: &PreparedRekey) -> Result<(), StoreError> {
        let _alone = self.inner.ceremony.lock().await;
        let old = self.keyring()?;
        let seal = self.seal_record()?;
        if seal.version != prepared.seal_version {
            return Err(StoreError::Conflict);
        }
        let mut next = Keyring::clone(&old);
        next.root = aead::random_key()?;
        let key = &prepared.key;
        let instance = seal.record.instance.clone();
        let root = match &seal.record.root {
            SealedRoot::Shamir { .. } => seal::seal_root(&instance, key, &next.root)?,
            SealedRoot::Pkcs11 { label, envelope } => {
                next.recovery = Some(seal::recovery_tag(key)?);
                let hsm = self.inner.hsm.lock().clone().ok_or(StoreError::NoHsm)?;
                let keys = KeyEncryptionKeys { label: label.clone(), keys: envelope.keys().clone() };
                seal::seal_root_in(&hsm, &instance, &keys, &next.root).await?
            }
        };
        let record = SealRecord { instance, shares: prepared.shares, threshold: prepared.threshold, root };
        self.write_rekeyed(&old, &seal, record, next).await
    }

    /// Writes seal, keyring and counter under the new root key in one change.
    async fn write_rekeyed(
        &self,
        old: &Keyring,
        seal: &LoadedSeal,
        record: SealRecord,
        mut next: Keyring,
    ) -> Result<(), StoreError> {
        let (reserved, reserved_version) = self.read_reserved(old).await?;
        let known = [(SEAL, seal.version), (KEYRING, old.version), (ENCRYPTIONS, reserved_version)];
        let expect = |(name, version)| Expectation::Record { name, version: Some(version) };
        let mut batch = Batch { expectations: known.map(expect).into(), operations: Vec::new() };
        batch.operations.push(Operation::PutRecord { name: SEAL, value: record.to_bytes()? });
        for (name, plaintext) in [(KEYRING, next.to_bytes()?), (ENCRYPTIONS, to_json(ENCRYPTIONS, &reserved)?)] {
            let value = seal::seal_record(&next.root, &record.instance, name, &plaintext)?;
            batch.operations.push(Operation::PutRecord { name, value });
        }
        let version = self.inner.backend.apply(batch).await?.0;
        next.version = version;
        *self.inner.seal.write() = Some(LoadedSeal { record: Arc::new(record), version });
        *self.inner.keyring.write() = Some(Arc::new(next));
        Ok(())
    }
}

fn is_right(record: &SealRecord, keyring: &Keyring, key: &KeyBytes) -> Result<bool, StoreError> {
    match record.root {
        SealedRoot::Shamir { .. } => {
            let Some(root) = record.open_with(key)? else { return Ok(false) };
            Ok(root[..].ct_eq(&keyring.root[..]).into())
        }
        SealedRoot::Pkcs11 { .. } => seal::is_recovery_key(keyring, key),
    }
}
