//! The SSH inventory: what SSH certificates were signed, and what was revoked.
//!
//! A row is durable before anyone holds its certificate. Revocations are rows of their own, because most of them name no
//! certificate: a range of serial numbers, a key id, a key.

use crate::{Store, StoreError};
use jiff::Timestamp;

/// Whom an SSH certificate is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SshCertificateKind {
    /// A person or a program that logs in.
    User,
    /// A machine that is logged in to.
    Host,
}

/// A signed SSH certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshCertificate {
    /// Name of the mount that signed it.
    pub mount: String,
    /// The serial number; a mount uses each once.
    pub serial: u64,
    /// Id of the issuer.
    pub issuer: String,
    /// User or host.
    pub kind: SshCertificateKind,
    /// The key id, which sshd writes into its log.
    pub key_id: String,
    /// User names or host names; searched one by one.
    pub principals: Vec<String>,
    /// The role.
    pub role: String,
    /// Who asked: the token's display name, or the certificate a renewal was proven with.
    pub requester: String,
    /// Address the request came from, or empty.
    pub source: String,
    /// Such as `ssh-ed25519`.
    pub key_type: String,
    /// `SHA256:…` of the certified key, as `ssh-keygen -l` shows it.
    pub fingerprint: String,
    /// Start of validity.
    pub valid_after: Timestamp,
    /// End of validity.
    pub valid_before: Timestamp,
    /// When it was signed.
    pub created_at: Timestamp,
    /// The certificate in OpenSSH's binary format.
    pub certificate: Vec<u8>,
}

/// What a revocation takes out of use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SshRevocationTarget {
    /// Certificates with serial numbers from `first` to `last`, both included.
    Serials {
        /// The first.
        first: u64,
        /// The last.
        last: u64,
    },
    /// Certificates with this key id.
    KeyId(String),
    /// A key, certified or not, in OpenSSH's binary format. A CA's key takes everything it signed along.
    Key(Vec<u8>),
    /// A key by its SHA-256 fingerprint.
    Fingerprint(Vec<u8>),
}

/// A revocation as it is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshRevocationOrder {
    /// Name of the mount.
    pub mount: String,
    /// Id of the issuer whose certificates are meant; empty for all of the mount's.
    pub issuer: String,
    /// What is revoked.
    pub target: SshRevocationTarget,
    /// Who asked.
    pub requester: String,
    /// Why, in the operator's words.
    pub reason: String,
    /// When.
    pub at: Timestamp,
    /// From when on nobody needs to be told any more, because what it names has expired by itself.
    pub expires_at: Option<Timestamp>,
}

/// A revocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshRevocation {
    /// Number in the order of creation; never given twice.
    pub id: u64,
    /// What it says.
    pub order: SshRevocationOrder,
}

/// One change of the SSH inventory, part of a [`crate::Changes`].
#[derive(Debug, Clone)]
pub enum SshChange {
    /// A certificate was signed. `Conflict` if the mount has used the serial number before.
    Signed(SshCertificate),
    /// Something is revoked.
    Revoke(SshRevocationOrder),
    /// A revocation is taken back. `Conflict` if there is none with this id.
    Restore {
        /// The mount.
        mount: String,
        /// Its [`SshRevocation::id`].
        id: u64,
    },
    /// Removes certificates that ended before the moment, those that ended first, at most so many.
    ForgetEnded {
        /// The mount.
        mount: String,
        /// The moment.
        before: Timestamp,
        /// At most so many.
        limit: usize,
    },
    /// Removes revocations whose [`SshRevocationOrder::expires_at`] lies before the moment.
    ForgetRevocations {
        /// The mount.
        mount: String,
        /// The moment.
        before: Timestamp,
    },
    /// Removes every row of the mount.
    DeleteMount {
        /// The mount.
        mount: String,
    },
}

/// Which certificates of a mount; every field given must match.
#[derive(Debug, Clone, Default)]
pub struct SshFilter {
    /// By this issuer.
    pub issuer: Option<String>,
    /// Under this role.
    pub role: Option<String>,
    /// Asked for by this requester.
    pub requester: Option<String>,
    /// With this key id.
    pub key_id: Option<String>,
    /// With this among the principals.
    pub principal: Option<String>,
    /// For this key.
    pub fingerprint: Option<String>,
    /// For users or for hosts.
    pub kind: Option<SshCertificateKind>,
    /// Ending at or after.
    pub ends_from: Option<Timestamp>,
    /// Ending before.
    pub ends_before: Option<Timestamp>,
}

/// Which part of a list, in the order of serial numbers or of ids. The default is all of it.
#[derive(Debug, Clone, Copy, Default)]
pub struct SshPage {
    /// Start behind this serial number or id.
    pub after: Option<u64>,
    /// At most so many rows.
    pub limit: Option<usize>,
}

/// Reads of the SSH inventory. All of them are index scans.
#[derive(Debug, Clone)]
pub struct SshInventory {
    store: Store,
}

impl SshInventory {
    pub(crate) fn new(store: Store) -> Self {
        Self { store }
    }

    /// One certificate.
    ///
    /// # Errors
    /// [`StoreError::Sealed`] or the database's failure.
    pub async fn by_serial(&self, mount: &str, serial: u64) -> Result<Option<SshCertificate>, StoreError> {
        self.store.barrier().unsealed()?;
        self.store.backend().ssh_certificate(mount.to_owned(), serial).await
    }

    /// Certificates of a mount that pass the filter, by serial number.
    ///
    /// # Errors
    /// [`StoreError::Sealed`] or the database's failure.
    pub async fn search(
        &self,
        mount: &str,
        filter: SshFilter,
        page: SshPage,
    ) -> Result<Vec<SshCertificate>, StoreError> {
        self.store.barrier().unsealed()?;
        self.store.backend().ssh_search(mount.to_owned(), filter, page).await
    }

    /// When the last of the certificates an issuer has signed ends.
    ///
    /// # Errors
    /// [`StoreError::Sealed`] or the database's failure.
    pub async fn last_end(&self, mount: &str, issuer: &str) -> Result<Option<Timestamp>, StoreError> {
        self.store.barrier().unsealed()?;
        self.store.backend().ssh_last_end(mount.to_owned(), issuer.to_owned()).await
    }

    /// Revocations of a mount, in the order of creation.
    ///
    /// # Errors
    /// [`StoreError::Sealed`] or the database's failure.
    pub async fn revocations(&self, mount: &str, page: SshPage) -> Result<Vec<SshRevocation>, StoreError> {
        self.store.barrier().unsealed()?;
        self.store.backend().ssh_revocations(mount.to_owned(), page).await
    }
}
