//! The mount's wrapping key: RSA-4096, made when it is first asked for, its private half sealed in the store.

use crate::{error::TransitError, transit::Transit, version::StoredBytes, wrapping::UnwrappingKey};
use chancery_hsm::{KeyAlgorithm, software::SoftwareKey};
use parking_lot::RwLock;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tokio::sync::OnceCell;

/// Where the key lies in the store, below the mount's view.
const PLACE: &str = "config/wrapping-key";

/// What lies there.
#[derive(Serialize, Deserialize)]
struct StoredWrappingKey {
    /// PKCS#8 in DER.
    key: StoredBytes,
}

/// The key, ready for use.
pub(crate) struct WrappingKey {
    /// SubjectPublicKeyInfo in DER.
    pub(crate) public_key: Vec<u8>,
    pub(crate) private_key: UnwrappingKey,
}

/// The key once it was read or made. Whoever asks while it is being made waits for the same one.
#[derive(Default)]
pub(crate) struct WrappingKeySlot(RwLock<Arc<OnceCell<Arc<WrappingKey>>>>);

impl WrappingKeySlot {
    /// Forgets the key; it stays in the store.
    pub(crate) fn forget(&self) {
        *self.0.write() = Arc::default();
    }
}

impl Transit {
    /// The mount's wrapping key, made now where there was none.
    pub(crate) async fn wrapping_key(&self) -> Result<Arc<WrappingKey>, TransitError> {
        let slot = Arc::clone(&self.wrapping_key.0.read());
        let key = slot.get_or_try_init(|| self.load_wrapping_key()).await?;
        Ok(Arc::clone(key))
    }

    async fn load_wrapping_key(&self) -> Result<Arc<WrappingKey>, TransitError> {
        let stored = match self.storage.setting(PLACE).await? {
            Some(stored) => stored,
            None => self.make_wrapping_key().await?,
        };
        let expand = move || expand(&stored);
        tokio::task::spawn_blocking(expand).await.map_err(|_| TransitError::Bug("a wrapping key was not read"))?
    }

    async fn make_wrapping_key(&self) -> Result<StoredWrappingKey, TransitError> {
        // Seconds of arithmetic: not on a thread that serves requests.
        let made = tokio::task::spawn_blocking(|| SoftwareKey::generate(KeyAlgorithm::Rsa4096)?.to_bytes());
        let key = made.await.map_err(|_| TransitError::Bug("a wrapping key was not made"))??;
        let made = StoredWrappingKey { key: StoredBytes::new(key) };
        if self.storage.create_setting(PLACE, &made).await? {
            return Ok(made);
        }
        // Another node was first; its key counts.
        self.storage.setting(PLACE).await?.ok_or(TransitError::Bug("a wrapping key has gone"))
    }
}

fn expand(stored: &StoredWrappingKey) -> Result<Arc<WrappingKey>, TransitError> {
    let private_key = UnwrappingKey::from_pkcs8(stored.key.bytes())?;
    let pair = SoftwareKey::from_bytes(KeyAlgorithm::Rsa4096, stored.key.bytes())?;
    let public_key = pair.public_key_der().ok_or(TransitError::Bug("a wrapping key without a public half"))?;
    Ok(Arc::new(WrappingKey { public_key: public_key.to_vec(), private_key }))
}
