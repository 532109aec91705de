//! Authenticated encryption in process: AES-GCM and ChaCha20-Poly1305 with the cipher's state expanded once.
//!
//! A message is sealed in place inside one buffer laid out as the ciphertext is stored: nonce, text, tag.

use crate::{
    derivation::{ConvergentVersion, DerivationKey},
    error::TransitError,
    key_type::KeyType,
    nonce::{self, NONCE_BYTES},
};
use aws_lc_rs::{
    aead::{AES_128_GCM, AES_256_GCM, Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey},
    hmac,
};
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes of the tag of all these ciphers.
pub(crate) const TAG_BYTES: usize = 16;

/// Bytes of the HMAC key that convergent encryption derives beside the cipher's.
const CONVERGENT_KEY_BYTES: usize = 32;

/// SP 800-38D §8.3: at most 2^32 messages under one AES-GCM key with random nonces.
const GCM_LIMIT: u64 = 1 << 32;

/// An expanded cipher key.
pub(crate) struct AeadKey {
    cipher: LessSafeKey,
    key_type: KeyType,
    sealed: AtomicU64,
}

/// The keys of one context of a derived key.
pub(crate) struct DerivedKey {
    pub(crate) cipher: AeadKey,
    convergent: Option<hmac::Key>,
}

impl AeadKey {
    pub(crate) fn expand(key_type: KeyType, key: &[u8]) -> Result<Self, TransitError> {
        let algorithm = match key_type {
            KeyType::Aes128Gcm96 => &AES_128_GCM,
            KeyType::Aes256Gcm96 => &AES_256_GCM,
            KeyType::ChaCha20Poly1305 => &CHACHA20_POLY1305,
            _ => return Err(TransitError::Bug("not a cipher type")),
        };
        let unbound = UnboundKey::new(algorithm, key).map_err(|_| TransitError::Crypto("UnboundKey::new"))?;
        Ok(Self { cipher: LessSafeKey::new(unbound), key_type, sealed: AtomicU64::new(0) })
    }

    /// Seals with a fresh random nonce. `buffer` holds [`NONCE_BYTES`] of room and then the text; it comes back as
    /// nonce, ciphertext and tag.
    pub(crate) fn seal(&self, buffer: &mut Vec<u8>, associated_data: &[u8]) -> Result<(), TransitError> {
        self.count()?;
        self.seal_with(nonce::fresh()?, buffer, associated_data)
    }

    fn seal_with(
        &self,
        nonce: [u8; NONCE_BYTES],
        buffer: &mut Vec<u8>,
        associated_data: &[u8],
    ) -> Result<(), TransitError> {
        let (head, text) =
            buffer.split_at_mut_checked(NONCE_BYTES).ok_or(TransitError::Bug("no room for the nonce"))?;
        head.copy_from_slice(&nonce);
        let tag = self
            .cipher
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(associated_data), text)
            .map_err(|_| TransitError::Crypto("LessSafeKey::seal_in_place_separate_tag"))?;
        buffer.extend_from_slice(tag.as_ref());
        Ok(())
    }

    /// Opens `buffer`, laid out as [`AeadKey::seal`] leaves it, in place; the text is what it returns.
    pub(crate) fn open<'b>(&self, buffer: &'b mut [u8], associated_data: &[u8]) -> Result<&'b mut [u8], TransitError> {
        let (nonce, sealed) = buffer.split_at_mut_checked(NONCE_BYTES).ok_or(TransitError::CiphertextLength)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| TransitError::CiphertextLength)?;
        self.cipher.open_in_place(nonce, Aad::from(associated_data), sealed).map_err(|_| TransitError::Unauthentic)
    }

    /// Counts one message. The count starts anew with the process: it is a backstop, not the key's history.
    fn count(&self) -> Result<(), TransitError> {
        let before = self.sealed.fetch_add(1, Ordering::Relaxed);
        if self.key_type != KeyType::ChaCha20Poly1305 && before >= GCM_LIMIT {
            return Err(TransitError::Exhausted);
        }
        Ok(())
    }
}

impl DerivedKey {
    /// Derives the keys of `context`. Convergent keys of version 3 take their nonce key from the same output, so it too
    /// depends on version and context.
    pub(crate) fn derive(key_type: KeyType, key: &DerivationKey, context: &[u8]) -> Result<Self, TransitError> {
        let cipher_bytes = key_type.symmetric_bytes().ok_or(TransitError::Bug("not a cipher type"))?;
        let convergent = key.convergent == Some(ConvergentVersion::V3);
        let length = if convergent { cipher_bytes + CONVERGENT_KEY_BYTES } else { cipher_bytes };
        let output = key.derive(context, length)?;
        let (cipher, nonce_key) =
            output.split_at_checked(cipher_bytes).ok_or(TransitError::Bug("derived key is too short"))?;
        Ok(Self {
            cipher: AeadKey::expand(key_type, cipher)?,
            convergent: convergent.then(|| hmac::Key::new(hmac::HMAC_SHA256, nonce_key)),
        })
    }

    /// Like [`AeadKey::seal`]; a convergent key takes the nonce from the text, so that equal texts seal alike.
    pub(crate) fn seal(&self, buffer: &mut Vec<u8>, associated_data: &[u8]) -> Result<(), TransitError> {
        let Some(key) = &self.convergent else { return self.cipher.seal(buffer, associated_data) };
        let text = buffer.get(NONCE_BYTES..).ok_or(TransitError::Bug("no room for the nonce"))?;
        let code = hmac::sign(key, text);
        let nonce = code.as_ref().first_chunk().ok_or(TransitError::Bug("HMAC is shorter than a nonce"))?;
        self.cipher.seal_with(*nonce, buffer, associated_data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(key: &AeadKey, text: &[u8], associated_data: &[u8]) -> Vec<u8> {
        let mut buffer = vec![0; NONCE_BYTES];
        buffer.extend_from_slice(text);
        key.seal(&mut buffer, associated_data).unwrap();
        buffer
    }

    #[test]
    fn any_flipped_bit_is_refused() {
        let key = AeadKey::expand(KeyType::Aes256Gcm96, &[7; 32]).unwrap();
        let good = sealed(&key, b"text", b"place");
        assert_eq!(key.open(&mut good.clone(), b"place").unwrap(), b"text");
        assert!(key.open(&mut good.clone(), b"other").is_err());
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(matches!(key.open(&mut bad, b"place"), Err(TransitError::Unauthentic)), "bit {bit}");
        }
    }

    #[test]
    fn an_exhausted_gcm_key_refuses_and_chacha_does_not() {
        for (key_type, refuses) in [(KeyType::Aes256Gcm96, true), (KeyType::ChaCha20Poly1305, false)] {
            let key = AeadKey::expand(key_type, &[7; 32]).unwrap();
            key.sealed.store(GCM_LIMIT, Ordering::Relaxed);
            let outcome = key.seal(&mut vec![0; NONCE_BYTES], b"");
            assert_eq!(matches!(outcome, Err(TransitError::Exhausted)), refuses);
        }
    }
}
