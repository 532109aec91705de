//! Building one list: read, encode, sign, check, store.

use super::{CrlScope, Lineage, Need};
use crate::{
    CertificateAuthority,
    authority::Authority,
    crl::{self, CrlHeader, CrlRecord, check, list::CrlList, shard},
    error::CaError,
    issuer::Issuer,
    signature::{SignatureAlgorithm, SignaturePreference},
    storage,
};
use chancery_hsm::SignInput;
use chancery_store::{Changes, RevokedCertificate, RevokedPage};
use jiff::{SignedDuration, Timestamp};
use std::{collections::HashSet, sync::Arc};

/// Revocations read in one go.
const PAGE: usize = 10_000;

/// A shard goes by at most so many names.
const MOST_NAMES: usize = 16;

/// Longer than an HSM is usually away.
const SPARE_LIFETIMES: i64 = 3;

/// What there is of a lineage before a list is built, to be there still when it is stored.
struct Before {
    /// The newest list of the scope itself.
    newest: Option<CrlRecord>,
    /// Highest number among the scopes that are numbered together.
    number: u64,
    /// The list that a delta adds to.
    complete: Option<CrlRecord>,
    expectations: Changes,
    /// Version of the entry that will be replaced.
    version: Option<u64>,
}

/// Entries, and whose are left out.
#[derive(Default)]
struct Entries {
    bytes: Vec<u8>,
    dropped: HashSet<Vec<u8>>,
}

/// When a list holds from, when it ends.
#[derive(Clone, Copy)]
struct Period {
    this_update: Timestamp,
    next_update: Timestamp,
}

impl CertificateAuthority {
    /// Brings the list of an issuer up to date. Does nothing for an issuer that is gone, has no key here or may not sign
    /// CRLs; says so by `false`.
    pub(crate) async fn publish(&self, issuer: &str, scope: CrlScope, need: Need) -> Result<bool, CaError> {
        let authority = self.fresh_authority().await?;
        let Some(issuer) = authority.issuers.get(issuer).or_else(|| authority.retired.get(issuer)) else {
            return Ok(false);
        };
        let lineage = Lineage::of(&authority, issuer);
        let Some(signer) = &lineage.signer else { return Ok(false) };
        let place = storage::crl(scope, lineage.id());
        let turn = self.press.turn(&place);
        let _turn = turn.lock().await;
        let (lineage, signer, authority) = (&lineage, signer, &authority);
        self.store
            .transact("publish CRL", || async move {
                let changes = self.build(authority, lineage, signer, (scope, need)).await?;
                Ok::<_, CaError>((changes, ()))
            })
            .await?;
        Ok(true)
    }

    /// One attempt. Nothing changes where the list that is there suffices.
    async fn build(
        &self,
        authority: &Authority,
        lineage: &Lineage,
        signer: &Arc<Issuer>,
        (scope, need): (CrlScope, Need),
    ) -> Result<Changes, CaError> {
        // Before anything is read: what is revoked up to here is seen by what follows.
        let through = self.store.sequence().await?.0;
        let before = self.before(lineage, signer, scope).await?;
        if let Some(newest) = &before.newest
            && self.suffices(lineage, scope, need, newest).await?
        {
            return Ok(Changes::default());
        }
        let now = self.now();
        // RFC 5280 §5.2.3: the number rises, and time does not run backwards even if the clock does.
        let this_update = before.newest.as_ref().map_or(now, |newest| now.max(newest.this_update));
        let period = period(authority, this_update, 1)?;
        let entries = self.entries(authority, lineage, scope, (need, &before, period, through)).await?;
        let record = CrlRecord {
            number: before.number.saturating_add(1),
            this_update,
            next_update: period.next_update,
            der: Vec::new(),
            through,
            base: match (scope, &before.complete) {
                (CrlScope::Delta, Some(complete)) => Some(complete.number),
                (CrlScope::Delta, None) => return Err(CaError::Absent),
                _ => None,
            },
            urls: names(authority, signer, scope, before.newest.as_ref())?,
        };
        let record = self.sign_list(authority, signer, (scope, record), &entries.bytes).await?;
        let old =
            before.newest.as_ref().filter(|_| !authority.crl_settings.disable).map(|newest| newest.der.as_slice());
        check::successor(&record.der, old, &signer.facts, &entries.dropped)?;
        let mut changes = before.expectations;
        let place = storage::crl(scope, &signer.record.id);
        match before.version {
            Some(version) => changes.replace(&self.view, &place, &record, version, None)?,
            None => changes.create(&self.view, &place, &record)?,
        };
        Ok(changes)
    }

