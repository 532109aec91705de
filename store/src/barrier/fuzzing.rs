//! What the fuzz targets and their corpus tests reach of the private parsers. No part of the interface.

use super::{
    aead::KEY_BYTES,
    keyring::{Keyring, term_of},
    seal::{SEAL, SealRecord, open_record},
    shares,
};
use crate::backend::StoredEntry;
use zeroize::Zeroizing;

/// Makes a key of shares; `None` where they are refused.
#[must_use]
pub fn combine(given: &[Vec<u8>], threshold: u8) -> Option<Vec<u8>> {
    let given: Vec<_> = given.iter().cloned().map(Zeroizing::new).collect();
    shares::combine(&given, threshold).ok().map(|key| key.to_vec())
}

/// Splits a key; `None` where the numbers are refused.
#[must_use]
pub fn split(key: [u8; KEY_BYTES], count: u8, threshold: u8) -> Option<Vec<Vec<u8>>> {
    let (count, threshold) = shares::check(count.into(), threshold.into()).ok()?;
    let made = shares::split(&Zeroizing::new(key), count, threshold).ok()?;
    Some(made.iter().map(|share| share.to_vec()).collect())
}

/// Reads the record of a seal and tries to open the root key with a key that is not its own: whether it was read, and
/// whether it opened.
#[must_use]
pub fn seal_record(bytes: &[u8]) -> (bool, bool) {
    let Ok(record) = SealRecord::from_bytes(bytes) else { return (false, false) };
    let opened = record.open_with(&Zeroizing::new([7; KEY_BYTES]));
    (true, matches!(opened, Ok(Some(_))))
}

/// Opens a sealed record of the barrier with a key that did not seal it.
#[must_use]
pub fn barrier_record(record: &[u8]) -> bool {
    open_record(&Zeroizing::new([7; KEY_BYTES]), "instance", SEAL, record).is_ok()
}

/// Reads a keyring; the bytes it would be stored as, where it is taken.
#[must_use]
pub fn keyring(bytes: &[u8]) -> Option<Vec<u8>> {
    let keyring = Keyring::from_bytes(bytes, Zeroizing::new([7; KEY_BYTES]), 1).ok()?;
    keyring.to_bytes().ok().map(|bytes| bytes.to_vec())
}

/// Opens an entry that a keyring of its own (all zero, one term) did not seal: whether it names a term, and whether it
/// opened.
#[must_use]
pub fn entry(path: &str, record: &[u8]) -> (bool, bool) {
    const KEYRING: &[u8] = br#"{"active":1,"limit":100,"recovery":null,"terms":[{"term":1,
        "installed_at":"1970-01-01T00:00:00Z","key":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}]}"#;
    let stored = StoredEntry { version: 1, value: record.to_vec(), expires_at: None };
    let keyring = Keyring::from_bytes(KEYRING, Zeroizing::new([7; KEY_BYTES]), 1);
    let opened = keyring.is_ok_and(|keyring| keyring.open_entry(path, &stored).is_some());
    (term_of(record).is_some(), opened)
}
