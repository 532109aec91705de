//! The road from an order to a certificate: approve, encode, lint, record the intent, sign, record the certificate.
//!
//! Every door (the token API, later ACME) goes through [`CertificateAuthority::issue`]. The intent is durable before
//! the HSM is asked, the certificate before anyone holds it.

use crate::{
    CertificateAuthority,
    approve::{Applicant, Approved, Asked},
    crl::{assemble, shard},
    csr::Csr,
    error::CaError,
    facts::CertificateFacts,
    issuer::Issuer,
    key::KeyRecord,
    lint::{self, Linted, Surroundings},
    profile::{self, Signatory},
    requester::Requester,
    role::Role,
    serial::SerialNumber,
    signature::SignatureAlgorithm,
    urls::Urls,
    validity::{self, LeafNotAfter, MountTtl, Validity},
};
use chancery_hsm::SignInput;
use chancery_store::{CertificateChange, CertificateIntent, Changes, Sequence, StoreError};
use std::{fmt, sync::Arc};

/// Records of a door of its own that must be true together with those of the certificate: each is part of the commit of
/// the inventory's.
pub trait Ledger: Send + Sync {
    /// The certificate with this serial number is about to be signed.
    ///
    /// # Errors
    /// Whatever stands in the way; nothing is signed then.
    fn intended(&self, serial: &SerialNumber) -> Result<Changes, StoreError>;

    /// What was answered last is durable; its commit had this number.
    fn recorded(&self, at: Sequence);

    /// It was signed. Nobody holds it before this is durable.
    ///
    /// # Errors
    /// Whatever stands in the way; nobody gets the certificate then.
    fn issued(&self, certificate: &Certificate) -> Result<Changes, StoreError>;
}

/// A request for a leaf.
#[derive(Debug, Clone, Copy)]
pub struct Order<'a> {
    /// The rules.
    pub role: &'a Role,
    /// Their name; empty for `sign-verbatim` without one.
    pub role_name: &'a str,
    /// Which issuer: `default`, id or name.
    pub issuer: &'a str,
    /// What the request's fields ask for.
    pub asked: &'a Asked,
    /// The key, and the CSR where there is one.
    pub applicant: Applicant<'a>,
    /// Subject and extensions as the CSR has them.
    pub verbatim: Option<&'a Csr>,
    /// Who asks.
    pub requester: &'a Requester,
    /// The mount's bounds.
    pub mount: MountTtl,
    /// What is recorded besides, where somebody keeps books of their own.
    pub ledger: Option<Books<'a>>,
}

/// A [`Ledger`] in an order.
#[derive(Clone, Copy)]
pub struct Books<'a>(pub &'a dyn Ledger);

impl fmt::Debug for Books<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Books")
    }
}

/// A certificate that was signed and recorded.
#[derive(Debug)]
pub struct Certificate {
    der: Vec<u8>,
    serial: SerialNumber,
    validity: Validity,
}

/// A certificate with what goes out beside it.
#[derive(Debug)]
pub struct Issued {
    /// The certificate.
    pub certificate: Certificate,
    /// Who signed it.
    pub issuer: Arc<Issuer>,
    /// The signer and those above it.
    pub chain: Vec<Arc<Issuer>>,
    /// For the answer.
    pub warnings: Vec<String>,
}

/// Who signs and how it is recorded.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Signing<'a> {
    /// None for a root that signs itself.
    pub(crate) issuer: Option<&'a Issuer>,
    /// Id under which the certificate is recorded; the issuer's, or the root's own.
    pub(crate) issuer_id: &'a str,
    pub(crate) key: &'a KeyRecord,
    pub(crate) urls: &'a Urls,
    /// None leaves it out of the inventory (`no_store`).
    pub(crate) record: Option<Record<'a>>,
}

/// What the inventory is told besides.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Record<'a> {
    pub(crate) role: &'a str,
    pub(crate) requester: &'a str,
    pub(crate) ledger: Option<Books<'a>>,
}

impl Certificate {
    /// The certificate.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Its serial number.
    #[must_use]
    pub fn serial(&self) -> &SerialNumber {
        &self.serial
    }

    /// First and last second.
    #[must_use]
    pub fn validity(&self) -> Validity {
        self.validity
    }
}

impl CertificateAuthority {
    /// Issues a leaf.
    ///
    /// # Errors
    /// Whatever stands in the way; nothing was handed out then.
    pub async fn issue(&self, order: Order<'_>) -> Result<Issued, CaError> {
        let authority = self.authority().await?;
        let (issuer, key) = authority.issuing(order.issuer)?;
        let (validity, mut warnings) =
            validity::decide(order.role, &order.asked.validity, order.mount, Some(issuer.bound()), self.now())?;
        let approved = match order.verbatim {
            Some(csr) => Approved::verbatim(order.role, csr, validity)?,
            None => {
                let role = order.role.for_requester(order.requester);
                let name = &order.requester.display_name;
                let (approved, more) = role.approve(order.applicant, order.asked, name, validity)?;
                warnings.extend(more);
                approved
            }
        };
        let urls = authority.urls_of(&issuer)?;
        let requester = &order.requester.display_name;
        let record = Record { role: order.role_name, requester, ledger: order.ledger };
        let signing = Signing {
            issuer: Some(&issuer),
            issuer_id: &issuer.record.id,
            key: &key,
            urls: &urls,
            record: (!order.role.no_store).then_some(record),
        };
        let certificate = self.sign(approved, signing).await?;
        let chain = authority.chain(&issuer);
        Ok(Issued { certificate, issuer, chain, warnings })
    }

