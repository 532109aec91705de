//! Signed answers: in memory for whoever asks next, in storage for the day the HSM is away, renewed ahead of their end.

use super::{
    Cacheable, OcspAnswer, Status,
    ahead::{AT_ONCE, PATIENCE},
    issuers::IssuerIndex,
    request::{CertificateId, HashName},
};
use crate::{CertificateAuthority, authority::Authority, error::CaError, serial::SerialNumber, storage};
use chancery_engine::{Fault, response::Standing};
use chancery_store::Changes;
use futures_util::future::try_join_all;
use jiff::{SignedDuration, Timestamp};
use parking_lot::RwLock;
use serde::{Deserialize, Serialize};
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{
            AtomicU64,
            Ordering::{Acquire, Release},
        },
    },
    time::{Duration, Instant},
};
use tokio::sync::{Semaphore, SemaphorePermit};

/// How long what is in memory is believed without a look at the inventory: another process may have revoked.
pub(crate) const BELIEVED: SignedDuration = SignedDuration::from_secs(1);

/// Answers in memory, of about a kilobyte each.
const MOST_IN_MEMORY: usize = 50_000;

/// Answers being signed at once for whoever asks: strangers must not fill the queue of the HSM.
const MOST_AT_ONCE: usize = 32;

/// Answers renewed in one go.
const PAGE: usize = 200;

/// Which answer.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) issuer: String,
    pub(super) hash: HashName,
    pub(super) serial: SerialNumber,
}

/// An answer as it is stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct StoredAnswer {
    pub(super) status: Status,
    pub(super) this_update: Timestamp,
    pub(super) next_update: Timestamp,
    #[serde(with = "crate::storage::base64_bytes")]
    pub(super) der: Vec<u8>,
}

struct Kept {
    answer: OcspAnswer,
    checked_at: Timestamp,
    next_update: Timestamp,
    /// Dropped with the rest, which tells the edge that the answer no longer stands.
    word: Arc<()>,
}

/// What the responder keeps in memory.
pub(crate) struct Answers {
    kept: RwLock<HashMap<Key, Kept>>,
    /// Grows with everything that is forgotten, so that what was looked up before is not kept after it.
    forgotten: AtomicU64,
    issuers: RwLock<Arc<IssuerIndex>>,
    at_once: Semaphore,
    pub(super) responders: super::responder::Responders,
}

impl Default for Answers {
    fn default() -> Self {
        Self {
            kept: RwLock::default(),
            forgotten: AtomicU64::new(0),
            issuers: RwLock::default(),
            at_once: Semaphore::new(MOST_AT_ONCE),
            responders: super::responder::Responders::default(),
        }
    }
}

impl Key {
    /// `<issuer id>/<hash>/<serial>`
    pub(super) fn text(&self) -> String {
        format!("{}/{}/{}", self.issuer, self.hash.as_str(), self.serial.to_string().replace(':', ""))
    }

    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('/');
        let (issuer, hash, serial) = (parts.next()?, parts.next()?, parts.next()?);
        Some(Self { issuer: issuer.to_owned(), hash: HashName::parse(hash)?, serial: SerialNumber::parse(serial)? })
    }
}

impl StoredAnswer {
    /// When it is signed anew: halfway, so that as much again is left for an HSM that is away.
    pub(super) fn renewed_at(&self) -> Timestamp {
        let life = self.next_update.duration_since(self.this_update);
        self.this_update.checked_add(life / 2).unwrap_or(self.next_update)
    }
}

impl Kept {
    /// The answer for somebody who asks now.
    fn answer_at(&self, now: Timestamp) -> OcspAnswer {
        let believed = BELIEVED.saturating_sub(now.duration_since(self.checked_at).abs());
        let left = believed.min(self.next_update.duration_since(now));
        let lasts = Duration::try_from(left).unwrap_or_default();
        OcspAnswer { standing: Some(Standing::on(&self.word, lasts)), ..self.answer.clone() }
    }
}

impl Answers {
    pub(super) fn issuers(&self, authority: &Authority) -> Arc<IssuerIndex> {
        let known = Arc::clone(&self.issuers.read());
        if known.guard == authority.guard && authority.guard.is_some() {
            return known;
        }
        let index = Arc::new(IssuerIndex::of(authority));
        *self.issuers.write() = Arc::clone(&index);
        index
    }

    /// An answer that may be given without another look.
    pub(super) fn believed(&self, key: &Key, now: Timestamp) -> Option<OcspAnswer> {
        let all = self.kept.read();
        let kept = all.get(key)?;
        let is_fresh = now.duration_since(kept.checked_at).abs() < BELIEVED && now < kept.next_update;
        is_fresh.then(|| kept.answer_at(now))
    }

    /// Goes before the look at the inventory that ends in [`Answers::keep`].
    pub(super) fn times_forgotten(&self) -> u64 {
        self.forgotten.load(Acquire)
    }

