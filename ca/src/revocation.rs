//! Revoking, and publishing what was revoked.
//!
//! A revocation is durable together with a mark that the CRL is stale; the mark goes with the CRL that holds the
//! revocation. So a CRL that could not be signed (HSM away, crash) is made up for by the next tick.

use crate::{
    CertificateAuthority,
    authority::Authority,
    crl::{self, CrlHeader, CrlRecord},
    error::CaError,
    facts::CertificateFacts,
    issuer::{Issuer, Usage},
    serial::SerialNumber,
    signature::{SignatureAlgorithm, SignaturePreference},
    storage,
};
use chancery_hsm::SignInput;
use chancery_store::{
    Certificate as Row, CertificateChange, CertificateState, Changes, Revocation, RevokedCertificate, RevokedPage,
    RevokedScope,
};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::sync::{Arc, atomic::Ordering};

/// What became of a request to revoke.
#[derive(Debug)]
pub enum RevocationOutcome {
    /// Revoked at this moment, by this request or an earlier one. The text is a warning: the CRL is late.
    Revoked(Timestamp, Option<String>),
    /// Not revoked: it has expired, and the settings do not want expired ones on the CRL.
    Expired(SerialNumber),
}

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
        self.revoke_row(row).await
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
            None => self.adopt(&facts, &issuer.record.id, &mut changes),
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
            self.revoke_row(row).await?;
        }
        Ok(())
    }

    /// A certificate that somebody may hold, from the inventory.
    pub(crate) async fn recorded(&self, serial: &SerialNumber) -> Result<Option<Row>, CaError> {
        let row = self.store.certificates().by_serial(self.mount(), serial.as_bytes()).await?;
        Ok(row.filter(|row| row.state != CertificateState::Intent))
    }

    async fn revoke_row(&self, row: Row) -> Result<RevocationOutcome, CaError> {
        let serial = SerialNumber::from_bytes(&row.intent.serial);
        if let Some(revocation) = row.revocation {
            return Ok(RevocationOutcome::Revoked(revocation.at, None));
        }
        let authority = self.authority().await?;
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
        let revocation = Revocation { at: now, reason: 0 };
        let mut changes = Changes::default();
        changes.certificate(CertificateChange::Revoke {
            mount: self.mount().to_owned(),
            serial: row.intent.serial.clone(),
            revocation,
        });
        changes.put(&self.view, &storage::stale_crl(&row.intent.issuer), &())?;
        match self.store.commit(changes).await {
            Ok(_) => {}
            // Somebody revoked it meanwhile: their moment counts.
            Err(chancery_store::StoreError::Conflict) => {
                let row = self.recorded(&serial).await?;
                let revoked = row.and_then(|row| row.revocation).ok_or(chancery_store::StoreError::Conflict)?;
                return Ok(RevocationOutcome::Revoked(revoked.at, None));
            }
            Err(error) => return Err(error.into()),
        }
        let count = self.revocations.fetch_add(1, Ordering::SeqCst) + 1;
        let warning = if authority.crl_settings.auto_rebuild {
            None
        } else {
            self.publish(&authority, &row.intent.issuer, Some(count)).await.err().map(|error| {
                tracing::warn!(%error, "a certificate was revoked, but its CRL could not be rebuilt yet");
                "the certificate is revoked, but the CRL could not be rebuilt; it will be tried again".to_owned()
            })
        };
        Ok(RevocationOutcome::Revoked(now, warning))
    }

    /// Rebuilds the CRL that `issuer` belongs on, unless one built meanwhile holds revocation `count` already.
    /// Does nothing for an issuer that is gone, has no key here or may not sign CRLs; says so by `false`.
    pub(crate) async fn publish(
        &self,
        authority: &Authority,
        issuer: &str,
        count: Option<u64>,
    ) -> Result<bool, CaError> {
        let issuer = authority.issuers.get(issuer).or_else(|| authority.retired.get(issuer));
        let Some(issuer) = issuer else { return Ok(false) };
        let equivalents = authority.equivalents(issuer);
        let can_sign = |issuer: &&Arc<Issuer>| {
            let record = &issuer.record;
            let is_here = authority.issuers.contains_key(&record.id) && !record.key_id.is_empty();
            is_here && record.usage.has(Usage::CrlSigning)
        };
        let signer = equivalents.iter().find(can_sign);
        let Some(signer) = signer else { return Ok(false) };
        let mut built = self.crl_turn.lock().await;
        let holds = built.get(&signer.record.id).copied().unwrap_or(0);
        if count.is_some_and(|count| count <= holds) {
            return Ok(true);
        }
        let count = self.revocations.load(Ordering::SeqCst);
        self.store
            .transact("publish CRL", || async {
                Ok::<_, CaError>((self.build(authority, signer, &equivalents).await?, ()))
            })
            .await?;
        built.insert(signer.record.id.clone(), count);
        Ok(true)
    }

    /// One attempt: everything is read after the marks of staleness, and committed only if those did not move.
    async fn build(
        &self,
        authority: &Authority,
        signer: &Arc<Issuer>,
        equivalents: &[Arc<Issuer>],
    ) -> Result<Changes, CaError> {
        let mut changes = Changes::default();
        for issuer in equivalents {
            let mark = storage::stale_crl(&issuer.record.id);
            if let Some(entry) = self.view.read(&mark).await? {
                changes.expect_version(&self.view, &mark, entry.version).delete(&self.view, &mark);
            }
        }
        let place = storage::crl(&signer.record.id);
        let previous = self.view.read(&place).await?;
        let record = self.crl_of(authority, signer).await?;
        let revoked = self.revoked(authority, equivalents).await?;
        let key = authority
            .keys
            .get(&signer.record.key_id)
            .ok_or_else(|| CaError::corrupt(format!("issuer {}", signer.record.id), "its key is not in this mount"))?;
        let algorithm = match signer.record.revocation_signature_algorithm.as_str() {
            "" => SignatureAlgorithm::choose(key.reference.algorithm, SignaturePreference::default())?,
            name => SignatureAlgorithm::by_wire_name(name)?,
        };
        // RFC 5280 §5.2.3: the number rises, and time does not run backwards even if the clock does.
        let this_update = record.as_ref().map_or(self.now(), |record| self.now().max(record.this_update));
        let next_update = this_update
            .checked_add(SignedDuration::from_secs(authority.crl_settings.lifetime()))
            .map_err(|_| CaError::caller("CRL expiry reaches beyond the year 9999"))?;
        let number = record.map_or(0, |record| record.number).saturating_add(1);
        let header =
            CrlHeader { issuer: &signer.facts, algorithm: &algorithm.identifier, number, this_update, next_update };
        let tbs = crl::encode(header, &revoked)?;
        let signature = self.custody.sign(key, algorithm.scheme, SignInput::Message(tbs.clone())).await?;
        let der = crl::assemble(&tbs, &algorithm.identifier, &signature)?;
        let record = CrlRecord { number, this_update, next_update, der };
        match previous {
            Some(entry) => changes.replace(&self.view, &place, &record, entry.version, None)?,
            None => changes.create(&self.view, &place, &record)?,
        };
        Ok(changes)
    }

    async fn revoked(
        &self,
        authority: &Authority,
        equivalents: &[Arc<Issuer>],
    ) -> Result<Vec<RevokedCertificate>, CaError> {
        let mut revoked = Vec::new();
        if authority.crl_settings.disable {
            return Ok(revoked);
        }
        let inventory = self.store.certificates();
        for issuer in equivalents {
            let scope = RevokedScope { issuer: issuer.record.id.clone(), shard: None };
            revoked.extend(inventory.revoked(self.mount(), scope, RevokedPage::default()).await?);
        }
        Ok(revoked)
    }

    /// The CRL of an issuer, or of one with the same key and name.
    pub(crate) async fn crl_of(&self, authority: &Authority, issuer: &Issuer) -> Result<Option<CrlRecord>, CaError> {
        let mut newest: Option<CrlRecord> = None;
        for issuer in authority.equivalents(issuer) {
            let record: Option<CrlRecord> = storage::read(&self.view, &storage::crl(&issuer.record.id)).await?;
            if let Some(record) = record
                && newest.as_ref().is_none_or(|newest| record.number > newest.number)
            {
                newest = Some(record);
            }
        }
        Ok(newest)
    }

    /// Rebuilds every CRL. Returns warnings about those that could not be. One that fails does not keep the others back.
    pub(crate) async fn publish_all(&self) -> Result<Vec<String>, CaError> {
        let authority = self.authority().await?;
        let (mut warnings, mut failure) = (Vec::new(), None);
        for id in authority.issuers.keys() {
            let outcome = self.publish(&authority, id, None).await;
            if matches!(outcome, Ok(false)) {
                warnings.push(format!(
                    "Warning during CRL rebuild: no issuer with the key of issuer {id} may sign CRLs; its CRL was not rebuilt"
                ));
            }
            failure = failure.or(outcome.err());
        }
        failure.map_or(Ok(warnings), Err)
    }

    /// Rebuilds the CRLs that are stale, missing or near their end. One that fails does not keep the others back.
    pub(crate) async fn renew_due_crls(&self, now: Timestamp) -> Result<(), CaError> {
        let authority = self.authority().await?;
        let mut failure = None;
        for (id, issuer) in &authority.issuers {
            if self.is_due(&authority, issuer, now).await?
                && let Err(error) = self.publish(&authority, id, None).await
            {
                tracing::warn!(%error, issuer = id, "the CRL of an issuer could not be renewed");
                failure = failure.or(Some(error));
            }
        }
        failure.map_or(Ok(()), Err)
    }

    async fn is_due(&self, authority: &Authority, issuer: &Issuer, now: Timestamp) -> Result<bool, CaError> {
        if !authority.crl_settings.auto_rebuild {
            for issuer in authority.equivalents(issuer) {
                if self.view.read(&storage::stale_crl(&issuer.record.id)).await?.is_some() {
                    return Ok(true);
                }
            }
        }
        let grace = SignedDuration::from_secs(authority.crl_settings.grace());
        let record = self.crl_of(authority, issuer).await?;
        Ok(record.is_none_or(|record| record.next_update.duration_since(now) <= grace))
    }
}
