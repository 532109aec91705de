//! Signing ahead: an answer for every live certificate that names an OCSP server, before anybody asks, so that all of them go
//! on being answered while the HSM is away.
//!
//! Certificates are met in the order of their creation, each once: a place in the inventory says how far it has come, so a
//! tick costs what was issued since the last one. The answers are those about the issuer's SHA-1 names, which is what openssl,
//! GnuTLS, Go, Java and browsers ask by; by another hash the first who asks has it signed. From then on they are renewed
//! like all others.

use super::{
    Status,
    answers::{Key, StoredAnswer},
    issuers::IssuerIndex,
    request::{CertificateId, HashName},
    response::Said,
};
use crate::{CertificateAuthority, authority::Authority, error::CaError, oid, storage};
use chancery_store::{
    Certificate as Row, CertificateCursor, CertificateFilter, CertificateOrder, CertificateQuery, CertificateState,
    Changes,
};
use futures_util::future::try_join_all;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};
use x509_parser::{certificate::X509Certificate, extensions::ParsedExtension, prelude::FromDer};

/// Certificates looked at in one go.
const PAGE: usize = 200;

/// Signatures under way at once: whoever waits for an answer of the HSM comes in between.
pub(super) const AT_ONCE: usize = 4;

/// How long a tick works on answers nobody waits for.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// A younger intent may be signed yet; what was asked for after it waits for it.
const UNSETTLED: SignedDuration = SignedDuration::from_mins(10);

/// How far signing ahead has come.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Place {
    /// Number of the last certificate that was looked at.
    through: u64,
}

impl CertificateAuthority {
    /// Signs answers about what was issued since the last time.
    pub(crate) async fn sign_ahead(&self, now: Timestamp) -> Result<(), CaError> {
        let authority = self.fresh_authority().await?;
        let settings = &authority.crl_settings;
        if settings.ocsp_disable || settings.ocsp_lifetime() == 0 {
            return Ok(());
        }
        let mut place: Place = storage::read(&self.view, storage::OCSP_AHEAD).await?.unwrap_or_default();
        if !names_servers(&authority) {
            return self.skip_to_newest(place).await;
        }
        let until = Instant::now() + PATIENCE;
        loop {
            let rows = self.store.certificates().search(self.issued_behind(place, PAGE)).await?;
            let settled = rows.iter().take_while(|row| !is_unsettled(row, now)).count();
            let mut changes = Changes::default();
            for few in rows.get(..settled).unwrap_or_default().chunks(AT_ONCE) {
                let signed = try_join_all(few.iter().map(|row| self.signed_ahead(&authority, row, now))).await?;
                for (key, answer) in signed.into_iter().flatten() {
                    changes.put_expiring(&self.view.view(storage::OCSP), &key.text(), &answer, answer.renewed_at())?;
                }
            }
            let Some(last) = settled.checked_sub(1).and_then(|last| rows.get(last)) else { return Ok(()) };
            place = Place { through: last.id };
            changes.put(&self.view, storage::OCSP_AHEAD, &place)?;
            self.store.commit(changes).await?;
            if settled < PAGE || Instant::now() >= until {
                return Ok(());
            }
        }
    }

    /// Where nobody is told of an OCSP server, what was issued until now need not be looked at later.
    async fn skip_to_newest(&self, place: Place) -> Result<(), CaError> {
        let newest = CertificateQuery { descending: true, ..self.issued_behind(Place::default(), 1) };
        let newest = self.store.certificates().search(CertificateQuery { after: None, ..newest }).await?;
        let Some(through) = newest.first().map(|row| row.id).filter(|id| *id > place.through) else { return Ok(()) };
        let mut changes = Changes::default();
        changes.put(&self.view, storage::OCSP_AHEAD, &Place { through })?;
        self.store.commit(changes).await?;
        Ok(())
    }

    fn issued_behind(&self, place: Place, limit: usize) -> CertificateQuery {
        CertificateQuery {
            filter: CertificateFilter { mount: self.mount().to_owned(), ..CertificateFilter::default() },
            order: CertificateOrder::Created,
            descending: false,
            after: Some(CertificateCursor { key: String::new(), not_after: Timestamp::MIN, id: place.through }),
            limit: Some(limit),
        }
    }

