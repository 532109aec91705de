//! Publishing what is revoked: complete CRLs, their deltas, shards, and a spare of each for the day the HSM is away.
//!
//! Whether a list lacks a revocation is asked of the inventory: each list knows the commit [`through`] which it is complete,
//! and the inventory lists by index what was revoked since. So there are no marks to keep, a list that could not be signed
//! (HSM away, crash) is made up for by the next tick, and the next list takes over the entries of the last one and adds
//! what is new. A list is stored only if every list of its lineage is still as it was read: two processes on one database
//! never take a number twice, nor step one back, nor lose a revocation.
//!
//! [`through`]: crate::crl::CrlRecord::through

mod build;
mod due;
mod serve;

pub use serve::Published;

use crate::{
    CertificateAuthority,
    authority::Authority,
    crl::CrlRecord,
    error::CaError,
    issuer::{Issuer, Usage},
    storage,
};
use chancery_store::{RevokedPage, RevokedScope};
use parking_lot::{Mutex, RwLock};
use std::{collections::HashMap, fmt, sync::Arc};

/// Which list of an issuer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CrlScope {
    /// Everything the issuer revoked.
    Complete,
    /// What it revoked since the complete list.
    Delta,
    /// One shard, from 1 on.
    Shard(u32),
}

/// Why a list is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// It must hold the revocations of this commit.
    Revocation(u64),
    /// It must hold whatever is revoked by now.
    Current,
    /// It is near its end, or somebody wants it new: entries that have had their time are left out.
    Renewal,
}

/// What the publisher keeps in memory.
#[derive(Default)]
pub(crate) struct Press {
    /// Whoever builds a list holds its turn.
    turns: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
    served: RwLock<HashMap<String, serve::Served>>,
}

/// Issuers with the same key and name, whose lists are one; deleted ones too.
pub(crate) struct Lineage {
    pub(crate) issuers: Vec<Arc<Issuer>>,
    /// The one that signs; none where no key is here that may.
    pub(crate) signer: Option<Arc<Issuer>>,
}

impl fmt::Display for CrlScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Complete => f.write_str("complete"),
            Self::Delta => f.write_str("delta"),
            Self::Shard(shard) => write!(f, "shard {shard}"),
        }
    }
}

impl Press {
    fn turn(&self, place: &str) -> Arc<tokio::sync::Mutex<()>> {
        Arc::clone(self.turns.lock().entry(place.to_owned()).or_default())
    }

    pub(crate) fn forget(&self) {
        self.served.write().clear();
    }
}

impl Lineage {
    pub(crate) fn of(authority: &Authority, issuer: &Issuer) -> Self {
        let issuers = authority.equivalents(issuer);
        let can_sign = |issuer: &&Arc<Issuer>| {
            let record = &issuer.record;
            let is_here = authority.issuers.contains_key(&record.id) && !record.key_id.is_empty();
            is_here && record.usage.has(Usage::CrlSigning)
        };
        let signer = issuers.iter().find(can_sign).cloned();
        Self { issuers, signer }
    }

    /// The lineages of all issuers that are here, each once.
    fn all(authority: &Authority) -> Vec<Self> {
        let mut lineages: Vec<Self> = Vec::new();
        for issuer in authority.issuers.values() {
            if !lineages.iter().any(|lineage| lineage.issuers.iter().any(|known| known.record.id == issuer.record.id)) {
                lineages.push(Self::of(authority, issuer));
            }
        }
        lineages
    }

    /// Id that stands for all of it in memory.
    fn id(&self) -> &str {
        self.issuers.iter().map(|issuer| issuer.record.id.as_str()).min().unwrap_or_default()
    }
}

impl CertificateAuthority {
    /// Issuers, keys and settings as they are in the database now, whichever process changed them.
    pub(crate) async fn fresh_authority(&self) -> Result<Arc<Authority>, CaError> {
        let guard = self.view.read(storage::GUARD).await?.map(|entry| entry.version);
        let authority = self.authority().await?;
        if authority.guard == guard {
            return Ok(authority);
        }
        self.cache.write().clear();
        self.authority().await
    }

    /// Lists that `issuer` must have: the complete one, and its shards.
    pub(crate) fn scopes(authority: &Authority) -> impl Iterator<Item = CrlScope> + use<> {
        [CrlScope::Complete].into_iter().chain((1..=authority.crl_settings.shards).map(CrlScope::Shard))
    }

    /// Whether something was revoked that the list lacks.
    async fn lacks(&self, lineage: &Lineage, scope: CrlScope, record: &CrlRecord) -> Result<bool, CaError> {
        for issuer in &lineage.issuers {
            let page = RevokedPage { since: record.through, after: None, limit: Some(1) };
            if !self.store.certificates().revoked(self.mount(), scope.of(&issuer.record.id), page).await?.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The newest list of a lineage.
    pub(crate) async fn newest(&self, lineage: &Lineage, scope: CrlScope) -> Result<Option<CrlRecord>, CaError> {
        let mut newest: Option<CrlRecord> = None;
        for issuer in &lineage.issuers {
            let record: Option<CrlRecord> = storage::read(&self.view, &storage::crl(scope, &issuer.record.id)).await?;
            if let Some(record) = record
                && newest.as_ref().is_none_or(|newest| record.number > newest.number)
            {
                newest = Some(record);
            }
        }
        Ok(newest)
    }
}

impl CrlScope {
    /// What it lists of one issuer.
    fn of(self, issuer: &str) -> RevokedScope {
        let shard = match self {
            Self::Complete | Self::Delta => None,
            Self::Shard(shard) => Some(shard),
        };
        RevokedScope { issuer: issuer.to_owned(), shard }
    }
}
