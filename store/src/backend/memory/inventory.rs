//! The certificate inventory in memory: one ordered map, filtered.

use crate::{
    StoreError,
    inventory::{
        Certificate, CertificateChange, CertificateCursor, CertificateFilter, CertificateOrder, CertificateQuery,
        CertificateState, RevokedCertificate, RevokedPage, RevokedScope, SerialPage,
    },
};
use jiff::Timestamp;
use std::{cmp::Ordering, collections::BTreeMap};

type Place = (String, Vec<u8>);

#[derive(Default)]
pub(super) struct Inventory {
    last_id: u64,
    rows: BTreeMap<Place, Certificate>,
    /// Number of the commit that revoked a certificate.
    revoked_by: BTreeMap<Place, u64>,
}

impl Inventory {
    /// Applies all changes or none.
    pub(super) fn apply_all(&mut self, changes: &[&CertificateChange], sequence: u64) -> Result<(), StoreError> {
        let mut before = Vec::new();
        for change in changes {
            before.extend(self.touched(change));
            if let Err(error) = self.apply(change, sequence) {
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

    fn apply(&mut self, change: &CertificateChange, sequence: u64) -> Result<(), StoreError> {
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
                self.revoked_by.insert((mount.clone(), serial.clone()), sequence);
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

    pub(super) fn revoked_serials(&self, mount: &str, page: &SerialPage) -> Vec<Vec<u8>> {
        self.of_mount(mount, page)
            .filter(|row| row.state == CertificateState::Revoked)
            .take(page.limit.unwrap_or(usize::MAX))
            .map(|row| row.intent.serial.clone())
            .collect()
    }

    pub(super) fn revoked(&self, mount: &str, scope: &RevokedScope, page: &RevokedPage) -> Vec<RevokedCertificate> {
        let of_scope = self.of_mount(mount, &SerialPage { after: None, limit: None }).filter(|row| {
            row.intent.issuer == scope.issuer && scope.shard.is_none_or(|shard| shard == row.intent.shard)
        });
        let mut found: Vec<_> = of_scope
            .filter_map(|row| {
                let place = (mount.to_owned(), row.intent.serial.clone());
                Some(RevokedCertificate {
                    serial: row.intent.serial.clone(),
                    revocation: row.revocation?,
                    not_after: row.intent.not_after,
                    sequence: self.revoked_by.get(&place).copied()?,
                })
            })
            .filter(|row| row.sequence > page.since)
            .filter(|row| {
                let is_behind = |(sequence, serial): &(u64, Vec<u8>)| (row.sequence, &row.serial) > (*sequence, serial);
                page.after.as_ref().is_none_or(is_behind)
            })
            .collect();
        found.sort_by(|a, b| (a.sequence, &a.serial).cmp(&(b.sequence, &b.serial)));
        found.truncate(page.limit.unwrap_or(usize::MAX));
        found
    }

    pub(super) fn search(&self, query: &CertificateQuery) -> Vec<Certificate> {
        let mut found: Vec<_> = self
            .rows
            .values()
            .filter(|row| passes(row, &query.filter))
            .map(|row| (CertificateCursor::of(row, query.order), row))
            .filter(|(place, _)| {
                query.after.as_ref().is_none_or(|after| compare(place, after, query) == Ordering::Greater)
            })
            .collect();
        found.sort_by(|(one, _), (other, _)| compare(one, other, query));
        found.into_iter().take(query.limit.unwrap_or(usize::MAX)).map(|(_, row)| row.clone()).collect()
    }

    fn of_mount<'a>(&'a self, mount: &'a str, page: &'a SerialPage) -> impl Iterator<Item = &'a Certificate> {
        let start = (mount.to_owned(), page.after.clone().unwrap_or_default());
        self.rows
            .range(start..)
            .map(|(_, row)| row)
            .take_while(move |row| row.intent.mount == mount)
            .filter(|row| page.after.as_ref().is_none_or(|after| row.intent.serial > *after))
    }
}

fn compare(one: &CertificateCursor, other: &CertificateCursor, query: &CertificateQuery) -> Ordering {
    let end = |cursor: &CertificateCursor| match query.order {
        CertificateOrder::Created => Timestamp::MIN,
        _ => cursor.not_after,
    };
    let ordering = (&one.key, end(one), one.id).cmp(&(&other.key, end(other), other.id));
    if query.descending { ordering.reverse() } else { ordering }
}

fn passes(row: &Certificate, filter: &CertificateFilter) -> bool {
    let equal = |wanted: &Option<String>, found: &String| wanted.as_ref().is_none_or(|wanted| wanted == found);
    let intent = &row.intent;
    filter.mount == intent.mount
        && equal(&filter.issuer, &intent.issuer)
        && equal(&filter.role, &intent.role)
        && equal(&filter.requester, &intent.requester)
        && equal(&filter.common_name, &intent.common_name)
        && equal(&filter.key_type, &intent.key_type)
        && filter.name.as_ref().is_none_or(|name| intent.names.contains(name))
        && filter.state.is_none_or(|state| state == row.state)
        && filter.expires_from.is_none_or(|from| intent.not_after >= from)
        && filter.expires_before.is_none_or(|before| intent.not_after < before)
        && filter.created_before.is_none_or(|before| intent.created_at < before)
}
