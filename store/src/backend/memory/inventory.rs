//! The certificate inventory in memory: one ordered map, filtered.

use crate::{
    StoreError,
    inventory::{
        Certificate, CertificateChange, CertificateFilter, CertificatePage, CertificateState, ExpiryPage,
        RevokedCertificate, SerialPage,
    },
};
use jiff::Timestamp;
use std::collections::BTreeMap;

type Place = (String, Vec<u8>);

#[derive(Default)]
pub(super) struct Inventory {
    last_id: u64,
    rows: BTreeMap<Place, Certificate>,
}

impl Inventory {
    /// Applies all changes or none.
    pub(super) fn apply_all(&mut self, changes: &[&CertificateChange]) -> Result<(), StoreError> {
        let mut before = Vec::new();
        for change in changes {
            before.extend(self.touched(change));
            if let Err(error) = self.apply(change) {
                for (place, row) in before.into_iter().rev() {
                    match row {
                        Some(row) => self.rows.insert(place, row),
                        None => self.rows.remove(&place),
                    };
                }
                return Err(error);
            }
        }
        Ok(())
    }

    /// The rows a change may touch, as they are now.
    fn touched(&self, change: &CertificateChange) -> Vec<(Place, Option<Certificate>)> {
        let place = match change {
            CertificateChange::Intent(intent) => (intent.mount.clone(), intent.serial.clone()),
            CertificateChange::Issued { mount, serial, .. }
            | CertificateChange::Revoke { mount, serial, .. }
            | CertificateChange::Abandon { mount, serial }
            | CertificateChange::Delete { mount, serial } => (mount.clone(), serial.clone()),
            CertificateChange::DeleteMount { mount } => {
                let rows = self.rows.iter().filter(|((owner, _), _)| owner == mount);
                return rows.map(|(place, row)| (place.clone(), Some(row.clone()))).collect();
            }
        };
        let row = self.rows.get(&place).cloned();
        vec![(place, row)]
    }

    fn apply(&mut self, change: &CertificateChange) -> Result<(), StoreError> {
        match change {
            CertificateChange::Intent(intent) => {
                let place = (intent.mount.clone(), intent.serial.clone());
                if self.rows.contains_key(&place) {
                    return Err(StoreError::Conflict);
                }
                self.last_id += 1;
                let row = Certificate {
                    id: self.last_id,
                    intent: intent.clone(),
                    state: CertificateState::Intent,
                    der: Vec::new(),
                    revocation: None,
                };
                self.rows.insert(place, row);
            }
            CertificateChange::Issued { mount, serial, der } => {
                let row = self.row_in(mount, serial, CertificateState::Intent)?;
                row.state = CertificateState::Issued;
                row.der.clone_from(der);
            }
            CertificateChange::Revoke { mount, serial, revocation } => {
                let row = self.row_in(mount, serial, CertificateState::Issued)?;
                row.state = CertificateState::Revoked;
                row.revocation = Some(*revocation);
            }
            CertificateChange::Abandon { mount, serial } => {
                self.row_in(mount, serial, CertificateState::Intent)?;
                self.rows.remove(&(mount.clone(), serial.clone()));
            }
            CertificateChange::Delete { mount, serial } => {
                self.rows.remove(&(mount.clone(), serial.clone()));
            }
            CertificateChange::DeleteMount { mount } => self.rows.retain(|(owner, _), _| owner != mount),
        }
        Ok(())
    }

    fn row_in(&mut self, mount: &str, serial: &[u8], state: CertificateState) -> Result<&mut Certificate, StoreError> {
        let row = self.rows.get_mut(&(mount.to_owned(), serial.to_owned()));
        row.filter(|row| row.state == state).ok_or(StoreError::Conflict)
    }

    pub(super) fn certificate(&self, mount: String, serial: Vec<u8>) -> Option<Certificate> {
        self.rows.get(&(mount, serial)).cloned()
    }

    pub(super) fn serials(&self, mount: &str, page: &SerialPage) -> Vec<Vec<u8>> {
        self.of_mount(mount, page)
            .filter(|row| row.state != CertificateState::Intent)
            .take(page.limit.unwrap_or(usize::MAX))
            .map(|row| row.intent.serial.clone())
            .collect()
    }

    pub(super) fn revoked(&self, mount: &str, issuer: &str, page: &SerialPage) -> Vec<RevokedCertificate> {
        self.of_mount(mount, page)
            .filter(|row| row.intent.issuer == issuer)
            .filter_map(|row| {
                Some(RevokedCertificate {
                    serial: row.intent.serial.clone(),
                    revocation: row.revocation?,
                    not_after: row.intent.not_after,
                })
            })
            .take(page.limit.unwrap_or(usize::MAX))
            .collect()
    }

    pub(super) fn expiring(&self, mount: &str, before: Timestamp, page: ExpiryPage) -> Vec<Certificate> {
        let place = |row: &Certificate| (row.intent.not_after, row.id);
        let of_mount = self.rows.values().filter(|row| row.intent.mount == mount && row.intent.not_after < before);
        let mut found: Vec<_> = of_mount.filter(|row| page.after.is_none_or(|after| place(row) > after)).collect();
        found.sort_by_key(|row| place(row));
        found.into_iter().take(page.limit.unwrap_or(usize::MAX)).cloned().collect()
    }

    pub(super) fn search(&self, filter: &CertificateFilter, page: CertificatePage) -> Vec<Certificate> {
        let mut found: Vec<_> =
            self.rows.values().filter(|row| page.after.is_none_or(|id| row.id > id) && passes(row, filter)).collect();
        found.sort_by_key(|row| row.id);
        found.into_iter().take(page.limit.unwrap_or(usize::MAX)).cloned().collect()
    }

    fn of_mount<'a>(&'a self, mount: &'a str, page: &'a SerialPage) -> impl Iterator<Item = &'a Certificate> {
        self.rows
            .values()
            .filter(move |row| row.intent.mount == mount)
            .filter(|row| page.after.as_ref().is_none_or(|after| row.intent.serial > *after))
    }
}

fn passes(row: &Certificate, filter: &CertificateFilter) -> bool {
    let equal = |wanted: &Option<String>, found: &String| wanted.as_ref().is_none_or(|wanted| wanted == found);
    let intent = &row.intent;
    equal(&filter.mount, &intent.mount)
        && equal(&filter.issuer, &intent.issuer)
        && equal(&filter.role, &intent.role)
        && equal(&filter.requester, &intent.requester)
        && equal(&filter.common_name, &intent.common_name)
        && filter.name.as_ref().is_none_or(|name| intent.names.contains(name))
        && filter.state.is_none_or(|state| state == row.state)
        && filter.expires_from.is_none_or(|from| intent.not_after >= from)
        && filter.expires_before.is_none_or(|before| intent.not_after < before)
        && filter.created_before.is_none_or(|before| intent.created_at < before)
}
