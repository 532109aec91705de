//! The OCSP responder (RFC 6960, RFC 9919).
//!
//! ```text
//! request ── parse ──▶ issuer, serial ──▶ memory ──▶ storage ──▶ inventory ──▶ sign with the issuer's responder key
//! request.rs           issuers.rs         answers.rs                           response.rs, responder.rs
//! ```
//!
//! An answer without a nonce is signed ahead where the certificate names an OCSP server (`ahead.rs`), else for the first who asks, kept sealed in storage, renewed ahead of its end, and handed to whoever asks:
//! while the HSM is away these go on being served. It is compared with the inventory before it is believed, so that a
//! revoked certificate is never called good by an answer signed before. An answer with a nonce (RFC 9654), to several
//! questions, or about a serial number that was never issued is signed for the one who asks.
//!
//! What signs is not the CA's key but that of a delegated responder (§4.2.2.2) of the issuer, which lives in the HSM like
//! it and is replaced every week.

mod ahead;
mod answers;
mod issuers;
mod request;
mod responder;
mod response;

pub use request::OcspQuery;

use crate::{CertificateAuthority, authority::Authority, error::CaError, issuer::Usage, publication::Lineage};
use chancery_engine::response::Standing;
use chancery_store::{Certificate as Row, CertificateState, Revocation};
use jiff::Timestamp;
use request::CertificateId;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use x509_ocsp::OcspResponse;

pub(crate) use answers::{Answers, BELIEVED};

/// Most certificates in one request.
pub const MOST_CERTIFICATES: usize = 32;

/// Longest request that is looked at.
pub const LONGEST_REQUEST: usize = 8 << 10;

/// What the responder says of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Issued, or possibly issued, and not revoked.
    Good,
    /// Revoked.
    Revoked {
        /// When.
        at: Timestamp,
        /// Why.
        reason: u8,
    },
    /// Never issued here.
    Unknown,
}

/// A response, ready to go out.
#[derive(Debug, Clone)]
pub struct OcspAnswer {
    /// OCSPResponse in DER.
    pub der: Arc<[u8]>,
    /// For which time it holds; none for what must not be cached.
    pub cacheable: Option<Cacheable>,
    /// The HSM is away or busy: ask again.
    pub is_late: bool,
    /// For how long it may be given to whoever asks the same; none for what was signed for one.
    pub standing: Option<Standing>,
}

/// For how long an answer may be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cacheable {
    /// thisUpdate
    pub this_update: Timestamp,
    /// nextUpdate
    pub next_update: Timestamp,
}

impl Status {
    /// The status of what the inventory has under a serial number.
    fn of(row: Option<&Row>, lineage: &Lineage) -> Self {
        let Some(row) = row else { return Self::Unknown };
        if !lineage.issuers.iter().any(|issuer| issuer.record.id == row.intent.issuer) {
            return Self::Unknown;
        }
        match (row.state, row.revocation) {
            (_, Some(Revocation { at, reason })) => Self::Revoked { at: to_the_second(at), reason },
            // An intent counts as issued: somebody may hold the certificate.
            (CertificateState::Intent | CertificateState::Issued | CertificateState::Revoked, None) => Self::Good,
        }
    }
}

impl OcspAnswer {
    /// An answer that nobody gets again.
    fn for_one(der: Vec<u8>, cacheable: Option<Cacheable>) -> Self {
        Self { der: der.into(), cacheable, is_late: false, standing: None }
    }

    fn error(response: &OcspResponse) -> Result<Self, CaError> {
        Ok(Self::for_one(response::encoded(response)?, None))
    }

    fn late() -> Result<Self, CaError> {
        Ok(Self { is_late: true, ..Self::error(&OcspResponse::try_later())? })
    }
}

