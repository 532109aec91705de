//! AES-256-GCM with random nonces: `nonce || ciphertext || tag`.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use std::cell::RefCell;
use zeroize::Zeroizing;

use crate::StoreError;

/// Bytes of a key.
pub(super) const KEY_BYTES: usize = 32;

/// Nonces drawn from the operating system at once, per thread: a system call costs more than sealing a short value.
const NONCES_AT_ONCE: usize = 64;

/// 256 bits that are overwritten when dropped.
pub(super) type KeyBytes = Zeroizing<[u8; KEY_BYTES]>;

/// A fresh key from the operating system.
pub(super) fn random_key() -> Result<KeyBytes, StoreError> {
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    fill_random(&mut *key)?;
    Ok(key)
}

/// The cipher of a key.
pub(super) fn cipher(key: &[u8; KEY_BYTES]) -> Result<LessSafeKey, StoreError> {
    let key = UnboundKey::new(&AES_256_GCM, key).map_err(|_| StoreError::backend("EVP_AEAD_CTX_init", "failed"))?;
    Ok(LessSafeKey::new(key))
}

/// Seals `plaintext` behind what is already in `record`.
pub(super) fn seal_onto(
    record: &mut Vec<u8>,
    cipher: &LessSafeKey,
    associated: &[u8],
    plaintext: &[u8],
) -> Result<(), StoreError> {
    let nonce = fresh_nonce()?;
    let header = record.len() + NONCE_LEN;
    record.reserve_exact(NONCE_LEN + plaintext.len() + AES_256_GCM.tag_len());
    record.extend_from_slice(&nonce);
    record.extend_from_slice(plaintext);
    let body = record.get_mut(header..).unwrap_or_default();
    let tag = cipher
        .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(associated), body)
        .map_err(|_| StoreError::backend("EVP_AEAD_CTX_seal_scatter", "failed"))?;
    record.extend_from_slice(tag.as_ref());
    Ok(())
}

/// Opens `nonce || ciphertext || tag`; `None` if it is not what was sealed with this key and this associated data.
pub(super) fn open(cipher: &LessSafeKey, associated: &[u8], record: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (nonce, body) = record.split_at_checked(NONCE_LEN)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    let mut buffer = Zeroizing::new(body.to_vec());
    let length = cipher.open_in_place(nonce, Aad::from(associated), &mut buffer).ok()?.len();
    buffer.truncate(length);
    Some(buffer)
}

struct NonceBuffer {
    bytes: [u8; NONCE_LEN * NONCES_AT_ONCE],
    used: usize,
}

thread_local! {
    static NONCES: RefCell<NonceBuffer> =
        const { RefCell::new(NonceBuffer { bytes: [0; NONCE_LEN * NONCES_AT_ONCE], used: NONCE_LEN * NONCES_AT_ONCE }) };
}

fn fresh_nonce() -> Result<[u8; NONCE_LEN], StoreError> {
    NONCES.with_borrow_mut(|buffer| {
        if buffer.used >= buffer.bytes.len() {
            fill_random(&mut buffer.bytes)?;
            buffer.used = 0;
        }
        let mut nonce = [0; NONCE_LEN];
        let fresh = buffer.bytes.get(buffer.used..buffer.used + NONCE_LEN).unwrap_or_default();
        nonce.copy_from_slice(fresh);
        buffer.used += NONCE_LEN;
        Ok(nonce)
    })
}

fn fill_random(bytes: &mut [u8]) -> Result<(), StoreError> {
    getrandom::fill(bytes).map_err(|error| StoreError::backend("getrandom", error))
}

#[cfg(test)]
mod tests {
    use super::{cipher, fresh_nonce, open, random_key, seal_onto};
    use std::collections::HashSet;

    #[test]
    fn opens_only_with_the_same_associated_data_and_unchanged_bytes() {
        let key = cipher(&random_key().unwrap()).unwrap();
        let mut record = Vec::new();
        seal_onto(&mut record, &key, b"place", b"secret").unwrap();
        assert_eq!(open(&key, b"place", &record).unwrap().as_slice(), b"secret");
        assert!(open(&key, b"other", &record).is_none());
        for position in 0..record.len() {
            let mut changed = record.clone();
            changed[position] ^= 1;
            assert!(open(&key, b"place", &changed).is_none(), "byte {position}");
        }
        for length in 0..record.len() {
            assert!(open(&key, b"place", &record[..length]).is_none());
        }
    }

    #[test]
    fn nonces_do_not_repeat_across_refills() {
        let nonces: HashSet<_> = (0..1000).map(|_| fresh_nonce().unwrap()).collect();
        assert_eq!(nonces.len(), 1000);
    }
}
