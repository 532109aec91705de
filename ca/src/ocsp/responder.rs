//! The delegated responder of an issuer (RFC 6960 §4.2.2.2): a key in the HSM beside the CA's, and a certificate of the
//! issuer that lets it answer OCSP requests and nothing else. It lives two weeks and is replaced after one; the key before
//! it stays until the next replacement, since another process may still be using it.

use crate::{
    CertificateAuthority,
    approve::Approved,
    authority::Authority,
    error::CaError,
    issuance::{Record, Signing},
    issuer::Issuer,
    key::KeyRecord,
    public_key::PublicKey,
    publication::Lineage,
    signature::{SignatureAlgorithm, SignaturePreference},
    storage,
    urls::Urls,
    validity::Validity,
};
use chancery_hsm::{KeyAlgorithm, SignScheme};
use chancery_store::{Changes, StoreError};
use jiff::{SignedDuration, Timestamp};
use parking_lot::RwLock;
use serde::{Deserialize, Serialize};
use std::{collections::HashMap, sync::Arc};

const LIFETIME: SignedDuration = SignedDuration::from_hours(14 * 24);
const REPLACED_AFTER: SignedDuration = SignedDuration::from_hours(7 * 24);
/// For clocks that are behind.
const BACKDATED: SignedDuration = SignedDuration::from_mins(5);

/// Who asked, in the inventory.
const REQUESTER: &str = "ocsp-responder";

/// A responder as it is stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct ResponderRecord {
    key: KeyRecord,
    #[serde(with = "crate::storage::base64_bytes")]
    certificate: Vec<u8>,
    not_after: Timestamp,
    replaced_at: Timestamp,
    /// The key before this one.
    previous: Option<KeyRecord>,
}

/// Who signs answers.
pub(super) struct Responder {
    pub(super) key: KeyRecord,
    pub(super) algorithm: SignatureAlgorithm,
    /// SHA-1 of the key's bits, by which the answer names the responder.
    pub(super) key_hash: Vec<u8>,
    /// Of the delegated responder; none where the issuer's own key signs.
    pub(super) certificate: Option<Vec<u8>>,
    pub(super) not_after: Option<Timestamp>,
    replaced_at: Timestamp,
}

/// Responders in memory, by issuer.
#[derive(Default)]
pub(super) struct Responders {
    known: RwLock<HashMap<String, Arc<Responder>>>,
    making: tokio::sync::Mutex<()>,
}

impl Responders {
    pub(super) fn forget(&self) {
        self.known.write().clear();
    }
}

impl CertificateAuthority {
    /// The responder of a lineage, made or replaced where it is time.
    pub(super) async fn responder(&self, authority: &Authority, lineage: &Lineage) -> Result<Arc<Responder>, CaError> {
        let issuer = lineage.signer.as_ref().ok_or_else(|| CaError::caller("no issuer here may sign OCSP answers"))?;
        let id = &issuer.record.id;
        let now = self.now();
        let known = || self.answers.responders.known.read().get(id).cloned();
        if let Some(responder) = known().filter(|responder| now < responder.replaced_at) {
            return Ok(responder);
        }
        let _making = self.answers.responders.making.lock().await;
        if let Some(responder) = known().filter(|responder| now < responder.replaced_at) {
            return Ok(responder);
        }
        let place = storage::responder(id);
        let present = self.view.read(&place).await?;
        let version = present.as_ref().map(|entry| entry.version);
        let record: Option<ResponderRecord> = present.map(|entry| entry.decode()).transpose()?;
        if let Some(record) = record.as_ref().filter(|record| now < record.replaced_at) {
            return self.remember(id, issuer, record);
        }
        match self.replace(authority, issuer, record.as_ref(), version).await {
            Ok(record) => self.remember(id, issuer, &record),
            // One that still holds is better than none.
            Err(error) => match record.filter(|record| now < record.not_after) {
                Some(record) => {
                    tracing::warn!(%error, issuer = id, "the OCSP responder could not be replaced");
                    let responder = Responder::of(issuer, &record)?;
                    Ok(Arc::new(responder))
                }
                None => Err(error),
            },
        }
    }

    fn remember(&self, id: &str, issuer: &Issuer, record: &ResponderRecord) -> Result<Arc<Responder>, CaError> {
        let responder = Arc::new(Responder::of(issuer, record)?);
        self.answers.responders.known.write().insert(id.to_owned(), Arc::clone(&responder));
        Ok(responder)
    }