impl CertificateAuthority {
    /// Answers a request in DER.
    ///
    /// # Errors
    /// The store's failure; all else is said in the answer.
    pub async fn answer_ocsp(&self, der: &[u8]) -> Result<OcspAnswer, CaError> {
        let Ok(query) = OcspQuery::parse(der) else {
            return OcspAnswer::error(&OcspResponse::malformed_request());
        };
        let authority = self.authority().await?;
        if authority.crl_settings.ocsp_disable {
            return OcspAnswer::error(&OcspResponse::unauthorized());
        }
        let issuers = self.answers.issuers(&authority);
        let Some(issuer) = query.certificates.iter().find_map(|id| issuers.find(id)) else {
            return OcspAnswer::error(&OcspResponse::unauthorized());
        };
        let answered = match query.certificates.as_slice() {
            [id] if query.nonce.is_none() => self.answer_one(&authority, issuer, id).await,
            _ => self.answer_for_one(&authority, issuer, &query).await,
        };
        match answered {
            Err(CaError::Hsm(error)) if error.is_busy() || error.is_unavailable() => OcspAnswer::late(),
            Err(CaError::Caller(error)) => {
                tracing::debug!(error, issuer, "OCSP request refused");
                OcspAnswer::error(&OcspResponse::unauthorized())
            }
            outcome => outcome,
        }
    }

    /// An answer that others may get, too.
    async fn answer_one(&self, authority: &Authority, issuer: &str, id: &CertificateId) -> Result<OcspAnswer, CaError> {
        let now = self.now();
        let key = answers::Key { issuer: issuer.to_owned(), hash: id.hash, serial: id.serial.clone() };
        if let Some(answer) = self.answers.believed(&key, now) {
            return Ok(answer);
        }
        let seen = self.answers.times_forgotten();
        let lineage = self.lineage(authority, issuer)?;
        let row = self.store.certificates().by_serial(self.mount(), id.serial.as_bytes()).await?;
        let status = Status::of(row.as_ref(), &lineage);
        if let Some(stored) = self.stored_answer(&key).await?
            && stored.status == status
            && now < stored.next_update
        {
            return Ok(self.answers.keep(key, &stored, now, seen));
        }
        let _turn = self.answers.turn()?;
        let said = self.said(authority, id.clone(), (status, row.as_ref())).await?;
        let signed = self.sign_answer(authority, &lineage, &[said], None).await?;
        let Some(next_update) = signed.next_update else {
            return Ok(OcspAnswer::for_one(signed.der, None));
        };
        let stored = answers::StoredAnswer { status, this_update: signed.this_update, next_update, der: signed.der };
        if status == Status::Unknown {
            // Whoever makes up serial numbers shall not fill memory or storage.
            let cacheable = Some(Cacheable { this_update: stored.this_update, next_update });
            return Ok(OcspAnswer::for_one(stored.der, cacheable));
        }
        self.store_answer(&key, &stored).await?;
        Ok(self.answers.keep(key, &stored, now, seen))
    }

    /// An answer for nobody else: with a nonce, or about several certificates.
    async fn answer_for_one(
        &self,
        authority: &Authority,
        issuer: &str,
        query: &OcspQuery,
    ) -> Result<OcspAnswer, CaError> {
        let lineage = self.lineage(authority, issuer)?;
        let issuers = self.answers.issuers(authority);
        let mut certificates = Vec::with_capacity(query.certificates.len());
        for id in &query.certificates {
            // The responder speaks for one issuer; what others issued it does not know.
            let row = if issuers.find(id) == Some(issuer) {
                self.store.certificates().by_serial(self.mount(), id.serial.as_bytes()).await?
            } else {
                None
            };
            let status = Status::of(row.as_ref(), &lineage);
            certificates.push(self.said(authority, id.clone(), (status, row.as_ref())).await?);
        }
        let _turn = self.answers.turn()?;
        let signed = self.sign_answer(authority, &lineage, &certificates, query.nonce.as_deref()).await?;
        Ok(OcspAnswer::for_one(signed.der, None))
    }

    /// The issuers a responder speaks for.
    fn lineage(&self, authority: &Authority, issuer: &str) -> Result<Lineage, CaError> {
        let issuer = authority.issuers.get(issuer).ok_or(CaError::Absent)?;
        let mut lineage = Lineage::of(authority, issuer);
        let may_answer = |issuer: &&Arc<_>| {
            let issuer: &crate::issuer::Issuer = issuer;
            let is_here = authority.issuers.contains_key(&issuer.record.id) && !issuer.record.key_id.is_empty();
            is_here && issuer.record.usage.has(Usage::OcspSigning)
        };
        lineage.signer = lineage.issuers.iter().find(may_answer).cloned();
        Ok(lineage)
    }
}

/// OCSP times have no fractions; a status read back must equal the one it was made of.
fn to_the_second(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}
