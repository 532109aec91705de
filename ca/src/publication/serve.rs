//! Handing lists out: from memory as long as nobody has changed the database, so that whoever reads from one process and
//! then from another never sees a number step back.

use super::{CrlScope, Lineage, Need};
use crate::{
    CertificateAuthority, authority::Authority, crl::CrlRecord, error::CaError, issuer::Issuer, serial::SerialNumber,
    storage,
};
use aws_lc_rs::digest::{SHA256, digest};
use jiff::Timestamp;
use std::sync::Arc;

/// A list as it goes out.
#[derive(Debug)]
pub struct Published {
    /// The list.
    pub der: Vec<u8>,
    /// Differs wherever the list does.
    pub etag: String,
    /// thisUpdate
    pub this_update: Timestamp,
    /// nextUpdate
    pub next_update: Timestamp,
    /// cRLNumber
    pub number: u64,
    /// Number of the complete CRL that a delta CRL adds to.
    pub base: Option<u64>,
}

/// A list in memory.
pub(super) struct Served {
    published: Arc<Published>,
    /// Number of the last commit when it was read.
    sequence: u64,
}

impl Published {
    fn of(record: CrlRecord) -> Self {
        let hash = digest(&SHA256, &record.der);
        let tag = SerialNumber::octets(hash.as_ref().get(..8).unwrap_or_default()).replace(':', "");
        Self {
            etag: format!("\"{}-{tag}\"", record.number),
            this_update: record.this_update,
            next_update: record.next_update,
            number: record.number,
            base: record.base,
            der: record.der,
        }
    }
}

impl CertificateAuthority {
    /// The list of an issuer, or of one with the same key and name. A complete or delta list that lacks something is
    /// rebuilt first, where the settings do not let it wait and the HSM is there.
    pub(crate) async fn list(
        &self,
        authority: &Authority,
        issuer: &Issuer,
        scope: CrlScope,
    ) -> Result<Option<Arc<Published>>, CaError> {
        let lineage = Lineage::of(authority, issuer);
        let place = storage::crl(scope, lineage.id());
        let now = self.now();
        let sequence = self.store.sequence().await?.0;
        if let Some(served) = self.press.served.read().get(&place)
            && served.sequence == sequence
            && now < served.published.next_update
        {
            return Ok(Some(Arc::clone(&served.published)));
        }
        if self.custody.is_ready() {
            let brought = self.bring_up_to_date(authority, &lineage, scope).await;
            if let Err(error) = brought {
                tracing::warn!(%error, issuer = lineage.id(), %scope, "a CRL could not be brought up to date");
            }
        }
        let Some(mut record) = self.newest(&lineage, scope).await? else { return Ok(None) };
        if now >= record.next_update {
            let spare: Option<CrlRecord> = storage::read(&self.view, &storage::spare(scope, lineage.id())).await?;
            record = spare.filter(|spare| spare.number == record.number).unwrap_or(record);
        }
        Ok(Some(self.print(&place, record, sequence)))
    }

    async fn bring_up_to_date(&self, authority: &Authority, lineage: &Lineage, scope: CrlScope) -> Result<(), CaError> {
        let settings = &authority.crl_settings;
        let newest = self.newest(lineage, scope).await?;
        let lacks = match (scope, &newest) {
            (CrlScope::Complete, Some(newest)) => !settings.auto_rebuild && self.lacks(lineage, scope, newest).await?,
            (CrlScope::Complete, None) => true,
            // Deltas wait for their interval where they are wanted; where not, one is made for who asks.
            (CrlScope::Delta, Some(newest)) => {
                let complete = self.newest(lineage, CrlScope::Complete).await?;
                !settings.enable_delta && newest.base != complete.map(|complete| complete.number)
            }
            (CrlScope::Delta, None) => self.newest(lineage, CrlScope::Complete).await?.is_some(),
            (CrlScope::Shard(shard), None) => shard <= settings.shards,
            (CrlScope::Shard(_), Some(_)) => false,
        };
        if lacks {
            self.publish(lineage.id(), scope, Need::Current).await?;
        }
        Ok(())
    }

    /// Puts a list into memory.
    fn print(&self, place: &str, record: CrlRecord, sequence: u64) -> Arc<Published> {
        let published = Arc::new(Published::of(record));
        let served = Served { published: Arc::clone(&published), sequence };
        self.press.served.write().insert(place.to_owned(), served);
        published
    }
}
