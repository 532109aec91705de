//! Revoking, and the lists that tell hosts.
//!
//! A revocation is a row; in the same commit the list's version rises. What the lists hold is kept in memory by section:
//! whoever asks for a list reads the version, and where it has risen, the rows behind the last one that is known. So one
//! more revocation costs one row, one section and one assembly, however many there are.

use crate::{
    SshAuthority,
    authority::Authority,
    error::SshError,
    issuer::Issuer,
    krl::{self, KrlHeader, RevokedCertificates},
    settings::KrlSettings,
    storage,
};
use aws_lc_rs::digest::{SHA256, digest};
use chancery_store::{Changes, SshChange, SshPage, SshRevocation, SshRevocationOrder, SshRevocationTarget};
use data_encoding::HEXLOWER;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// Rows read at once.
const ROWS: usize = 20_000;
/// A revocation is told of for so long after what it names has ended: clocks differ, and an ended host certificate can
/// be renewed for a while ([`LONGEST_GRACE`]).
const KEPT_AFTER_END: SignedDuration = SignedDuration::from_hours(31 * 24);
/// The longest `renewal_grace`, in seconds.
pub(crate) const LONGEST_GRACE: u64 = 30 * 86_400;

/// Version of a mount's lists, as it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KrlRecord {
    pub(crate) version: u64,
    pub(crate) generated_at: Timestamp,
    /// How often rows were taken away: then what is known must be read again.
    pub(crate) removals: u64,
}

/// A list, ready to be sent.
#[derive(Debug, Clone)]
pub(crate) struct Document {
    pub(crate) bytes: Arc<Vec<u8>>,
    /// For `ETag`: names the content, so that the same content has the same name on every node and after a restart.
    pub(crate) tag: String,
    pub(crate) version: u64,
}

/// What is known of a mount's revocations.
#[derive(Debug, Default)]
pub(crate) struct KrlState {
    record: Option<KrlRecord>,
    comment: String,
    last_id: u64,
    rows: usize,
    /// When the first of them may be forgotten.
    earliest_end: Option<Timestamp>,
    /// By id of the issuer.
    certificates: BTreeMap<String, RevokedCertificates>,
    /// Key ids that are meant whoever signs.
    key_ids: BTreeSet<String>,
    keys: BTreeSet<Vec<u8>>,
    fingerprints: BTreeSet<Vec<u8>>,
    /// Encoded sections by id of the issuer; dropped where something changes in one.
    sections: BTreeMap<String, Arc<Vec<u8>>>,
    /// Lists by id of the issuer; the whole one under no id.
    documents: BTreeMap<String, Document>,
}

impl KrlState {
    fn learn(&mut self, row: SshRevocation) {
        self.last_id = self.last_id.max(row.id);
        self.rows += 1;
        let SshRevocationOrder { issuer, target, expires_at, .. } = row.order;
        self.earliest_end = self.earliest_end.into_iter().chain(expires_at).min();
        match target {
            SshRevocationTarget::Serials { first, last } => {
                self.sections.remove(&issuer);
                self.certificates.entry(issuer).or_default().serials.insert(first, last);
            }
            SshRevocationTarget::KeyId(id) if issuer.is_empty() => {
                self.sections.clear();
                self.key_ids.insert(id);
            }
            SshRevocationTarget::KeyId(id) => {
                self.sections.remove(&issuer);
                self.certificates.entry(issuer).or_default().key_ids.insert(id);
            }
            SshRevocationTarget::Key(key) => {
                self.keys.insert(key);
            }
            SshRevocationTarget::Fingerprint(hash) => {
                self.fingerprints.insert(hash);
            }
        }
    }

    fn section(&mut self, issuer: &Issuer) -> Arc<Vec<u8>> {
        let id = &issuer.record.id;
        if let Some(section) = self.sections.get(id) {
            return Arc::clone(section);
        }
        let own = self.certificates.get(id);
        let encoded = if self.key_ids.is_empty() {
            own.map(|revoked| revoked.encode(issuer.public_key.blob())).unwrap_or_default()
        } else {
            let mut revoked = own.cloned().unwrap_or_default();
            revoked.key_ids.extend(self.key_ids.iter().cloned());
            revoked.encode(issuer.public_key.blob())
        };
        let section = Arc::new(encoded);
        self.sections.insert(id.clone(), Arc::clone(&section));
        section
    }

