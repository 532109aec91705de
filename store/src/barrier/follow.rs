//! Taking over what another process has changed of seal and keyring.

use super::{
    Barrier,
    seal::{KEYRING, SealRecord, SealedRoot},
};
use crate::StoreError;
use std::sync::Arc;

impl Barrier {
    /// Reads seal and keyring again. Nothing happens while the barrier is sealed.
    ///
    /// # Errors
    /// [`StoreError::Sealed`] if the keyring lies under another root key that only people's new shares open; then this
    /// barrier has to be sealed until it gets them. [`StoreError::Corrupt`], or the failure of database or HSM.
    pub async fn follow(&self) -> Result<(), StoreError> {
        let _alone = self.inner.ceremony.lock().await;
        let before = self.inner.seal.read().as_ref().map(|seal| seal.version);
        self.load_seal().await?;
        let Ok(current) = self.keyring() else { return Ok(()) };
        let seal = self.seal_record()?;
        let root =
            if before == Some(seal.version) { current.root.clone() } else { self.new_root(&seal.record).await? };
        let read = self.read_keyring(root).await?;
        if read.version != current.version {
            tracing::info!(term = read.active(), "took over the {KEYRING} that another process wrote");
            *self.inner.keyring.write() = Some(Arc::new(read));
        }
        Ok(())
    }

    async fn new_root(&self, record: &SealRecord) -> Result<super::aead::KeyBytes, StoreError> {
        match record.root {
            SealedRoot::Pkcs11 { .. } => {
                let hsm = self.inner.hsm.lock().clone().ok_or(StoreError::NoHsm)?;
                record.open_in(&hsm).await
            }
            SealedRoot::Shamir { .. } => Err(StoreError::Sealed),
        }
    }
}