    async fn suffices(
        &self,
        lineage: &Lineage,
        scope: CrlScope,
        need: Need,
        newest: &CrlRecord,
    ) -> Result<bool, CaError> {
        Ok(match need {
            Need::Revocation(sequence) => newest.through >= sequence,
            // A delta without news may still be one of an older list.
            Need::Current => scope != CrlScope::Delta && !self.lacks(lineage, scope, newest).await?,
            Need::Renewal => false,
        })
    }

    async fn before(&self, lineage: &Lineage, signer: &Issuer, scope: CrlScope) -> Result<Before, CaError> {
        let numbered_together = match scope {
            CrlScope::Complete => vec![CrlScope::Complete, CrlScope::Delta],
            CrlScope::Delta => vec![CrlScope::Delta, CrlScope::Complete],
            shard @ CrlScope::Shard(_) => vec![shard],
        };
        let mut before =
            Before { newest: None, number: 0, complete: None, expectations: Changes::default(), version: None };
        for other in numbered_together {
            for issuer in &lineage.issuers {
                let place = storage::crl(other, &issuer.record.id);
                let is_replaced = other == scope && issuer.record.id == signer.record.id;
                let Some(entry) = self.view.read(&place).await? else {
                    if !is_replaced {
                        before.expectations.expect_absent(&self.view, &place);
                    }
                    continue;
                };
                if is_replaced {
                    before.version = Some(entry.version);
                } else {
                    before.expectations.expect_version(&self.view, &place, entry.version);
                }
                let record: CrlRecord = entry.decode()?;
                before.number = before.number.max(record.number);
                let newest = if other == scope { &mut before.newest } else { &mut before.complete };
                if newest.as_ref().is_none_or(|newest| record.number > newest.number) {
                    *newest = Some(record);
                }
            }
        }
        Ok(before)
    }

    async fn entries(
        &self,
        authority: &Authority,
        lineage: &Lineage,
        scope: CrlScope,
        (need, before, period, through): (Need, &Before, Period, u64),
    ) -> Result<Entries, CaError> {
        let mut entries = Entries::default();
        if authority.crl_settings.disable {
            return Ok(entries);
        }
        let old = match &before.newest {
            Some(newest) => Some((CrlList::parse(&newest.der)?, newest)),
            None => None,
        };
        let since = match (scope, &old) {
            (CrlScope::Delta, _) => before.complete.as_ref().map_or(0, |complete| complete.through),
            (_, Some((list, newest))) if need != Need::Renewal => {
                entries.bytes.extend_from_slice(list.entries);
                newest.through
            }
            _ => 0,
        };
        let is_whole = since == 0 && scope != CrlScope::Delta;
        let lifetime = period.next_update.duration_since(period.this_update);
        let mut present = HashSet::new();
        for issuer in &lineage.issuers {
            let mut page = RevokedPage { since, after: None, limit: Some(PAGE) };
            loop {
                let of_issuer = scope.of(&issuer.record.id);
                let rows = self.store.certificates().revoked(self.mount(), of_issuer, page.clone()).await?;
                // What was revoked while this is read is left to the next list, which would list it a second time.
                for row in rows.iter().filter(|row| row.sequence <= through) {
                    if is_whole && has_had_its_time(row, period.this_update, lifetime) {
                        entries.dropped.insert(row.serial.clone());
                        continue;
                    }
                    crl::push_entry(row, &mut entries.bytes)?;
                    if is_whole {
                        present.insert(row.serial.clone());
                    }
                }
                match rows.last() {
                    Some(last) if rows.len() == PAGE => page.after = Some((last.sequence, last.serial.clone())),
                    _ => break,
                }
            }
        }
        if let (true, Some((list, _))) = (is_whole, &old) {
            keep_unknown(list, &present, &mut entries)?;
        }
        Ok(entries)
    }