    fn document(&mut self, authority: &Authority, only: Option<&Issuer>) -> Document {
        let key = only.map(|issuer| issuer.record.id.clone()).unwrap_or_default();
        if let Some(document) = self.documents.get(&key) {
            return document.clone();
        }
        let mut sections: Vec<Arc<Vec<u8>>> = match only {
            Some(issuer) => vec![self.section(issuer)],
            None => authority
                .issuers
                .values()
                .chain(authority.retired.values())
                .map(|issuer| self.section(issuer))
                .collect(),
        };
        sections.push(Arc::new(krl::encode_keys(&self.keys, &self.fingerprints)));
        let record = self.record.unwrap_or(KrlRecord { version: 0, generated_at: Timestamp::UNIX_EPOCH, removals: 0 });
        let header = KrlHeader {
            version: record.version,
            generated_at: u64::try_from(record.generated_at.as_second()).unwrap_or(0),
            comment: self.comment.clone(),
        };
        let bytes = krl::assemble(&header, sections.iter().map(|section| section.as_slice()));
        let tag = format!("\"{}\"", HEXLOWER.encode(digest(&SHA256, &bytes).as_ref()));
        let document = Document { bytes: Arc::new(bytes), tag, version: record.version };
        self.documents.insert(key, document.clone());
        document
    }

    fn revokes(&self, subject: &Subject<'_>) -> bool {
        let own = self.certificates.get(subject.issuer);
        own.is_some_and(|own| own.serials.contains(subject.serial) || own.key_ids.contains(subject.key_id))
            || self.key_ids.contains(subject.key_id)
            || [subject.key, subject.issuer_key]
                .iter()
                .any(|key| self.keys.contains(*key) || self.fingerprints.contains(digest(&SHA256, key).as_ref()))
    }

    /// Whether a revocation would say nothing new.
    fn says(&self, order: &SshRevocationOrder) -> bool {
        let own = self.certificates.get(&order.issuer);
        match &order.target {
            SshRevocationTarget::Serials { first, last } => own.is_some_and(|own| own.serials.covers(*first, *last)),
            SshRevocationTarget::KeyId(id) if order.issuer.is_empty() => self.key_ids.contains(id),
            SshRevocationTarget::KeyId(id) => {
                self.key_ids.contains(id) || own.is_some_and(|own| own.key_ids.contains(id))
            }
            SshRevocationTarget::Key(key) => self.keys.contains(key),
            SshRevocationTarget::Fingerprint(hash) => self.fingerprints.contains(hash),
        }
    }
}

/// A certificate that may be revoked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subject<'a> {
    pub(crate) issuer: &'a str,
    pub(crate) issuer_key: &'a [u8],
    pub(crate) serial: u64,
    pub(crate) key_id: &'a str,
    pub(crate) key: &'a [u8],
}

/// What became of a request to revoke.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RevocationOutcome {
    pub(crate) version: u64,
    pub(crate) at: Timestamp,
    /// The lists said so already; nothing was written.
    pub(crate) known: bool,
}

impl SshAuthority {
    /// Revokes. The lists hold it as soon as this returns.
    pub(crate) async fn revoke(&self, order: SshRevocationOrder) -> Result<RevocationOutcome, SshError> {
        let at = order.at;
        {
            let (state, _) = self.krl_state().await?;
            if state.says(&order) {
                let version = state.record.map_or(0, |record| record.version);
                return Ok(RevocationOutcome { version, at, known: true });
            }
        }
        let order = &order;
        self.store
            .transact("revoke", move || async move {
                let (mut changes, version) = self.next_version(false).await?;
                changes.ssh(SshChange::Revoke(order.clone()));
                Ok::<_, SshError>((changes, RevocationOutcome { version, at, known: false }))
            })
            .await
    }

    /// Takes a revocation back; `false` where there is none with this id.
    pub(crate) async fn restore(&self, id: u64) -> Result<bool, SshError> {
        let page = SshPage { after: Some(id.saturating_sub(1)), limit: Some(1) };
        let found = self.store.ssh().revocations(self.mount(), page).await?;
        if found.first().is_none_or(|row| row.id != id) {
            return Ok(false);
        }
        self.store
            .transact("restore", move || async move {
                let (mut changes, _) = self.next_version(true).await?;
                changes.ssh(SshChange::Restore { mount: self.mount().to_owned(), id });
                Ok::<_, SshError>((changes, true))
            })
            .await
    }

