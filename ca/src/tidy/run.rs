//! One run.

use super::TidyJob;
use crate::{CertificateAuthority, error::CaError};
use chancery_store::{
    Certificate as Row, CertificateChange, CertificateCursor, CertificateFilter, CertificateOrder, CertificateQuery,
    CertificateState, Changes, SerialPage,
};
use jiff::{SignedDuration, Timestamp};
use std::time::Duration;

/// Certificates of a mount that goes away, removed in one commit.
const REMOVED_AT_ONCE: usize = 1000;

impl CertificateAuthority {
    pub(super) async fn tidy(&self, job: &TidyJob) -> Result<(), CaError> {
        if job.tidy_cert_store || job.tidy_invalid_certs {
            // What does not parse is never stored here, so invalid ones are among the ended intents.
            self.remove_ended(job, CertificateState::Issued).await?;
            self.remove_ended(job, CertificateState::Intent).await?;
        }
        if job.tidy_revoked_certs {
            self.remove_ended(job, CertificateState::Revoked).await?;
        }
        if job.tidy_expired_issuers && !self.is_tidy_cancelled() {
            self.remove_expired_issuers(job).await?;
        }
        // Every revoked certificate knows its issuer, there is no bundle of old releases, and ACME's own records expire by
        // themselves: nothing is left to do for the other three.
        Ok(())
    }

    /// Removes the certificates of one state whose end lies far enough back.
    async fn remove_ended(&self, job: &TidyJob, state: CertificateState) -> Result<(), CaError> {
        let lifetime = self.fresh_authority().await?.crl_settings.lifetime();
        let buffer = match state {
            // On the CRL until its end and one period more; then one period more until the list without it is out.
            CertificateState::Revoked => job.revoked_safety_buffer.max(lifetime.saturating_mul(2)),
            CertificateState::Intent | CertificateState::Issued => job.safety_buffer,
        };
        let before = self.now().checked_sub(SignedDuration::from_secs(buffer)).unwrap_or(Timestamp::MIN);
        let filter = CertificateFilter {
            mount: self.mount().to_owned(),
            state: Some(state),
            expires_before: Some(before),
            ..CertificateFilter::default()
        };
        let order = CertificateOrder::Expiry;
        let mut query = CertificateQuery { filter, order, limit: Some(job.page()), ..CertificateQuery::default() };
        let issuers: Vec<Vec<u8>> =
            self.authority().await?.issuers.values().map(|issuer| issuer.facts.der.clone()).collect();
        let pause = Duration::from_secs(u64::try_from(job.pause()?).unwrap_or(0));
        let mut removes_first = true;
        while !self.is_tidy_cancelled() {
            let rows = self.store.certificates().search(query.clone()).await?;
            let Some(last) = rows.last() else { break };
            query.after = Some(CertificateCursor::of(last, order));
            self.tidying.status.lock().message = Some(format!("Tidying certificates that ended before {before}"));
            if state == CertificateState::Revoked && removes_first {
                // What a list has, the next one keeps, unless the inventory says that its time is over: so first the lists
                // without them, then the certificates.
                self.publish_all().await?;
                removes_first = false;
            }
            // An issuer's own certificate goes with the issuer.
            let gone: Vec<_> = rows.iter().filter(|row| !issuers.contains(&row.der) && may_go(row, before)).collect();
            self.note_removal(before).await?;
            self.remove_rows(&gone, state).await?;
            if rows.len() < job.page() {
                break;
            }
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
        }
        Ok(())
    }

    async fn remove_rows(&self, rows: &[&Row], state: CertificateState) -> Result<(), CaError> {
        let mut changes = Changes::default();
        for row in rows {
            changes.certificate(CertificateChange::Delete {
                mount: self.mount().to_owned(),
                serial: row.intent.serial.clone(),
            });
        }
        self.store.commit(changes).await?;
        let removed = u64::try_from(rows.len()).unwrap_or(0);
        let mut status = self.tidying.status.lock();
        match state {
            CertificateState::Revoked => status.revoked += removed,
            CertificateState::Intent | CertificateState::Issued => status.certificates += removed,
        }
        Ok(())
    }

    /// Removes issuers whose end lies far enough back; their keys stay, and what they revoked stays on record.
    async fn remove_expired_issuers(&self, job: &TidyJob) -> Result<(), CaError> {
        let buffer = SignedDuration::from_secs(job.issuer_safety_buffer);
        let before = self.now().checked_sub(buffer).unwrap_or(Timestamp::MIN);
        let removed = self
            .change("tidy issuers", |draft| {
                let issuers = draft.authority().issuers.values();
                let ended: Vec<String> = issuers
                    .filter(|issuer| issuer.facts.not_after < before)
                    .map(|issuer| issuer.record.id.clone())
                    .collect();
                for id in &ended {
                    if draft.remove_issuer(id) {
                        tracing::warn!(issuer = id, "the default issuer has ended and was tidied away");
                    }
                }
                Ok(ended.len())
            })
            .await?;
        self.tidying.status.lock().issuers += u64::try_from(removed).unwrap_or(0);
        Ok(())
    }
}

impl CertificateAuthority {
    /// Empties the inventory in pages, so that nobody else waits for one long commit.
    pub(crate) async fn forget_certificates(&self) -> Result<(), CaError> {
        loop {
            let page = SerialPage { after: None, limit: Some(REMOVED_AT_ONCE) };
            let serials = self.store.certificates().list_serials(self.mount(), page).await?;
            let mut changes = Changes::default();
            for serial in &serials {
                let (mount, serial) = (self.mount().to_owned(), serial.clone());
                changes.certificate(CertificateChange::Delete { mount, serial });
            }
            self.store.commit(changes).await?;
            if serials.len() < REMOVED_AT_ONCE {
                return Ok(());
            }
        }
    }
}

/// A certificate that was revoked late counts from then.
fn may_go(row: &Row, before: Timestamp) -> bool {
    row.revocation.is_none_or(|revocation| revocation.at < before)
}
