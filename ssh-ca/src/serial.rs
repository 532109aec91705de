//! Serial numbers: 64 bits, rising, one series a mount, so that a range can name everything signed before a moment.
//!
//! Numbers are reserved in blocks, durably, before the first of a block is used. After a restart a new block begins: a
//! number is never given twice, some are never given. OpenSSH cannot revoke number zero, so the first is one.

use crate::{SshAuthority, error::SshError, storage};
use chancery_store::Changes;
use std::sync::atomic::Ordering;

const BLOCK: u64 = 1024;

/// Numbers from `next` up to, not including, `end` are ours to give.
#[derive(Debug, Default)]
pub(crate) struct Series {
    next: u64,
    end: u64,
}

impl SshAuthority {
    /// The next serial number.
    pub(crate) async fn next_serial(&self) -> Result<u64, SshError> {
        let mut series = self.serials.lock().await;
        if self.block_over.swap(false, Ordering::AcqRel) || series.next == series.end {
            *series = self.reserve().await?;
        }
        let serial = series.next;
        series.next += 1;
        Ok(serial)
    }

    /// The last serial number that was given, or may have been given before a restart; zero where there is none.
    pub(crate) async fn last_serial(&self) -> Result<u64, SshError> {
        let mut series = self.serials.lock().await;
        if series.end != 0 && !self.store.is_shared() {
            return Ok(series.next.saturating_sub(1));
        }
        // Other processes give numbers of blocks of their own: whatever is reserved may have been given. Ours go on behind
        // it, and theirs when they hear of the revocation.
        *series = Series::default();
        let end = storage::read::<u64>(&self.view, storage::SERIAL).await?.unwrap_or(1);
        Ok(end.saturating_sub(1))
    }

    pub(crate) async fn forget_serials(&self) {
        *self.serials.lock().await = Series::default();
    }

    async fn reserve(&self) -> Result<Series, SshError> {
        self.store
            .transact("reserve serial numbers", || async {
                let present = storage::read_versioned::<u64>(&self.view, storage::SERIAL).await?;
                let next = present.map_or(1, |(next, _)| next);
                let end = next.checked_add(BLOCK).ok_or_else(|| SshError::caller("serial numbers are used up"))?;
                let mut changes = Changes::default();
                match present {
                    Some((_, version)) => changes.replace(&self.view, storage::SERIAL, &end, version, None)?,
                    None => changes.create(&self.view, storage::SERIAL, &end)?,
                };
                Ok::<_, SshError>((changes, Series { next, end }))
            })
            .await
    }
}
