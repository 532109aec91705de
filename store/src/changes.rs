//! One change set: what must still be true, and what to write if it is.

use crate::{
    StoreError,
    backend::{Batch, Expectation, Operation, microseconds},
    barrier::Barrier,
    inventory::CertificateChange,
    ssh_inventory::SshChange,
    view::View,
    wiped::to_json,
};
use jiff::Timestamp;
use serde::Serialize;
use zeroize::Zeroizing;

/// A change set for [`crate::Store::commit`]: applied as a whole or not at all.
///
/// Expectations are checked against the state before the first operation; operations apply in the order given.
#[derive(Default)]
pub struct Changes {
    expectations: Vec<Expectation>,
    steps: Vec<Step>,
}

enum Step {
    Put { path: String, value: Zeroizing<Vec<u8>>, expires_at: Option<i64> },
    Ready(Operation),
}

impl std::fmt::Debug for Changes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Changes")
            .field("expectations", &self.expectations.len())
            .field("steps", &self.steps.len())
            .finish()
    }
}

impl Changes {
    /// Writes the value as JSON, whatever was there.
    ///
    /// # Errors
    /// [`StoreError::InvalidKey`], [`StoreError::Encode`].
    pub fn put<T: Serialize + ?Sized>(&mut self, view: &View, key: &str, value: &T) -> Result<&mut Self, StoreError> {
        self.write(view.path(key)?, value, None)
    }

    /// Writes the value, to be swept from the moment on.
    ///
    /// # Errors
    /// [`StoreError::InvalidKey`], [`StoreError::Encode`].
    pub fn put_expiring<T: Serialize + ?Sized>(
        &mut self,
        view: &View,
        key: &str,
        value: &T,
        expires_at: Timestamp,
    ) -> Result<&mut Self, StoreError> {
        self.write(view.path(key)?, value, Some(expires_at))
    }

    /// Writes the value; the commit answers `Conflict` if something is there already.
    ///
    /// # Errors
    /// [`StoreError::InvalidKey`], [`StoreError::Encode`].
    pub fn create<T: Serialize + ?Sized>(
        &mut self,
        view: &View,
        key: &str,
        value: &T,
    ) -> Result<&mut Self, StoreError> {
        self.expect_absent(view, key).put(view, key, value)
    }

    /// Like [`Changes::create`], to be swept from the moment on.
    ///
    /// # Errors
    /// [`StoreError::InvalidKey`], [`StoreError::Encode`].
    pub fn create_expiring<T: Serialize + ?Sized>(
        &mut self,
        view: &View,
        key: &str,
        value: &T,
        expires_at: Timestamp,
    ) -> Result<&mut Self, StoreError> {
        self.expect_absent(view, key).put_expiring(view, key, value, expires_at)
    }

    /// Writes the value; the commit answers `Conflict` unless the entry still has this version.
    ///
    /// # Errors
    /// [`StoreError::InvalidKey`], [`StoreError::Encode`].
    #[expect(clippy::too_many_arguments, reason = "five facts and the builder itself")]
    pub fn replace<T: Serialize + ?Sized>(
        &mut self,
        view: &View,
        key: &str,
        value: &T,
        version: u64,
        expires_at: Option<Timestamp>,
    ) -> Result<&mut Self, StoreError> {
        self.expect_version(view, key, version).write(view.path(key)?, value, expires_at)
    }

    /// Removes the entry, if there is one.
    pub fn delete(&mut self, view: &View, key: &str) -> &mut Self {
        if let Ok(path) = view.path(key) {
            self.steps.push(Step::Ready(Operation::Delete { path }));
        }
        self
    }

    /// Removes every entry of the view and of the views below it.
    pub fn delete_view(&mut self, view: &View) -> &mut Self {
        self.steps.push(Step::Ready(Operation::DeleteBelow { prefix: view.name().to_owned() }));
        self
    }

    /// The commit answers `Conflict` if something is at this key.
    pub fn expect_absent(&mut self, view: &View, key: &str) -> &mut Self {
        if let Ok(path) = view.path(key) {
            self.expectations.push(Expectation::Absent { path });
        }
        self
    }

    /// The commit answers `Conflict` unless the entry has this version.
    pub fn expect_version(&mut self, view: &View, key: &str, version: u64) -> &mut Self {
        // A key that cannot exist has no version: the name alone is an expectation that fails.
        let path = view.path(key).unwrap_or_default();
        self.expectations.push(Expectation::Version { path, version });
        self
    }

    /// Changes the certificate inventory.
    pub fn certificate(&mut self, change: CertificateChange) -> &mut Self {
        self.steps.push(Step::Ready(Operation::Certificate(Box::new(change))));
        self
    }

    /// Changes the SSH inventory.
    pub fn ssh(&mut self, change: SshChange) -> &mut Self {
        self.steps.push(Step::Ready(Operation::Ssh(Box::new(change))));
        self
    }

    /// Takes over everything of another change set, behind what is here.
    pub fn append(&mut self, mut other: Self) -> &mut Self {
        self.expectations.append(&mut other.expectations);
        self.steps.append(&mut other.steps);
        self
    }

    /// Whether there is nothing to check and nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.expectations.is_empty() && self.steps.is_empty()
    }

    fn write<T: Serialize + ?Sized>(
        &mut self,
        path: String,
        value: &T,
        expires_at: Option<Timestamp>,
    ) -> Result<&mut Self, StoreError> {
        let value = to_json(&path, value)?;
        self.steps.push(Step::Put { path, value, expires_at: expires_at.map(microseconds) });
        Ok(self)
    }

    /// Seals every value under the barrier's active key.
    pub(crate) async fn seal(self, barrier: &Barrier) -> Result<Batch, StoreError> {
        let puts = self.steps.iter().filter(|step| matches!(step, Step::Put { .. })).count();
        let sealer = barrier.sealer(puts).await?;
        let mut operations = Vec::with_capacity(self.steps.len());
        for step in self.steps {
            operations.push(match step {
                Step::Put { path, value, expires_at } => {
                    let value = sealer.seal_entry(&path, expires_at, &value)?;
                    Operation::Put { path, value, expires_at }
                }
                Step::Ready(operation) => operation,
            });
        }
        Ok(Batch { expectations: self.expectations, operations })
    }
}
