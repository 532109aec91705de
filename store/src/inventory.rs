//! The certificate inventory: typed rows, typed changes, reads by index.
//!
//! A certificate goes `intent` -> `issued` -> `revoked`. The intent is durable before the HSM is asked to sign and the
//! certificate is durable before anyone holds it, so no certificate exists that the inventory does not know.
//!
//! Every list is a page: what it costs grows with the page, not with the inventory. Revocations carry the [`Sequence`]
//! of the commit that made them, so that whoever keeps a copy of what is revoked (a CRL, an OCSP cache, another process)
//! asks only for what came since.
//!
//! [`Sequence`]: crate::Sequence

use crate::{Store, StoreError};
use jiff::Timestamp;

/// How far a certificate has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertificateState {
    /// About to be signed; nobody holds it.
    Intent,
    /// Signed.
    Issued,
    /// Signed and revoked.
    Revoked,
}

/// When and why a certificate was revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Revocation {
    /// When.
    pub at: Timestamp,
    /// CRLReason of RFC 5280 section 5.3.1.
    pub reason: u8,
}

/// What is known of a certificate before it is signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateIntent {
    /// Name of the mount that issues it.
    pub mount: String,
    /// The serial number, big-endian without leading zeros.
    pub serial: Vec<u8>,
    /// Id of the issuer.
    pub issuer: String,
    /// The role, or empty.
    pub role: String,
    /// Who asked: the token's display name or entity.
    pub requester: String,
    /// Common name of the subject, or empty.
    pub common_name: String,
    /// Subject alternative names as text; searched one by one.
    pub names: Vec<String>,
    /// Such as `ec-p256`.
    pub key_type: String,
    /// Start of validity.
    pub not_before: Timestamp,
    /// End of validity.
    pub not_after: Timestamp,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// The CRL shard its distribution point names; 0 where it names none.
    pub shard: u32,
}

/// A row of the inventory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// Number in the order of creation; the cursor of a page in that order.
    pub id: u64,
    /// What was known before it was signed.
    pub intent: CertificateIntent,
    /// How far it has come.
    pub state: CertificateState,
    /// The certificate; empty while it is an intent.
    pub der: Vec<u8>,
    /// Set once revoked.
    pub revocation: Option<Revocation>,
}

/// What a CRL needs of a revoked certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevokedCertificate {
    /// The serial number.
    pub serial: Vec<u8>,
    /// When and why.
    pub revocation: Revocation,
    /// End of validity.
    pub not_after: Timestamp,
    /// Number of the commit that revoked it.
    pub sequence: u64,
}

/// One change of the inventory, part of a [`crate::Changes`].
#[derive(Debug, Clone)]
pub enum CertificateChange {
    /// A certificate is about to be signed. `Conflict` if the mount has used the serial number before.
    Intent(CertificateIntent),
    /// It was signed. `Conflict` unless it is an intent.
    Issued {
        /// The mount.
        mount: String,
        /// The serial number.
        serial: Vec<u8>,
        /// The certificate.
        der: Vec<u8>,
    },
    /// It is revoked. `Conflict` unless it is issued and not yet revoked.
    Revoke {
        /// The mount.
        mount: String,
        /// The serial number.
        serial: Vec<u8>,
        /// When and why.
        revocation: Revocation,
    },
    /// It will not be signed. `Conflict` unless it is an intent.
    Abandon {
        /// The mount.
        mount: String,
        /// The serial number.
        serial: Vec<u8>,
    },
    /// Removes the row, whatever its state; nothing happens if there is none.
    Delete {
        /// The mount.
        mount: String,
        /// The serial number.
        serial: Vec<u8>,
    },
    /// Removes every row of the mount.
    DeleteMount {
        /// The mount.
        mount: String,
    },
}

/// Which certificates of a mount; every field given must match.
#[derive(Debug, Clone, Default)]
pub struct CertificateFilter {
    /// Issued by this mount.
    pub mount: String,
    /// By this issuer.
    pub issuer: Option<String>,
    /// Under this role.
    pub role: Option<String>,
    /// Asked for by this requester.
    pub requester: Option<String>,
    /// With this common name.
    pub common_name: Option<String>,
    /// With this among the subject alternative names.
    pub name: Option<String>,
    /// With a key of this type.
    pub key_type: Option<String>,
    /// In this state.
    pub state: Option<CertificateState>,
    /// Ending at or after.
    pub expires_from: Option<Timestamp>,
    /// Ending before.
    pub expires_before: Option<Timestamp>,
    /// Asked for before.
    pub created_before: Option<Timestamp>,
}

/// What a search is sorted by. Texts are compared byte by byte; equal ones follow in the order in which they end, and
/// those that end together in the order of creation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CertificateOrder {
    /// [`Certificate::id`]
    #[default]
    Created,
    /// End of validity.
    Expiry,
    /// Common name.
    CommonName,
    /// Id of the issuer.
    Issuer,
    /// Role.
    Role,
    /// Requester.
    Requester,
    /// Type of the key.
    KeyType,
    /// State: intents, issued ones, revoked ones.
    State,
}

