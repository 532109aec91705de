//! Whether a new CRL may take the place of the old one: decided on the bytes that would go out, by other code than made
//! them. A list that lost a revocation, went back in number or time, or changed its scope is not published
//! (CVE-2021-29653; Boulder's rules for what it uploads).

use super::list::CrlList;
use crate::{error::CaError, facts::CertificateFacts, verify};
use std::collections::HashSet;

/// Judges `new` against `old`. `dropped`: serial numbers that may be missing, since their certificates ended more than
/// one period ago.
///
/// # Errors
/// [`CaError::Corrupt`] that says what is wrong; nothing must be published then.
pub fn successor(
    new: &[u8],
    old: Option<&[u8]>,
    issuer: &CertificateFacts,
    dropped: &HashSet<Vec<u8>>,
) -> Result<(), CaError> {
    let refuse = |why: String| Err(CaError::corrupt("new CRL", why));
    if !verify::certificate_signature(new, &issuer.public_key) {
        return refuse("its signature does not verify".to_owned());
    }
    let new = CrlList::parse(new)?;
    if new.issuer != issuer.subject {
        return refuse("it names another issuer".to_owned());
    }
    let Some(number) = new.number else { return refuse("it has no number".to_owned()) };
    if new.next_update.is_none_or(|next| next <= new.this_update) {
        return refuse("it ends before it begins".to_owned());
    }
    let Some(old) = old else { return Ok(()) };
    let old = CrlList::parse(old)?;
    if old.number.is_some_and(|old| number <= old) {
        return refuse(format!("its number {number} is not above {:?}", old.number));
    }
    if new.this_update < old.this_update {
        return refuse("it is older than the present one".to_owned());
    }
    if old.distribution_point.is_some() && new.distribution_point.is_none() {
        return refuse("it is for no distribution point".to_owned());
    }
    // Entries are taken over as they lie, so mostly one look is enough.
    if new.entries.starts_with(old.entries) || new.base.is_some() && new.base != old.base {
        return Ok(());
    }
    let mut present = HashSet::new();
    for entry in new.entries() {
        present.insert(entry?.serial);
    }
    for entry in old.entries() {
        let serial = entry?.serial;
        if !present.contains(&serial) && !dropped.contains(serial.as_bytes()) {
            return refuse(format!("it lacks the revoked certificate {serial}"));
        }
    }
    Ok(())
}
