//! What a database must be able to do for the SSH inventory besides [`Operation::Ssh`](super::Operation::Ssh).

use crate::{
    StoreError,
    ssh_inventory::{SshCertificate, SshFilter, SshPage, SshRevocation},
};
use async_trait::async_trait;
use jiff::Timestamp;

/// The SSH half of a [`Backend`](super::Backend).
#[async_trait]
pub trait SshBackend: Send + Sync + 'static {
    /// One certificate.
    async fn ssh_certificate(&self, mount: String, serial: u64) -> Result<Option<SshCertificate>, StoreError>;
    /// Certificates of a mount by serial number.
    async fn ssh_search(
        &self,
        mount: String,
        filter: SshFilter,
        page: SshPage,
    ) -> Result<Vec<SshCertificate>, StoreError>;
    /// The latest end of validity among the certificates of an issuer.
    async fn ssh_last_end(&self, mount: String, issuer: String) -> Result<Option<Timestamp>, StoreError>;
    /// Revocations of a mount in the order of creation.
    async fn ssh_revocations(&self, mount: String, page: SshPage) -> Result<Vec<SshRevocation>, StoreError>;
}
