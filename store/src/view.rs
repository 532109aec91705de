//! Reading sealed entries: a [`View`] is a prefix of the path, an [`Entry`] is what lies there.

use crate::{StoreError, backend::microseconds, store::Store};
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use zeroize::Zeroizing;

/// Longest path of an entry, in bytes.
const LONGEST_PATH: usize = 4096;

/// A part of the store below a prefix such as `sys/policy/`. Cheap to clone.
#[derive(Clone)]
pub struct View {
    store: Store,
    prefix: Arc<str>,
}

impl std::fmt::Debug for View {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("View").field(&self.prefix).finish()
    }
}

/// A decrypted entry.
pub struct Entry {
    /// The version to expect when replacing it; never the same again after any change of this entry.
    pub version: u64,
    /// The value.
    pub value: Zeroizing<Vec<u8>>,
    /// When it may be swept. Reading does not look at it: whether an expired entry counts is the owner's decision.
    pub expires_at: Option<Timestamp>,
    pub(crate) place: String,
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entry").field("place", &self.place).field("version", &self.version).finish_non_exhaustive()
    }
}

impl Entry {
    /// The value, read from JSON.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if the value is not such a thing.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, StoreError> {
        serde_json::from_slice(&self.value).map_err(|_| StoreError::corrupt(&*self.place))
    }
}

/// Which part of a listing. The default is all of it.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// Start behind this name.
    pub after: Option<String>,
    /// At most so many names.
    pub limit: Option<usize>,
}

impl View {
    pub(crate) fn new(store: Store, name: &str) -> Self {
        Self { store, prefix: folder(name).into() }
    }

    /// The prefix, ending in a slash unless it is empty.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.prefix
    }

    /// The view below this one.
    #[must_use]
    pub fn view(&self, below: &str) -> Self {
        Self { store: self.store.clone(), prefix: folder(&format!("{}{below}", self.prefix)).into() }
    }

    /// The entry at this key.
    ///
    /// # Errors
    /// [`StoreError::Sealed`], [`StoreError::Corrupt`], or the database's failure.
    pub async fn read(&self, key: &str) -> Result<Option<Entry>, StoreError> {
        self.store.barrier().unsealed()?;
        let Ok(path) = self.path(key) else { return Ok(None) };
        let Some(stored) = self.store.backend().read(path.clone()).await? else { return Ok(None) };
        let value = self.store.barrier().open_entry(&path, &stored).await?;
        let expires_at =
            stored.expires_at.map(Timestamp::from_microsecond).transpose().map_err(|_| StoreError::corrupt(&*path))?;
        Ok(Some(Entry { version: stored.version, value, expires_at, place: path }))
    }

    /// The direct children below a folder, sorted; a child with children of its own appears as `name/`.
    ///
    /// # Errors
    /// [`StoreError::Sealed`] or the database's failure.
    pub async fn list(&self, prefix: &str, page: Page) -> Result<Vec<String>, StoreError> {
        self.store.barrier().unsealed()?;
        self.store.backend().list(self.view(prefix).prefix.to_string(), page).await
    }

    /// The keys below a folder at any depth, sorted, relative to the folder.
    ///
    /// # Errors
    /// [`StoreError::Sealed`] or the database's failure.
    pub async fn keys(&self, prefix: &str, page: Page) -> Result<Vec<String>, StoreError> {
        self.store.barrier().unsealed()?;
        self.store.backend().keys(self.view(prefix).prefix.to_string(), page).await
    }

    /// Keys of this view that expired at or before the moment, the earliest first; found by index.
    ///
    /// # Errors
    /// [`StoreError::Sealed`] or the database's failure.
    pub async fn expired(&self, before: Timestamp, limit: usize) -> Result<Vec<String>, StoreError> {
        self.store.barrier().unsealed()?;
        self.store.backend().expired(self.prefix.to_string(), microseconds(before), limit).await
    }

    /// The path of a key in this view.
    pub(crate) fn path(&self, key: &str) -> Result<String, StoreError> {
        let path = format!("{}{key}", self.prefix);
        if key.is_empty() || path.len() > LONGEST_PATH || path.contains(['\0', '\u{10FFFF}']) {
            return Err(StoreError::InvalidKey);
        }
        Ok(path)
    }
}

/// The name as a prefix: without a slash at its end `mount/1` would also cover `mount/10`.
fn folder(name: &str) -> String {
    if name.is_empty() || name.ends_with('/') { name.to_owned() } else { format!("{name}/") }
}
