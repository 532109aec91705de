//! The keyring: the versioned keys (terms) that seal the entries, and the form it is stored in under the root key.
//!
//! An entry's record is `format (1) || term (4, big-endian) || nonce (12) || ciphertext || tag (16)`. The associated data
//! is the format, the term, the expiry and the path, so a record opens only in the place it was written for and an
//! expiry cannot be moved.

use super::{
    aead::{self, KeyBytes},
    budget::Budget,
};
use crate::{StoreError, backend::StoredEntry, wiped::to_json};
use aws_lc_rs::aead::LessSafeKey;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc};
use zeroize::Zeroizing;

/// First byte of every record sealed by this release.
const FORMAT: u8 = 1;
const HEADER_BYTES: usize = 5;

/// One version of the barrier key.
#[derive(Clone)]
struct TermKey {
    bytes: KeyBytes,
    cipher: Arc<LessSafeKey>,
    installed_at: Timestamp,
}

/// Everything that is in memory while the barrier is unsealed. Immutable: a change makes a new one.
#[derive(Clone)]
pub(super) struct Keyring {
    pub(super) root: KeyBytes,
    terms: BTreeMap<u32, TermKey>,
    active: u32,
    /// Encryptions after which the active term is replaced.
    pub(super) limit: u64,
    /// Tag of the recovery key, where there is one.
    pub(super) recovery: Option<[u8; 32]>,
    /// Version of the keyring's record.
    pub(super) version: u64,
    /// What the active term may still encrypt before more has to be reserved.
    pub(super) budget: Arc<Budget>,
}

/// The keyring as JSON, before it is sealed.
#[derive(Serialize, Deserialize)]
struct StoredKeyring {
    active: u32,
    limit: u64,
    recovery: Option<[u8; 32]>,
    terms: Vec<StoredTerm>,
}

#[derive(Serialize, Deserialize)]
struct StoredTerm {
    term: u32,
    installed_at: Timestamp,
    key: Zeroizing<String>,
}

impl Keyring {
    /// A keyring with one fresh term under a fresh root key.
    pub(super) fn first(now: Timestamp, limit: u64) -> Result<Self, StoreError> {
        Ok(Self {
            root: aead::random_key()?,
            terms: BTreeMap::from([(1, TermKey::fresh(now)?)]),
            active: 1,
            limit,
            recovery: None,
            version: 0,
            budget: Arc::default(),
        })
    }

    /// The same keyring with a fresh active term; old terms stay readable.
    pub(super) fn with_next_term(&self, now: Timestamp) -> Result<Self, StoreError> {
        let active = self.active.checked_add(1).ok_or_else(|| StoreError::corrupt("keyring"))?;
        let mut next = self.clone();
        next.terms.insert(active, TermKey::fresh(now)?);
        next.active = active;
        next.budget = Arc::default();
        Ok(next)
    }

    pub(super) fn active(&self) -> u32 {
        self.active
    }

    /// When the active term was made.
    pub(super) fn installed_at(&self) -> Option<Timestamp> {
        self.terms.get(&self.active).map(|key| key.installed_at)
    }

    pub(super) fn has(&self, term: u32) -> bool {
        self.terms.contains_key(&term)
    }

    /// The keyring as JSON, to be sealed under the root key.
    pub(super) fn to_bytes(&self) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        let term = |(term, key): (&u32, &TermKey)| StoredTerm {
            term: *term,
            installed_at: key.installed_at,
            key: Zeroizing::new(STANDARD.encode(&key.bytes[..])),
        };
        let terms = self.terms.iter().map(term).collect();
        let stored = StoredKeyring { active: self.active, limit: self.limit, recovery: self.recovery, terms };
        to_json("keyring", &stored)
    }

    /// Reads what [`Keyring::to_bytes`] wrote.
    pub(super) fn from_bytes(bytes: &[u8], root: KeyBytes, version: u64) -> Result<Self, StoreError> {
        let damaged = || StoreError::corrupt("keyring");
        let stored: StoredKeyring = serde_json::from_slice(bytes).map_err(|_| damaged())?;
        let mut terms = BTreeMap::new();
        for term in &stored.terms {
            let mut key = Zeroizing::new([0; aead::KEY_BYTES]);
            let length = STANDARD.decode_slice(term.key.as_bytes(), &mut key[..]).map_err(|_| damaged())?;
            if length != aead::KEY_BYTES {
                return Err(damaged());
            }
            terms.insert(term.term, TermKey::new(key, term.installed_at)?);
        }
        if !terms.contains_key(&stored.active) {
            return Err(damaged());
        }
        let StoredKeyring { active, limit, recovery, .. } = stored;
        Ok(Self { root, terms, active, limit, recovery, version, budget: Arc::default() })
    }

    /// Seals a value for its place under the active term.
    pub(super) fn seal_entry(&self, path: &str, expires_at: Option<i64>, value: &[u8]) -> Result<Vec<u8>, StoreError> {
        let key = self.terms.get(&self.active).ok_or(StoreError::Sealed)?;
        let header = header(self.active);
        let mut record = Vec::with_capacity(HEADER_BYTES + 12 + value.len() + 16);
        record.extend_from_slice(&header);
        aead::seal_onto(&mut record, &key.cipher, &associated(&header, expires_at, path), value)?;
        Ok(record)
    }

    /// Opens a value in its place; `None` if it was not sealed there by a term of this keyring.
    pub(super) fn open_entry(&self, path: &str, stored: &StoredEntry) -> Option<Zeroizing<Vec<u8>>> {
        let (header, body) = stored.value.split_first_chunk::<HEADER_BYTES>()?;
        let key = self.terms.get(&term_of(&stored.value)?)?;
        aead::open(&key.cipher, &associated(header, stored.expires_at, path), body)
    }
}