    /// Encodes, lints, records, signs, records. The only place that asks the HSM to sign a certificate.
    pub(crate) async fn sign(&self, approved: Approved, signing: Signing<'_>) -> Result<Certificate, CaError> {
        let algorithm = SignatureAlgorithm::choose(signing.key.reference.algorithm, approved.signature)?;
        let facts = signing.issuer.map(|issuer| &issuer.facts);
        let serial = SerialNumber::fresh(self.now())?;
        let shard = self.shard_of(&serial, signing.urls).await?;
        let urls = shard::urls(signing.urls, shard);
        let signatory = Signatory { issuer: facts, algorithm: &algorithm.identifier, urls: &urls };
        let draft = profile::encode(approved, serial, signatory)?;
        let may_outlive_issuer =
            signing.issuer.is_some_and(|issuer| issuer.record.leaf_not_after_behavior == LeafNotAfter::Permit);
        let around = Surroundings { issuer: facts, algorithm: &algorithm.identifier, may_outlive_issuer, urls: &urls };
        let linted = lint::lint(draft, around)?;
        if let Some(record) = signing.record {
            self.record_intent(&linted, (signing.issuer_id, shard), record).await?;
        }
        let input = SignInput::Message(linted.tbs().to_vec());
        let signature = match self.custody.sign(signing.key, algorithm.scheme, input).await {
            Ok(signature) => signature,
            Err(error) => {
                if signing.record.is_some() {
                    self.abandon(linted.serial()).await;
                }
                return Err(error);
            }
        };
        let der = assemble(linted.tbs(), &algorithm.identifier, &signature)?;
        let certificate = Certificate { der, serial: linted.serial().clone(), validity: linted.approved().validity };
        if let Some(record) = signing.record {
            let mut changes = Changes::default();
            changes.certificate(CertificateChange::Issued {
                mount: self.mount().to_owned(),
                serial: certificate.serial.as_bytes().to_vec(),
                der: certificate.der.clone(),
            });
            if let Some(Books(ledger)) = record.ledger {
                changes.append(ledger.issued(&certificate)?);
            }
            let at = self.store.commit(changes).await?;
            if let Some(Books(ledger)) = record.ledger {
                ledger.recorded(at);
            }
        }
        Ok(certificate)
    }

    async fn record_intent(
        &self,
        linted: &Linted,
        (issuer, shard): (&str, u32),
        record: Record<'_>,
    ) -> Result<(), CaError> {
        let approved = linted.approved();
        let mut changes = Changes::default();
        changes.certificate(CertificateChange::Intent(CertificateIntent {
            mount: self.mount().to_owned(),
            serial: linted.serial().as_bytes().to_vec(),
            issuer: issuer.to_owned(),
            role: record.role.to_owned(),
            requester: record.requester.to_owned(),
            common_name: approved.common_name.clone(),
            names: approved.names.texts(),
            key_type: approved.public_key.kind().label(),
            not_before: approved.validity.not_before,
            not_after: approved.validity.not_after,
            created_at: self.now(),
            shard,
        }));
        if let Some(Books(ledger)) = record.ledger {
            changes.append(ledger.intended(linted.serial())?);
            ledger.recorded(self.store.commit(changes).await?);
        } else {
            self.store.commit(changes).await?;
        }
        Ok(())
    }

    /// The HSM gave no signature, so nobody can hold this certificate. Where even this fails the intent stays, and
    /// counts as possibly issued.
    async fn abandon(&self, serial: &SerialNumber) {
        let mut changes = Changes::default();
        let (mount, serial_bytes) = (self.mount().to_owned(), serial.as_bytes().to_vec());
        changes.certificate(CertificateChange::Abandon { mount, serial: serial_bytes });
        if let Err(error) = self.store.commit(changes).await {
            tracing::warn!(%serial, %error, "the intent of a certificate that was not signed stays in the inventory");
        }
    }

    /// The CRL shard of a certificate to be issued with these URLs; 0 where they name none.
    async fn shard_of(&self, serial: &SerialNumber, urls: &Urls) -> Result<u32, CaError> {
        if !shard::is_named_by(urls) {
            return Ok(0);
        }
        let shards = self.authority().await?.crl_settings.shards;
        Ok(if shards == 0 { 0 } else { shard::of(serial, shards) })
    }

    /// Records a certificate that was issued without being stored, so that it can be revoked.
    pub(crate) fn adopt(&self, facts: &CertificateFacts, (issuer, shard): (&str, u32), changes: &mut Changes) {
        changes.certificate(CertificateChange::Intent(CertificateIntent {
            mount: self.mount().to_owned(),
            serial: facts.serial.as_bytes().to_vec(),
            issuer: issuer.to_owned(),
            role: String::new(),
            requester: String::new(),
            common_name: facts.common_name(),
            names: Vec::new(),
            key_type: crate::public_key::PublicKey::parse(&facts.public_key)
                .map(|key| key.kind().label())
                .unwrap_or_default(),
            not_before: facts.not_before,
            not_after: facts.not_after,
            created_at: self.now(),
            shard,
        }));
        self.record_issued(facts, changes);
    }

    /// Records that the certificate of an intent exists.
    pub(crate) fn record_issued(&self, facts: &CertificateFacts, changes: &mut Changes) {
        changes.certificate(CertificateChange::Issued {
            mount: self.mount().to_owned(),
            serial: facts.serial.as_bytes().to_vec(),
            der: facts.der.clone(),
        });
    }
}