    async fn sign_list(
        &self,
        authority: &Authority,
        signer: &Issuer,
        (scope, mut record): (CrlScope, CrlRecord),
        entries: &[u8],
    ) -> Result<CrlRecord, CaError> {
        let key = authority
            .keys
            .get(&signer.record.key_id)
            .ok_or_else(|| CaError::corrupt(format!("issuer {}", signer.record.id), "its key is not in this mount"))?;
        let algorithm = match signer.record.revocation_signature_algorithm.as_str() {
            "" => SignatureAlgorithm::choose(key.reference.algorithm, SignaturePreference::default())?,
            name => SignatureAlgorithm::by_wire_name(name)?,
        };
        // Where URLs cannot be filled in, issuing fails and says so; the list goes out without them.
        let urls = authority.urls_of(signer).ok();
        let freshest = match (scope, &urls) {
            (CrlScope::Complete, Some(urls)) if authority.crl_settings.enable_delta => {
                urls.delta_crl_distribution_points.as_slice()
            }
            _ => &[],
        };
        let header = CrlHeader {
            issuer: &signer.facts,
            algorithm: &algorithm.identifier,
            number: record.number,
            this_update: record.this_update,
            next_update: record.next_update,
            base: record.base,
            distribution_point: &record.urls,
            freshest,
            further: &[],
        };
        let tbs = crl::encode(header, entries)?;
        let signature = self.custody.sign(key, algorithm.scheme, SignInput::Message(tbs.clone())).await?;
        record.der = crl::assemble(&tbs, &algorithm.identifier, &signature)?;
        Ok(record)
    }

    /// Signs what the newest list says once more, for longer. RFC 5280 §5.2.3 allows two lists of one number where they
    /// were issued at the same moment.
    pub(super) async fn lay_up_spare(
        &self,
        authority: &Authority,
        lineage: &Lineage,
        scope: CrlScope,
        newest: CrlRecord,
    ) -> Result<(), CaError> {
        let Some(signer) = &lineage.signer else { return Ok(()) };
        let list = CrlList::parse(&newest.der)?;
        let next_update = period(authority, newest.this_update, SPARE_LIFETIMES)?.next_update;
        let copy = CrlRecord { next_update, der: Vec::new(), ..newest.clone() };
        let spare = self.sign_list(authority, signer, (scope, copy), list.entries).await?;
        check::successor(&spare.der, None, &signer.facts, &HashSet::new())?;
        let mut changes = Changes::default();
        changes.put(&self.view, &storage::spare(scope, lineage.id()), &spare)?;
        self.store.commit(changes).await?;
        Ok(())
    }
}

/// Names of a shard's distribution point: those that certificates are given now, and those they were given before.
fn names(
    authority: &Authority,
    signer: &Issuer,
    scope: CrlScope,
    newest: Option<&CrlRecord>,
) -> Result<Vec<String>, CaError> {
    let CrlScope::Shard(number) = scope else { return Ok(Vec::new()) };
    let urls = authority.urls_of(signer).ok();
    let mut names = urls.map(|urls| shard::names(&urls, number)).unwrap_or_default();
    for known in newest.iter().flat_map(|newest| &newest.urls) {
        if !names.contains(known) && names.len() < MOST_NAMES {
            names.push(known.clone());
        }
    }
    if names.is_empty() {
        return Err(CaError::caller(
            "no crl_distribution_points with {{shard}} in it says where the shards of the CRL are published",
        ));
    }
    Ok(names)
}

fn period(authority: &Authority, this_update: Timestamp, lifetimes: i64) -> Result<Period, CaError> {
    let lifetime = SignedDuration::from_secs(authority.crl_settings.lifetime().saturating_mul(lifetimes));
    let next_update =
        this_update.checked_add(lifetime).map_err(|_| CaError::caller("CRL expiry reaches beyond the year 9999"))?;
    Ok(Period { this_update, next_update })
}

/// RFC 5280 §3.3: an entry stays until it was on a list issued after the certificate's end.
fn has_had_its_time(row: &RevokedCertificate, this_update: Timestamp, lifetime: SignedDuration) -> bool {
    let end = row.not_after.max(row.revocation.at);
    end.checked_add(lifetime).is_ok_and(|over| over < this_update)
}

/// What was listed stays listed, even where the inventory does not know it any more.
fn keep_unknown(old: &CrlList<'_>, present: &HashSet<Vec<u8>>, entries: &mut Entries) -> Result<(), CaError> {
    for entry in old.entries() {
        let entry = entry?;
        let serial = entry.serial.as_bytes();
        if !present.contains(serial) && !entries.dropped.contains(serial) {
            tracing::warn!(serial = %entry.serial, "a certificate on the CRL is not in the inventory; it stays listed");
            entries.bytes.extend_from_slice(entry.der);
        }
    }
    Ok(())
}
