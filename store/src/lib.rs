//! Sealed storage and the certificate inventory.
//!
//! Two kinds of data share one database and one transaction:
//!
//! - **Sealed entries** ([`View`], [`Entry`]): small values under a path, encrypted by the [`Barrier`] and bound to their
//!   place, so that whoever holds the database can neither read one nor move one.
//! - **Inventory** ([`Certificates`], [`SshInventory`]): indexed tables of what was issued, in clear, because certificates are public and
//!   lists, searches, expiry and revocation must be index scans.
//!
//! Everything is changed by one [`Changes`] value: expected versions, puts, deletes, inventory rows. [`Store::commit`]
//! applies it atomically and returns when it is durable; [`Store::transact`] repeats a read-compute-commit when another
//! caller was faster. Where the bytes lie is a [`backend::Backend`]: SQLite, PostgreSQL,
//! or memory for tests.
//!
//! Reading order: `store.rs`, `changes.rs`, `view.rs`, then `barrier.rs` for the keys and `backend.rs` for the disk.

pub mod backend;
mod barrier;
mod changes;
mod error;
mod inventory;
mod ssh_inventory;
mod store;
mod view;
mod wiped;

pub use backend::{DatabaseReport, FeedPosition, ForeignChanges, JobLease, PostgresConfig, PostgresTls, Sequence};
#[doc(hidden)]
pub use barrier::fuzzing;
pub use barrier::{
    Barrier, BarrierPhase, BarrierState, Initialize, Initialized, KeyStatus, MAXIMUM_ENCRYPTIONS, PreparedRekey,
    SealChoice, SealKind, SealSummary, UnsealProgress,
};
pub use changes::Changes;
pub use error::{ShareFault, StoreError};
pub use inventory::{
    Certificate, CertificateChange, CertificateCursor, CertificateFilter, CertificateIntent, CertificateOrder,
    CertificateQuery, CertificateState, Certificates, Revocation, RevokedCertificate, RevokedPage, RevokedScope,
    SerialPage,
};
pub use ssh_inventory::{
    SshCertificate, SshCertificateKind, SshChange, SshFilter, SshInventory, SshPage, SshRevocation, SshRevocationOrder,
    SshRevocationTarget,
};
pub use store::{Clock, Store, under_lease};
pub use view::{Entry, Page, View};
