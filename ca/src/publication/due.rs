//! What is to be published without being asked: at a tick, and on demand of the operator.

use super::{CrlScope, Lineage, Need};
use crate::{CertificateAuthority, authority::Authority, crl::CrlRecord, error::CaError, storage};
use jiff::{SignedDuration, Timestamp};

impl CertificateAuthority {
    /// Rebuilds every list of every issuer. Returns warnings about those that could not be. One that fails does not keep
    /// the others back.
    pub(crate) async fn publish_all(&self) -> Result<Vec<String>, CaError> {
        let authority = self.fresh_authority().await?;
        let (mut warnings, mut failure) = (Vec::new(), None);
        for id in authority.issuers.keys() {
            let outcome = self.publish(id, CrlScope::Complete, Need::Renewal).await;
            if matches!(outcome, Ok(false)) {
                warnings.push(format!(
                    "Warning during CRL rebuild: no issuer with the key of issuer {id} may sign CRLs; its CRL was not rebuilt"
                ));
            }
            failure = failure.or(outcome.err());
        }
        for lineage in Lineage::all(&authority).iter().filter(|lineage| lineage.signer.is_some()) {
            for scope in Self::scopes(&authority).skip(1) {
                let outcome = self.publish(lineage.id(), scope, Need::Renewal).await;
                warnings.extend(outcome.err().map(|error| format!("CRL {scope} was not rebuilt: {error}")));
            }
        }
        if authority.crl_settings.enable_delta {
            failure = failure.or(self.publish_deltas().await.err());
        }
        failure.map_or(Ok(warnings), Err)
    }

    /// Rebuilds every delta CRL.
    pub(crate) async fn publish_deltas(&self) -> Result<(), CaError> {
        let authority = self.fresh_authority().await?;
        let mut failure = None;
        for lineage in Lineage::all(&authority).iter().filter(|lineage| lineage.signer.is_some()) {
            failure = failure.or(self.publish(lineage.id(), CrlScope::Delta, Need::Renewal).await.err());
        }
        failure.map_or(Ok(()), Err)
    }

    /// Rebuilds the lists that lack something, are missing or near their end, and lays up their spares. One that fails
    /// does not keep the others back.
    pub(crate) async fn renew_due_crls(&self, now: Timestamp) -> Result<(), CaError> {
        let authority = self.fresh_authority().await?;
        let mut failure = None;
        for lineage in Lineage::all(&authority).iter().filter(|lineage| lineage.signer.is_some()) {
            for scope in Self::scopes(&authority).chain([CrlScope::Delta]) {
                if let Err(error) = self.renew(&authority, lineage, scope, now).await {
                    tracing::warn!(%error, issuer = lineage.id(), %scope, "a CRL could not be renewed");
                    failure = failure.or(Some(error));
                }
            }
        }
        failure.map_or(Ok(()), Err)
    }

    async fn renew(
        &self,
        authority: &Authority,
        lineage: &Lineage,
        scope: CrlScope,
        now: Timestamp,
    ) -> Result<(), CaError> {
        if scope == CrlScope::Delta && !authority.crl_settings.enable_delta {
            return Ok(());
        }
        let newest = self.newest(lineage, scope).await?;
        if let Some(need) = self.need(authority, lineage, (scope, newest.as_ref()), now).await? {
            self.publish(lineage.id(), scope, need).await?;
        }
        let Some(newest) = self.newest(lineage, scope).await? else { return Ok(()) };
        let spare: Option<CrlRecord> = storage::read(&self.view, &storage::spare(scope, lineage.id())).await?;
        if spare.is_none_or(|spare| spare.number != newest.number) {
            self.lay_up_spare(authority, lineage, scope, newest).await?;
        }
        Ok(())
    }

    async fn need(
        &self,
        authority: &Authority,
        lineage: &Lineage,
        (scope, newest): (CrlScope, Option<&CrlRecord>),
        now: Timestamp,
    ) -> Result<Option<Need>, CaError> {
        let settings = &authority.crl_settings;
        let Some(newest) = newest else { return Ok(Some(Need::Renewal)) };
        let grace = SignedDuration::from_secs(settings.grace());
        if newest.next_update.duration_since(now) <= grace {
            return Ok(Some(Need::Renewal));
        }
        let waits = match scope {
            CrlScope::Shard(_) => false,
            CrlScope::Complete => settings.auto_rebuild,
            CrlScope::Delta => {
                let interval = SignedDuration::from_secs(settings.delta_interval());
                now.duration_since(newest.this_update) < interval
            }
        };
        Ok((!waits && self.lacks(lineage, scope, newest).await?).then_some(Need::Current))
    }
}