    /// The answer, which is kept unless something was forgotten since the inventory was looked at.
    pub(super) fn keep(&self, key: Key, stored: &StoredAnswer, now: Timestamp, seen: u64) -> OcspAnswer {
        let cacheable = Cacheable { this_update: stored.this_update, next_update: stored.next_update };
        let answer = OcspAnswer::for_one(stored.der.clone(), Some(cacheable));
        let kept = Kept { answer, checked_at: now, next_update: stored.next_update, word: Arc::default() };
        let answer = kept.answer_at(now);
        let mut all = self.kept.write();
        if self.forgotten.load(Acquire) != seen {
            return OcspAnswer { standing: None, ..answer };
        }
        if all.len() >= MOST_IN_MEMORY {
            // Rare, and what is asked for is back at once.
            all.clear();
        }
        all.insert(key, kept);
        answer
    }

    /// Forgets what was said of a certificate.
    pub(crate) fn forget(&self, serial: &[u8]) {
        let mut all = self.kept.write();
        self.forgotten.fetch_add(1, Release);
        all.retain(|key, _| key.serial.as_bytes() != serial);
    }

    /// Forgets what was said of all certificates: it may be said differently from now on, or not at all.
    pub(crate) fn take_back(&self) {
        let mut all = self.kept.write();
        self.forgotten.fetch_add(1, Release);
        all.clear();
    }

    pub(crate) fn forget_all(&self) {
        self.take_back();
        *self.issuers.write() = Arc::default();
        self.responders.forget();
    }

    /// Leave to have an answer signed.
    pub(super) fn turn(&self) -> Result<SemaphorePermit<'_>, CaError> {
        let busy = || CaError::Fault(Fault::Busy { retry_after: Duration::from_secs(1) });
        self.at_once.try_acquire().map_err(|_| busy())
    }
}

impl CertificateAuthority {
    pub(super) async fn stored_answer(&self, key: &Key) -> Result<Option<StoredAnswer>, CaError> {
        storage::read(&self.view.view(storage::OCSP), &key.text()).await
    }

    pub(super) async fn store_answer(&self, key: &Key, stored: &StoredAnswer) -> Result<(), CaError> {
        let mut changes = Changes::default();
        changes.put_expiring(&self.view.view(storage::OCSP), &key.text(), stored, stored.renewed_at())?;
        self.store.commit(changes).await?;
        Ok(())
    }

    /// Signs anew the answers that are halfway through their time, and drops those about certificates that are gone or
    /// have ended. Found by index, in pages.
    pub(crate) async fn renew_answers(&self, now: Timestamp) -> Result<(), CaError> {
        let view = self.view.view(storage::OCSP);
        let authority = self.fresh_authority().await?;
        let until = Instant::now() + PATIENCE;
        loop {
            let due = view.expired(now, PAGE).await?;
            let mut changes = Changes::default();
            for few in due.chunks(AT_ONCE) {
                let renewed = few.iter().map(|text| async {
                    match Key::parse(text) {
                        Some(key) => self.renewed(&authority, &key, now).await,
                        None => Ok(None),
                    }
                });
                for (text, answer) in few.iter().zip(try_join_all(renewed).await?) {
                    match answer {
                        Some(answer) => changes.put_expiring(&view, text, &answer, answer.renewed_at())?,
                        None => changes.delete(&view, text),
                    };
                }
            }
            self.store.commit(changes).await?;
            if due.len() < PAGE || Instant::now() >= until {
                return Ok(());
            }
        }
    }

    /// The answer signed anew; none where the certificate is gone or has ended, or nobody here may speak of it.
    pub(super) async fn renewed(
        &self,
        authority: &Authority,
        key: &Key,
        now: Timestamp,
    ) -> Result<Option<StoredAnswer>, CaError> {
        let seen = self.answers.times_forgotten();
        let row = self.store.certificates().by_serial(self.mount(), key.serial.as_bytes()).await?;
        let Ok(lineage) = self.lineage(authority, &key.issuer) else { return Ok(None) };
        let Some(signer) = &lineage.signer else { return Ok(None) };
        let status = Status::of(row.as_ref(), &lineage);
        if authority.crl_settings.ocsp_disable || row.as_ref().is_none_or(|row| row.intent.not_after < now) {
            return Ok(None);
        }
        let Some((issuer_name, issuer_key)) = IssuerIndex::hashes_of(signer, key.hash) else { return Ok(None) };
        let id = CertificateId { hash: key.hash, issuer_name, issuer_key, serial: key.serial.clone() };
        let said = self.said(authority, id, (status, row.as_ref())).await?;
        let signed = self.sign_answer(authority, &lineage, &[said], None).await?;
        let Some(next_update) = signed.next_update else { return Ok(None) };
        let stored = StoredAnswer { status, this_update: signed.this_update, next_update, der: signed.der };
        if self.answers.kept.read().contains_key(key) {
            self.answers.keep(key.clone(), &stored, now, seen);
        }
        Ok(Some(stored))
    }
}