    /// The answer about a certificate, if there is to be one and is none yet.
    async fn signed_ahead(
        &self,
        authority: &Authority,
        row: &Row,
        now: Timestamp,
    ) -> Result<Option<(Key, StoredAnswer)>, CaError> {
        if row.state == CertificateState::Intent || row.intent.not_after < now || !names_server(&row.der) {
            return Ok(None);
        }
        let Some(key) = self.answer_key(authority, row, HashName::Sha1) else { return Ok(None) };
        if self.stored_answer(&key).await?.is_some() {
            return Ok(None);
        }
        let answer = self.renewed(authority, &key, now).await?;
        Ok(answer.map(|answer| (key, answer)))
    }

    /// Under what the answer about a certificate is kept, for whoever names its issuer by this hash.
    fn answer_key(&self, authority: &Authority, row: &Row, hash: HashName) -> Option<Key> {
        let lineage = self.lineage(authority, &row.intent.issuer).ok()?;
        let (issuer_name, issuer_key) = IssuerIndex::hashes_of(lineage.signer.as_ref()?, hash)?;
        let serial = crate::serial::SerialNumber::from_bytes(&row.intent.serial);
        let id = CertificateId { hash, issuer_name, issuer_key, serial: serial.clone() };
        let issuer = self.answers.issuers(authority).find(&id)?.to_owned();
        Some(Key { issuer, hash, serial })
    }

    /// Signs anew what is stored about a certificate that was just revoked: so the news is there even if the HSM goes away
    /// before anybody asks.
    pub(crate) async fn answer_revoked(&self, authority: &Authority, row: &Row) -> Result<(), CaError> {
        let mut changes = Changes::default();
        for hash in HashName::all() {
            let Some(key) = self.answer_key(authority, row, hash) else { continue };
            if self.stored_answer(&key).await?.is_some()
                && let Some(answer) = self.renewed(authority, &key, self.now()).await?
            {
                changes.put_expiring(&self.view.view(storage::OCSP), &key.text(), &answer, answer.renewed_at())?;
            }
        }
        self.store.commit(changes).await?;
        Ok(())
    }

    /// What is to be said of a row of the inventory, as it is asked for.
    pub(super) async fn said(
        &self,
        authority: &Authority,
        id: CertificateId,
        (status, row): (Status, Option<&Row>),
    ) -> Result<Said, CaError> {
        let has_ended = row.is_some_and(|row| row.intent.not_after < self.now());
        let archive_cutoff = match authority.issuers.get(row.map_or("", |row| &row.intent.issuer)) {
            // RFC 6960 §4.4.4, for those who look at old signatures: from when on ended certificates are still known here.
            Some(issuer) if has_ended => {
                let removed = self.removed_before().await?.unwrap_or(issuer.facts.not_before);
                Some(removed.max(issuer.facts.not_before))
            }
            _ => None,
        };
        Ok(Said { id, status, archive_cutoff })
    }
}

/// Whether certificates issued now may name an OCSP server.
fn names_servers(authority: &Authority) -> bool {
    let of_issuers = authority.issuers.values().map(|issuer| &issuer.record.urls);
    of_issuers.chain([&authority.url_settings.urls]).any(|urls| !urls.ocsp_servers.is_empty())
}

/// Whether this certificate names one.
fn names_server(der: &[u8]) -> bool {
    let Ok((_, certificate)) = X509Certificate::from_der(der) else { return false };
    certificate.extensions().iter().any(|extension| match extension.parsed_extension() {
        ParsedExtension::AuthorityInfoAccess(access) => {
            access.iter().any(|description| description.access_method.as_bytes() == oid::ACCESS_OCSP.as_bytes())
        }
        _ => false,
    })
}

fn is_unsettled(row: &Row, now: Timestamp) -> bool {
    row.state == CertificateState::Intent && now.duration_since(row.intent.created_at) < UNSETTLED
}