    /// Makes a key and its certificate; another process may be quicker, then its are taken.
    async fn replace(
        &self,
        authority: &Authority,
        issuer: &Arc<Issuer>,
        before: Option<&ResponderRecord>,
        version: Option<u64>,
    ) -> Result<ResponderRecord, CaError> {
        let issuer_key = authority
            .keys
            .get(&issuer.record.key_id)
            .ok_or_else(|| CaError::corrupt(format!("issuer {}", issuer.record.id), "its key is not in this mount"))?;
        let now = self.now();
        if issuer.facts.not_after <= now {
            return Err(CaError::caller("the issuer has expired"));
        }
        let id = uuid::Uuid::new_v4().to_string();
        let algorithm = key_algorithm(issuer_key.reference.algorithm);
        let key = self.custody.generate(id, String::new(), algorithm).await?;
        let made = self.certify(issuer, issuer_key, &key).await;
        let outcome = match made {
            Ok((certificate, not_after)) => {
                let replaced_at = now.checked_add(REPLACED_AFTER).unwrap_or(now).min(not_after);
                let previous = before.map(|before| before.key.clone());
                let record = ResponderRecord { key: key.clone(), certificate, not_after, replaced_at, previous };
                self.store_responder(&issuer.record.id, record, version).await
            }
            Err(error) => Err(error),
        };
        match outcome {
            Ok(record) => {
                if let Some(old) = before.and_then(|before| before.previous.as_ref()) {
                    self.discard(old).await;
                }
                Ok(record)
            }
            Err(error) => {
                self.discard(&key).await;
                Err(error)
            }
        }
    }

    async fn store_responder(
        &self,
        issuer: &str,
        record: ResponderRecord,
        version: Option<u64>,
    ) -> Result<ResponderRecord, CaError> {
        let place = storage::responder(issuer);
        let mut changes = Changes::default();
        match version {
            Some(version) => changes.replace(&self.view, &place, &record, version, None)?,
            None => changes.create(&self.view, &place, &record)?,
        };
        match self.store.commit(changes).await {
            Ok(_) => Ok(record),
            Err(StoreError::Conflict) => {
                self.discard(&record.key).await;
                storage::read(&self.view, &place).await?.ok_or(CaError::Store(StoreError::Conflict))
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn certify(
        &self,
        issuer: &Arc<Issuer>,
        issuer_key: &KeyRecord,
        key: &KeyRecord,
    ) -> Result<(Vec<u8>, Timestamp), CaError> {
        let now = self.now();
        let not_before = now.checked_sub(BACKDATED).unwrap_or(now).max(issuer.facts.not_before);
        let not_after = now.checked_add(LIFETIME).unwrap_or(now).min(issuer.facts.not_after);
        let approved = Approved::responder(key.public_key()?, Validity { not_before, not_after })?;
        let signing = Signing {
            issuer: Some(issuer),
            issuer_id: &issuer.record.id,
            key: issuer_key,
            urls: &Urls::default(),
            record: Some(Record { role: "", requester: REQUESTER, ledger: None }),
        };
        let certificate = self.sign(approved, signing).await?;
        Ok((certificate.der().to_vec(), certificate.validity().not_after))
    }

    async fn discard(&self, key: &KeyRecord) {
        if let Err(error) = self.custody.destroy(key).await {
            tracing::warn!(key = key.id, %error, "the key of an OCSP responder stays in the token");
        }
    }

    /// Destroys the keys of the responders of this mount.
    pub(crate) async fn remove_responders(&self, authority: &Authority) -> Result<(), CaError> {
        for id in authority.issuers.keys().chain(authority.retired.keys()) {
            let record: Option<ResponderRecord> = storage::read(&self.view, &storage::responder(id)).await?;
            let Some(record) = record else { continue };
            self.discard(&record.key).await;
            if let Some(previous) = &record.previous {
                self.discard(previous).await;
            }
        }
        Ok(())
    }
}

impl Responder {
    fn of(issuer: &Issuer, record: &ResponderRecord) -> Result<Self, CaError> {
        let algorithm = record.key.reference.algorithm;
        let stated = SignatureAlgorithm::by_wire_name(&issuer.record.revocation_signature_algorithm).ok();
        let chosen = SignatureAlgorithm::choose(algorithm, SignaturePreference::default())?;
        // What the operator says of CRLs holds for answers, too, where the key can do it.
        let is_of_rsa = |scheme| matches!(scheme, SignScheme::RsaPkcs1(_) | SignScheme::RsaPss { .. });
        let fits = |stated: &SignatureAlgorithm| {
            std::mem::discriminant(&stated.scheme) == std::mem::discriminant(&chosen.scheme)
                || (algorithm.is_rsa() && is_of_rsa(stated.scheme))
        };
        let algorithm = stated.filter(fits).unwrap_or(chosen);
        let spki = record.key.reference.public_key.as_deref().unwrap_or_default();
        let key_hash = PublicKey::parse(spki)?.identifier();
        Ok(Self {
            key: record.key.clone(),
            algorithm,
            key_hash,
            certificate: Some(record.certificate.clone()),
            not_after: Some(record.not_after),
            replaced_at: record.replaced_at,
        })
    }
}

/// Of the issuer's kind, since whoever verifies its certificates can verify that; no larger than needed for two weeks.
fn key_algorithm(issuer: KeyAlgorithm) -> KeyAlgorithm {
    if issuer.is_rsa() { KeyAlgorithm::Rsa2048 } else { issuer }
}
