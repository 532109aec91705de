//! The road from an order to a certificate: approve, encode, lint, sign, record. The only place that asks a CA key for a
//! signature under a certificate.
//!
//! The row is durable before anyone holds the certificate.

use crate::{
    SshAuthority,
    approve::{Applicant, Approved, Asked},
    authority::Authority,
    certificate::{self, SignedCertificate},
    error::SshError,
    issuer::Issuer,
    public_key::SshPublicKey,
    role::Role,
    signature::SignatureAlgorithm,
};
use chancery_store::{Changes, SshCertificate, SshChange, SshFilter, SshPage};
use jiff::{SignedDuration, Timestamp};
use std::sync::Arc;

/// A request for a certificate.
#[derive(Debug)]
pub(crate) struct Order<'a> {
    pub(crate) role: &'a Role,
    pub(crate) key: SshPublicKey,
    pub(crate) asked: Asked,
    pub(crate) applicant: Applicant<'a>,
    /// For the inventory.
    pub(crate) requester: String,
    /// Address of the client, or empty.
    pub(crate) source: String,
}

/// A certificate that was signed and recorded.
#[derive(Debug)]
pub(crate) struct Issued {
    pub(crate) certificate: SignedCertificate,
    pub(crate) serial: u64,
    pub(crate) issuer: Arc<Issuer>,
    pub(crate) warnings: Vec<String>,
}

impl SshAuthority {
    /// Issues a certificate.
    pub(crate) async fn issue(&self, order: Order<'_>) -> Result<Issued, SshError> {
        let Order { role, key, asked, applicant, requester, source } = order;
        let (approved, warnings) = role.approve(key, &asked, applicant)?;
        let authority = self.authority().await?;
        let issuer = Arc::clone(authority.issuer(&role.issuer_ref)?);
        refuse_retired(&authority, &issuer)?;
        let record = Record { role: applicant.role.to_owned(), requester, source };
        let (certificate, serial) = self.sign(approved, &role.algorithm_signer, &issuer, record).await?;
        Ok(Issued { certificate, serial, issuer, warnings })
    }

    async fn sign(
        &self,
        approved: Approved,
        signer: &str,
        issuer: &Issuer,
        record: Record,
    ) -> Result<(SignedCertificate, u64), SshError> {
        let key = issuer.key()?;
        let algorithm = SignatureAlgorithm::choose(key.reference.algorithm, signer)?;
        let linted = certificate::encode(approved, self.next_serial().await?, &issuer.public_key)?;
        let signature = self.custody.sign(key, algorithm.scheme, linted.to_be_signed().to_vec()).await?;
        let certificate = linted.assemble(&algorithm.encode(&signature)?);
        let approved = linted.approved();
        let mut changes = Changes::default();
        changes.ssh(SshChange::Signed(SshCertificate {
            mount: self.mount().to_owned(),
            serial: linted.serial(),
            issuer: issuer.record.id.clone(),
            kind: approved.kind,
            key_id: approved.key_id.clone(),
            principals: approved.principals.clone(),
            role: record.role,
            requester: record.requester,
            source: record.source,
            key_type: approved.key.kind().name().to_owned(),
            fingerprint: approved.key.fingerprint(),
            valid_after: approved.validity.after,
            valid_before: approved.validity.before,
            created_at: self.now(),
            certificate: certificate.blob.clone(),
        }));
        self.store.commit(changes).await?;
        Ok((certificate, linted.serial()))
    }
}

impl SshAuthority {
    /// Takes certificates out of the inventory that ended longer ago than the mount keeps them; a bounded number at once,
    /// so that nobody waits behind it.
    pub(crate) async fn forget_ended_certificates(&self, now: Timestamp) -> Result<(), SshError> {
        const AT_ONCE: usize = 5_000;
        let retention = i64::try_from(self.inventory_settings().await?.retention).unwrap_or(i64::MAX);
        let Ok(before) = now.checked_sub(SignedDuration::from_secs(retention)) else { return Ok(()) };
        let ended = SshFilter { ends_before: Some(before), ..SshFilter::default() };
        let one = SshPage { after: None, limit: Some(1) };
        if self.store.ssh().search(self.mount(), ended, one).await?.is_empty() {
            return Ok(());
        }
        let mut changes = Changes::default();
        changes.ssh(SshChange::ForgetEnded { mount: self.mount().to_owned(), before, limit: AT_ONCE });
        self.store.commit(changes).await?;
        Ok(())
    }
}

/// What the inventory is told besides.
struct Record {
    role: String,
    requester: String,
    source: String,
}

/// A role may name an issuer by its id: one whose rotation is at its end signs nothing more.
fn refuse_retired(authority: &Authority, issuer: &Issuer) -> Result<(), SshError> {
    let retired = authority.rotations.get(&issuer.record.id).is_some_and(|rotation| !rotation.phase.trusts().0);
    if retired {
        return Err(SshError::Caller(format!(
            "issuer {} was retired by a rotation and is revoked; the role's issuer_ref must name another",
            issuer.record.id
        )));
    }
    Ok(())
}