/// A place in a sorted search: that of the row it was made of. It stays good when the row is deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateCursor {
    /// The text that is sorted by; the state's number as text; empty for [`CertificateOrder::Created`] and
    /// [`CertificateOrder::Expiry`].
    pub key: String,
    /// End of validity.
    pub not_after: Timestamp,
    /// [`Certificate::id`]
    pub id: u64,
}

/// A page of a search. The default, with a mount, is everything in the order of creation.
#[derive(Debug, Clone, Default)]
pub struct CertificateQuery {
    /// Which.
    pub filter: CertificateFilter,
    /// Sorted by what.
    pub order: CertificateOrder,
    /// Largest first.
    pub descending: bool,
    /// Start behind this place.
    pub after: Option<CertificateCursor>,
    /// At most so many rows.
    pub limit: Option<usize>,
}

/// Which part of a list of serial numbers, in byte order. The default is all of it.
#[derive(Debug, Clone, Default)]
pub struct SerialPage {
    /// Start behind this serial number.
    pub after: Option<Vec<u8>>,
    /// At most so many.
    pub limit: Option<usize>,
}

/// Whose revoked certificates.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RevokedScope {
    /// Id of the issuer.
    pub issuer: String,
    /// Only those of this CRL shard.
    pub shard: Option<u32>,
}

/// Which part of a list of revoked certificates, in the order in which they were revoked: by the number of the commit,
/// then by serial number. The default is all of it.
#[derive(Debug, Clone, Default)]
pub struct RevokedPage {
    /// Only those that a later commit revoked.
    pub since: u64,
    /// Start behind this commit and serial number.
    pub after: Option<(u64, Vec<u8>)>,
    /// At most so many.
    pub limit: Option<usize>,
}

impl CertificateState {
    /// The number that states are sorted by.
    #[must_use]
    pub fn rank(self) -> u8 {
        match self {
            Self::Intent => 0,
            Self::Issued => 1,
            Self::Revoked => 2,
        }
    }
}

impl CertificateCursor {
    /// The place of `row` in a search sorted by `order`.
    #[must_use]
    pub fn of(row: &Certificate, order: CertificateOrder) -> Self {
        let intent = &row.intent;
        let key = match order {
            CertificateOrder::Created | CertificateOrder::Expiry => String::new(),
            CertificateOrder::CommonName => intent.common_name.clone(),
            CertificateOrder::Issuer => intent.issuer.clone(),
            CertificateOrder::Role => intent.role.clone(),
            CertificateOrder::Requester => intent.requester.clone(),
            CertificateOrder::KeyType => intent.key_type.clone(),
            CertificateOrder::State => row.state.rank().to_string(),
        };
        Self { key, not_after: intent.not_after, id: row.id }
    }
}

/// Reads of the inventory. All of them are index scans.
#[derive(Debug, Clone)]
pub struct Certificates {
    store: Store,
}

impl Certificates {
    pub(crate) fn new(store: Store) -> Self {
        Self { store }
    }

    /// One certificate.
    ///
    /// # Errors
    /// [`StoreError::Sealed`] or the database's failure.
    pub async fn by_serial(&self, mount: &str, serial: &[u8]) -> Result<Option<Certificate>, StoreError> {
        self.store.barrier().unsealed()?;
        self.store.backend().certificate(mount.to_owned(), serial.to_owned()).await
    }

    /// Serial numbers of what a mount issued, revoked certificates too, intents not.
    ///
    /// # Errors
    /// [`StoreError::Sealed`] or the database's failure.
    pub async fn list_serials(&self, mount: &str, page: SerialPage) -> Result<Vec<Vec<u8>>, StoreError> {
        self.store.barrier().unsealed()?;
        self.store.backend().serials(mount.to_owned(), page).await
    }

    /// Serial numbers of what is revoked of a mount's certificates.
    ///
    /// # Errors
    /// [`StoreError::Sealed`] or the database's failure.
    pub async fn list_revoked_serials(&self, mount: &str, page: SerialPage) -> Result<Vec<Vec<u8>>, StoreError> {
        self.store.barrier().unsealed()?;
        self.store.backend().revoked_serials(mount.to_owned(), page).await
    }

    /// Revoked certificates of one issuer of a mount, in the order in which they were revoked: what its CRL lists, or
    /// what it lacks since it was made.
    ///
    /// # Errors
    /// [`StoreError::Sealed`] or the database's failure.
    pub async fn revoked(
        &self,
        mount: &str,
        scope: RevokedScope,
        page: RevokedPage,
    ) -> Result<Vec<RevokedCertificate>, StoreError> {
        self.store.barrier().unsealed()?;
        self.store.backend().revoked(mount.to_owned(), scope, page).await
    }

    /// Certificates that pass the filter, sorted.
    ///
    /// # Errors
    /// [`StoreError::Sealed`] or the database's failure.
    pub async fn search(&self, query: CertificateQuery) -> Result<Vec<Certificate>, StoreError> {
        self.store.barrier().unsealed()?;
        self.store.backend().search(query).await
    }

    /// How many certificates pass the filter.
    ///
    /// # Errors
    /// [`StoreError::Sealed`] or the database's failure.
    pub async fn count(&self, filter: CertificateFilter) -> Result<u64, StoreError> {
        self.store.barrier().unsealed()?;
        self.store.backend().count(filter).await
    }
}
