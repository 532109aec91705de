//! Which issuer a request means: by the hashes of its name and key.

use super::request::{CertificateId, HashName};
use crate::{authority::Authority, issuer::Issuer};
use der::Decode;
use spki::SubjectPublicKeyInfoRef;
use std::collections::HashMap;

/// Hash of the name, hash of the key.
type Hashes = (HashName, Vec<u8>, Vec<u8>);

/// The issuers of a mount by every hash a request may name them by.
#[derive(Debug, Default)]
pub(crate) struct IssuerIndex {
    pub(super) guard: Option<u64>,
    by_hashes: HashMap<Hashes, String>,
}

impl IssuerIndex {
    pub(super) fn of(authority: &Authority) -> Self {
        let mut by_hashes = HashMap::new();
        for (id, issuer) in &authority.issuers {
            for hash in HashName::all() {
                if let Some(hashes) = hashes(hash, issuer) {
                    // Of several with the same key and name any will do: they are one lineage.
                    by_hashes.entry(hashes).or_insert_with(|| id.clone());
                }
            }
        }
        Self { guard: authority.guard, by_hashes }
    }

    /// Id of the issuer that is meant.
    pub(super) fn find(&self, id: &CertificateId) -> Option<&str> {
        let hashes = (id.hash, id.issuer_name.clone(), id.issuer_key.clone());
        self.by_hashes.get(&hashes).map(String::as_str)
    }

    /// The names a request may have for the issuer with this id.
    pub(super) fn hashes_of(issuer: &Issuer, hash: HashName) -> Option<(Vec<u8>, Vec<u8>)> {
        hashes(hash, issuer).map(|(_, name, key)| (name, key))
    }
}

/// RFC 6960 §4.1.1: the name in DER; the key without tag, length and count of unused bits.
fn hashes(hash: HashName, issuer: &Issuer) -> Option<Hashes> {
    let spki = SubjectPublicKeyInfoRef::from_der(&issuer.facts.public_key).ok()?;
    Some((hash, hash.of(&issuer.facts.subject), hash.of(spki.subject_public_key.as_bytes()?)))
}
