//! Fresh stores for tests.

use chancery_store::{Clock, Initialize, SealChoice, Store};
use jiff::Timestamp;
use std::{path::PathBuf, sync::Arc};
use zeroize::Zeroizing;

/// Where a store lies: by default in memory; in a file it can be opened again.
#[derive(Default)]
pub(crate) struct Place {
    folder: Option<tempfile::TempDir>,
}

pub(crate) fn clock() -> Clock {
    Arc::new(|| Timestamp::from_second(1_700_000_000).unwrap())
}

impl Place {
    pub(crate) fn sqlite() -> Self {
        Self { folder: Some(tempfile::tempdir().unwrap()) }
    }

    /// The database file.
    pub(crate) fn database(&self) -> PathBuf {
        self.folder.as_ref().unwrap().path().join("chancery.db")
    }

    /// The store, as it is after a start.
    pub(crate) async fn sealed(&self) -> Store {
        match &self.folder {
            None => Store::memory().await.unwrap(),
            Some(_) => Store::sqlite(&self.database(), clock()).await.unwrap(),
        }
    }

    /// A new store, unsealed.
    pub(crate) async fn open(&self) -> Store {
        self.initialized(1, 1).await.0
    }

    /// A new store, unsealed, and its shares.
    pub(crate) async fn initialized(&self, shares: u32, threshold: u32) -> (Store, Vec<Zeroizing<Vec<u8>>>) {
        let store = self.sealed().await;
        let seal = SealChoice::Shamir { shares, threshold };
        let initialized = store.barrier().initialize(Initialize { seal }).await.unwrap();
        (store, initialized.shares)
    }

    /// The store after a restart.
    pub(crate) async fn reopen(&self, shares: &[Zeroizing<Vec<u8>>]) -> Store {
        let store = self.sealed().await;
        for share in shares {
            store.barrier().submit_share(share).await.unwrap();
        }
        store
    }
}
