//! Revoking. A revocation is durable before it is published; see [`crate::publication`] for how it then gets onto a CRL.

use crate::{
    CertificateAuthority,
    authority::Authority,
    crl::shard,
    error::CaError,
    facts::CertificateFacts,
    publication::{CrlScope, Need},
    serial::SerialNumber,
};
use chancery_store::{Certificate as Row, CertificateChange, CertificateState, Changes, Revocation, StoreError};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What became of a request to revoke.
#[derive(Debug)]
pub enum RevocationOutcome {
    /// Revoked at this moment, by this request or an earlier one. The text is a warning: the CRL is late.
    Revoked(Timestamp, Option<String>),
    /// Not revoked: it has expired, and the settings do not want expired ones on the CRL.
    Expired(SerialNumber),
}

/// The reason nobody gave.
const UNSPECIFIED: u8 = 0;

/// What a lease for a certificate keeps.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct LeasedCertificate {
    pub(crate) serial_number: SerialNumber,
}

impl CertificateAuthority {
    /// Revokes a certificate this mount recorded.
    ///
    /// # Errors
    /// [`CaError::Caller`] where there is none, or where it is an issuer's own.
    pub async fn revoke(&self, text: &str) -> Result<RevocationOutcome, CaError> {
        let missing = || CaError::Caller(format!("certificate with serial {text} not found."));
        let serial = SerialNumber::parse(text).ok_or_else(missing)?;
        let row = self.recorded(&serial).await?.ok_or_else(missing)?;
        self.revoke_row(row, UNSPECIFIED).await
    }

    /// Revokes a certificate this mount recorded, for a reason (CRLReason of RFC 5280 §5.3.1).
    ///
    /// # Errors
    /// See [`CertificateAuthority::revoke`].
    pub async fn revoke_for(&self, serial: &SerialNumber, reason: u8) -> Result<RevocationOutcome, CaError> {
        let row = self.recorded(serial).await?.ok_or(CaError::Absent)?;
        self.revoke_row(row, reason).await
    }

    /// Revokes a certificate that is presented; it need not have been recorded.
    ///
    /// # Errors
    /// [`CaError::Caller`] where no issuer here signed it.
    pub async fn revoke_presented(&self, der: &[u8]) -> Result<RevocationOutcome, CaError> {
        let facts = CertificateFacts::parse(der)?;
        let authority = self.authority().await?;
        let issuer = authority.issuers.values().find(|issuer| facts.is_signed_by(&issuer.facts)).ok_or_else(|| {
            CaError::caller("unable to verify signature on presented cert from any present issuer in this mount; certificates from previous CAs will need to have their issuing CA and key re-imported if revocation is necessary")
        })?;
        let known = self.store.certificates().by_serial(self.mount(), facts.serial.as_bytes()).await?;
        let mut changes = Changes::default();
        match known.map(|row| row.state) {
            None => {
                let urls = authority.urls_of(issuer).unwrap_or_default();
                self.adopt(&facts, (&issuer.record.id, shard::stated(der, &urls)), &mut changes);
            }
            // It was signed, but recording that failed; somebody holds it all the same.
            Some(CertificateState::Intent) => self.record_issued(&facts, &mut changes),
            Some(_) => {}
        }
        self.store.commit(changes).await?;
        self.revoke(&facts.serial.to_string()).await
    }

    /// What a lease stood for is revoked; one that is gone, expired or revoked already is done.
    pub(crate) async fn revoke_leased(&self, internal: &[u8]) -> Result<(), CaError> {
        let leased: LeasedCertificate =
            serde_json::from_slice(internal).map_err(|error| CaError::corrupt("lease", error))?;
        if let Some(row) = self.recorded(&leased.serial_number).await? {
            self.revoke_row(row, UNSPECIFIED).await?;
        }
        Ok(())
    }

    /// A certificate that somebody may hold, from the inventory.
    pub(crate) async fn recorded(&self, serial: &SerialNumber) -> Result<Option<Row>, CaError> {
        let row = self.store.certificates().by_serial(self.mount(), serial.as_bytes()).await?;
        Ok(row.filter(|row| row.state != CertificateState::Intent))
    }

    async fn revoke_row(&self, row: Row, reason: u8) -> Result<RevocationOutcome, CaError> {
        let serial = SerialNumber::from_bytes(&row.intent.serial);
        if let Some(revocation) = row.revocation {
            return Ok(RevocationOutcome::Revoked(revocation.at, None));
        }
        let authority = self.fresh_authority().await?;
        if let Some(issuer) = authority.issuers.values().find(|issuer| issuer.facts.der == row.der)
            && issuer.record.id == row.intent.issuer
        {
            return Err(CaError::Caller(format!(
                "adding issuer (id: {}) to its own CRL is not allowed",
                issuer.record.id
            )));
        }
        let now = self.now();
        if row.intent.not_after < now && !authority.crl_settings.allow_expired_cert_revocation {
            return Ok(RevocationOutcome::Expired(serial));
        }
        let revocation = Revocation { at: now, reason };
        let mut changes = Changes::default();
        changes.certificate(CertificateChange::Revoke {
            mount: self.mount().to_owned(),
            serial: row.intent.serial.clone(),
            revocation,
        });
        let sequence = match self.store.commit(changes).await {
            Ok(sequence) => sequence.0,
            // Somebody revoked it meanwhile: their moment counts.
            Err(StoreError::Conflict) => {
                let row = self.recorded(&serial).await?;
                let revoked = row.and_then(|row| row.revocation).ok_or(StoreError::Conflict)?;
                return Ok(RevocationOutcome::Revoked(revoked.at, None));
            }
            Err(error) => return Err(error.into()),
        };
        self.answers.forget(&row.intent.serial);
        let warning = self.show(&authority, &row, sequence).await.err().map(|error| {
            tracing::warn!(%error, "a certificate was revoked, but its CRL could not be rebuilt yet");
            "the certificate is revoked, but the CRL could not be rebuilt; it will be tried again".to_owned()
        });
        if let Err(error) = self.answer_revoked(&authority, &row).await {
            tracing::warn!(%error, "a certificate was revoked, but its OCSP answers could not be signed anew yet");
        }
        Ok(RevocationOutcome::Revoked(now, warning))
    }

    /// Publishes a revocation where the certificate says that it is looked for. The complete list of a sharded issuer
    /// follows when somebody fetches it, or at the next tick.
    async fn show(&self, authority: &Authority, row: &Row, sequence: u64) -> Result<(), CaError> {
        let id = &row.intent.issuer;
        let need = Need::Revocation(sequence);
        if row.intent.shard > 0 {
            self.publish(id, CrlScope::Shard(row.intent.shard), need).await?;
        } else if !authority.crl_settings.auto_rebuild {
            self.publish(id, CrlScope::Complete, need).await?;
        }
        Ok(())
    }
}