/// The term a record names.
pub(super) fn term_of(record: &[u8]) -> Option<u32> {
    match record.first_chunk::<HEADER_BYTES>()? {
        [FORMAT, term @ ..] => Some(u32::from_be_bytes(*term)),
        _ => None,
    }
}

fn header(term: u32) -> [u8; HEADER_BYTES] {
    let [a, b, c, d] = term.to_be_bytes();
    [FORMAT, a, b, c, d]
}

fn associated(header: &[u8; HEADER_BYTES], expires_at: Option<i64>, path: &str) -> Vec<u8> {
    let mut associated = Vec::with_capacity(HEADER_BYTES + 9 + path.len());
    associated.extend_from_slice(header);
    associated.push(u8::from(expires_at.is_some()));
    associated.extend_from_slice(&expires_at.unwrap_or_default().to_be_bytes());
    associated.extend_from_slice(path.as_bytes());
    associated
}

impl TermKey {
    fn fresh(now: Timestamp) -> Result<Self, StoreError> {
        Self::new(aead::random_key()?, now)
    }

    fn new(bytes: KeyBytes, installed_at: Timestamp) -> Result<Self, StoreError> {
        let cipher = Arc::new(aead::cipher(&bytes)?);
        Ok(Self { bytes, cipher, installed_at })
    }
}

#[cfg(test)]
mod tests {
    use super::{Keyring, term_of};
    use crate::backend::StoredEntry;
    use jiff::Timestamp;

    fn stored(value: Vec<u8>, expires_at: Option<i64>) -> StoredEntry {
        StoredEntry { version: 1, value, expires_at }
    }

    #[test]
    fn a_value_opens_only_at_its_place_and_expiry() {
        let keyring = Keyring::first(Timestamp::UNIX_EPOCH, 100).unwrap();
        let sealed = keyring.seal_entry("a/b", Some(7), b"value").unwrap();
        assert_eq!(keyring.open_entry("a/b", &stored(sealed.clone(), Some(7))).unwrap().as_slice(), b"value");
        assert!(keyring.open_entry("a/c", &stored(sealed.clone(), Some(7))).is_none());
        assert!(keyring.open_entry("a/b", &stored(sealed.clone(), Some(8))).is_none());
        assert!(keyring.open_entry("a/b", &stored(sealed, None)).is_none());
    }

    #[test]
    fn old_terms_open_after_rotation_and_storage() {
        let keyring = Keyring::first(Timestamp::UNIX_EPOCH, 100).unwrap();
        let old = keyring.seal_entry("a", None, b"old").unwrap();
        let rotated = keyring.with_next_term(Timestamp::UNIX_EPOCH).unwrap();
        let new = rotated.seal_entry("a", None, b"new").unwrap();
        assert_eq!((term_of(&old), term_of(&new)), (Some(1), Some(2)));
        let bytes = rotated.to_bytes().unwrap();
        let read = Keyring::from_bytes(&bytes, rotated.root.clone(), 1).unwrap();
        assert_eq!(read.open_entry("a", &stored(old, None)).unwrap().as_slice(), b"old");
        assert_eq!(read.open_entry("a", &stored(new.clone(), None)).unwrap().as_slice(), b"new");
        assert!(keyring.open_entry("a", &stored(new, None)).is_none());
    }
}
