//! The SSH inventory in memory: ordered maps, filtered.

use super::Memory;
use crate::{
    StoreError,
    backend::SshBackend,
    ssh_inventory::{SshCertificate, SshChange, SshFilter, SshPage, SshRevocation},
};
use async_trait::async_trait;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Default)]
pub(super) struct SshRows {
    certificates: BTreeMap<(String, u64), SshCertificate>,
    last_revocation: u64,
    revocations: BTreeMap<u64, SshRevocation>,
}

impl SshRows {
    /// `Conflict` unless all changes can be applied.
    pub(super) fn check<'a>(&self, changes: impl Iterator<Item = &'a SshChange>) -> Result<(), StoreError> {
        let mut signed = BTreeSet::new();
        for change in changes {
            let possible = match change {
                SshChange::Signed(row) => {
                    let place = (row.mount.clone(), row.serial);
                    !self.certificates.contains_key(&place) && signed.insert(place)
                }
                SshChange::Restore { mount, id } => {
                    self.revocations.get(id).is_some_and(|revocation| revocation.order.mount == *mount)
                }
                _ => true,
            };
            if !possible {
                return Err(StoreError::Conflict);
            }
        }
        Ok(())
    }

    pub(super) fn apply(&mut self, change: SshChange) {
        match change {
            SshChange::Signed(row) => {
                self.certificates.insert((row.mount.clone(), row.serial), row);
            }
            SshChange::Revoke(order) => {
                self.last_revocation += 1;
                let id = self.last_revocation;
                self.revocations.insert(id, SshRevocation { id, order });
            }
            SshChange::Restore { id, .. } => {
                self.revocations.remove(&id);
            }
            SshChange::ForgetEnded { mount, before, limit } => {
                let ended = self.certificates.values().filter(|row| row.mount == mount && row.valid_before < before);
                let mut ended: Vec<_> = ended.map(|row| (row.valid_before, row.serial)).collect();
                ended.sort_unstable();
                for (_, serial) in ended.into_iter().take(limit) {
                    self.certificates.remove(&(mount.clone(), serial));
                }
            }
            SshChange::ForgetRevocations { mount, before } => self.revocations.retain(|_, revocation| {
                revocation.order.mount != mount || revocation.order.expires_at.is_none_or(|end| end >= before)
            }),
            SshChange::DeleteMount { mount } => {
                self.certificates.retain(|(owner, _), _| *owner != mount);
                self.revocations.retain(|_, revocation| revocation.order.mount != mount);
            }
        }
    }

    fn of_mount<'a>(&'a self, mount: &'a str, after: Option<u64>) -> impl Iterator<Item = &'a SshCertificate> {
        self.certificates.values().filter(move |row| row.mount == mount && after.is_none_or(|after| row.serial > after))
    }
}

fn passes(row: &SshCertificate, filter: &SshFilter) -> bool {
    let equal = |wanted: &Option<String>, found: &String| wanted.as_ref().is_none_or(|wanted| wanted == found);
    equal(&filter.issuer, &row.issuer)
        && equal(&filter.role, &row.role)
        && equal(&filter.requester, &row.requester)
        && equal(&filter.key_id, &row.key_id)
        && equal(&filter.fingerprint, &row.fingerprint)
        && filter.principal.as_ref().is_none_or(|name| row.principals.contains(name))
        && filter.kind.is_none_or(|kind| kind == row.kind)
        && filter.ends_from.is_none_or(|from| row.valid_before >= from)
        && filter.ends_before.is_none_or(|before| row.valid_before < before)
}

#[async_trait]
impl SshBackend for Memory {
    async fn ssh_certificate(&self, mount: String, serial: u64) -> Result<Option<SshCertificate>, StoreError> {
        Ok(self.state.read().ssh.certificates.get(&(mount, serial)).cloned())
    }

    async fn ssh_search(
        &self,
        mount: String,
        filter: SshFilter,
        page: SshPage,
    ) -> Result<Vec<SshCertificate>, StoreError> {
        let state = self.state.read();
        let found = state.ssh.of_mount(&mount, page.after).filter(|row| passes(row, &filter));
        Ok(found.take(page.limit.unwrap_or(usize::MAX)).cloned().collect())
    }

    async fn ssh_last_end(&self, mount: String, issuer: String) -> Result<Option<Timestamp>, StoreError> {
        let state = self.state.read();
        let of_issuer = state.ssh.of_mount(&mount, None).filter(|row| row.issuer == issuer);
        Ok(of_issuer.map(|row| row.valid_before).max())
    }

    async fn ssh_revocations(&self, mount: String, page: SshPage) -> Result<Vec<SshRevocation>, StoreError> {
        let state = self.state.read();
        let found = state.ssh.revocations.range(page.after.map_or(0, |after| after.saturating_add(1))..);
        let found = found.map(|(_, revocation)| revocation).filter(|revocation| revocation.order.mount == mount);
        Ok(found.take(page.limit.unwrap_or(usize::MAX)).cloned().collect())
    }
}