    /// Forgets revocations of what has ended long ago.
    pub(crate) async fn forget_ended_revocations(&self, now: Timestamp) -> Result<(), SshError> {
        let Some(record) = storage::read::<KrlRecord>(&self.view, storage::KRL).await? else { return Ok(()) };
        // Once an hour: every version is fetched by every host.
        if now.duration_since(record.generated_at) < SignedDuration::from_hours(1) {
            return Ok(());
        }
        let earliest_end = self.krl_state().await?.0.earliest_end;
        if earliest_end.is_none_or(|end| end >= now) {
            return Ok(());
        }
        self.store
            .transact("forget revocations", move || async move {
                let (mut changes, _) = self.next_version(true).await?;
                changes.ssh(SshChange::ForgetRevocations { mount: self.mount().to_owned(), before: now });
                Ok::<_, SshError>((changes, ()))
            })
            .await
    }

    /// The change that raises the version of the lists, and the new version.
    pub(crate) async fn next_version(&self, removal: bool) -> Result<(Changes, u64), SshError> {
        let present = storage::read_versioned::<KrlRecord>(&self.view, storage::KRL).await?;
        let now = self.now();
        let record = match present {
            Some((record, _)) => KrlRecord {
                version: record.version.saturating_add(1),
                generated_at: record.generated_at.max(now),
                removals: record.removals.saturating_add(u64::from(removal)),
            },
            None => KrlRecord { version: 1, generated_at: now, removals: 0 },
        };
        let mut changes = Changes::default();
        match present {
            Some((_, version)) => changes.replace(&self.view, storage::KRL, &record, version, None)?,
            None => changes.create(&self.view, storage::KRL, &record)?,
        };
        Ok((changes, record.version))
    }

    /// Until when a revocation of a certificate is told of.
    pub(crate) fn kept_until(valid_before: Timestamp) -> Timestamp {
        valid_before.checked_add(KEPT_AFTER_END).unwrap_or(Timestamp::MAX)
    }

    /// The list for hosts: of one issuer, or of all.
    pub(crate) async fn krl(&self, only: Option<&Issuer>) -> Result<Document, SshError> {
        let (mut state, authority) = self.krl_state().await?;
        Ok(state.document(&authority, only))
    }

    /// Whether the lists name the certificate.
    pub(crate) async fn is_revoked(&self, subject: &Subject<'_>) -> Result<bool, SshError> {
        Ok(self.krl_state().await?.0.revokes(subject))
    }

    /// Which of several the lists name, by one look at the lists.
    pub(crate) async fn are_revoked(&self, subjects: &[Subject<'_>]) -> Result<Vec<bool>, SshError> {
        let (state, _) = self.krl_state().await?;
        Ok(subjects.iter().map(|subject| state.revokes(subject)).collect())
    }

    /// What is known, brought up to date.
    async fn krl_state(&self) -> Result<(tokio::sync::MutexGuard<'_, KrlState>, Arc<Authority>), SshError> {
        let mut state = self.krl.lock().await;
        let record = storage::read::<KrlRecord>(&self.view, storage::KRL).await?;
        let authority = self.authority().await?;
        if state.record != record {
            if state.record.map(|record| record.removals) != record.map(|record| record.removals) {
                *state = KrlState::default();
            }
            loop {
                let page = SshPage { after: Some(state.last_id), limit: Some(ROWS) };
                let rows = self.store.ssh().revocations(self.mount(), page).await?;
                let is_last = rows.len() < ROWS;
                rows.into_iter().for_each(|row| state.learn(row));
                if is_last {
                    break;
                }
            }
            state.comment = self.krl_settings().await?.comment;
            state.documents.clear();
            state.record = record;
        }
        Ok((state, authority))
    }

    pub(crate) async fn krl_settings(&self) -> Result<KrlSettings, SshError> {
        Ok(storage::read(&self.view, storage::CONFIG_KRL).await?.unwrap_or_default())
    }
}
