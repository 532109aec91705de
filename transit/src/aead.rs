//! Authenticated encryption in process: AES-GCM and (X)ChaCha20-Poly1305 with the cipher's state expanded once.
//!
//! A message is sealed in place inside one buffer laid out as the ciphertext is stored: nonce, text, tag.

use crate::{
    derivation::{ConvergentVersion, DerivationKey},
    error::TransitError,
    key_type::KeyType,
    nonce, xchacha,
};
use aws_lc_rs::{
    aead::{AES_128_GCM, AES_256_GCM, Aad, Algorithm, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey},
    hmac,
};
use zeroize::Zeroizing;

/// Bytes of the tag of all these ciphers.
pub(crate) const TAG_BYTES: usize = 16;

/// Bytes of the HMAC key that convergent encryption derives beside the cipher's.
const CONVERGENT_KEY_BYTES: usize = 32;

const NO_ROOM: TransitError = TransitError::Bug("no room for the nonce");

/// An expanded cipher key.
pub(crate) struct AeadKey {
    cipher: Cipher,
    key_type: KeyType,
}

enum Cipher {
    Direct(LessSafeKey),
    /// XChaCha20-Poly1305: each nonce has a key of its own.
    Extended(xchacha::Key),
}

/// The keys of one context of a derived key.
pub(crate) struct DerivedKey {
    pub(crate) cipher: AeadKey,
    nonce: NonceSource,
}

/// Where the nonces of a derived key come from.
enum NonceSource {
    Random,
    /// Convergent encryption of version 3, keyed.
    Text(Zeroizing<Vec<u8>>),
    /// Convergent encryption of this version is read only.
    ReadOnly(ConvergentVersion),
}

impl AeadKey {
    pub(crate) fn expand(key_type: KeyType, key: &[u8]) -> Result<Self, TransitError> {
        let direct = |algorithm: &'static Algorithm| -> Result<Cipher, TransitError> {
            let unbound = UnboundKey::new(algorithm, key).map_err(|_| TransitError::Crypto("UnboundKey::new"))?;
            Ok(Cipher::Direct(LessSafeKey::new(unbound)))
        };
        let cipher = match key_type {
            KeyType::Aes128Gcm96 => direct(&AES_128_GCM)?,
            KeyType::Aes256Gcm96 => direct(&AES_256_GCM)?,
            KeyType::ChaCha20Poly1305 => direct(&CHACHA20_POLY1305)?,
            KeyType::XChaCha20Poly1305 => Cipher::Extended(xchacha::Key::new(key)?),
            _ => return Err(TransitError::Bug("not a cipher type")),
        };
        Ok(Self { cipher, key_type })
    }

    /// Seals with a fresh random nonce. `buffer` holds [`KeyType::nonce_bytes`] of room and then the text; it comes back
    /// as nonce, ciphertext and tag.
    pub(crate) fn seal(&self, buffer: &mut Vec<u8>, associated_data: &[u8]) -> Result<(), TransitError> {
        nonce::fill(buffer.get_mut(..self.key_type.nonce_bytes()).ok_or(NO_ROOM)?)?;
        self.seal_behind_nonce(buffer, associated_data)
    }

    /// Seals with the nonce that stands in `buffer` before the text.
    fn seal_behind_nonce(&self, buffer: &mut Vec<u8>, associated_data: &[u8]) -> Result<(), TransitError> {
        let (nonce, text) = buffer.split_at_mut_checked(self.key_type.nonce_bytes()).ok_or(NO_ROOM)?;
        let associated_data = Aad::from(associated_data);
        let tag = match &self.cipher {
            Cipher::Direct(cipher) => {
                let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| NO_ROOM)?;
                cipher.seal_in_place_separate_tag(nonce, associated_data, text)
            }
            Cipher::Extended(key) => {
                let (cipher, nonce) = key.of_nonce(nonce)?;
                cipher.seal_in_place_separate_tag(nonce, associated_data, text)
            }
        };
        let tag = tag.map_err(|_| TransitError::Crypto("LessSafeKey::seal_in_place_separate_tag"))?;
        buffer.extend_from_slice(tag.as_ref());
        Ok(())
    }

    /// Opens `buffer`, laid out as [`AeadKey::seal`] leaves it, in place; the text is what it returns.
    pub(crate) fn open<'b>(&self, buffer: &'b mut [u8], associated_data: &[u8]) -> Result<&'b mut [u8], TransitError> {
        let length = self.key_type.nonce_bytes();
        let (nonce, sealed) = buffer.split_at_mut_checked(length).ok_or(TransitError::CiphertextLength)?;
        self.open_with(nonce, sealed, associated_data)
    }

    /// Opens ciphertext and tag with a nonce that stands elsewhere.
    pub(crate) fn open_with<'b>(
        &self,
        nonce: &[u8],
        sealed: &'b mut [u8],
        associated_data: &[u8],
    ) -> Result<&'b mut [u8], TransitError> {
        let associated_data = Aad::from(associated_data);
        let opened = match &self.cipher {
            Cipher::Direct(cipher) => {
                let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| TransitError::CiphertextLength)?;
                cipher.open_in_place(nonce, associated_data, sealed)
            }
            Cipher::Extended(key) => {
                let (cipher, nonce) = key.of_nonce(nonce)?;
                cipher.open_in_place(nonce, associated_data, sealed)
            }
        };
        opened.map_err(|_| TransitError::Unauthentic)
    }
}

impl DerivedKey {
    /// Derives the keys of `context`. Convergent keys of version 3 take their nonce key from the same output, so it too
    /// depends on version and context.
    pub(crate) fn derive(key_type: KeyType, key: &DerivationKey, context: &[u8]) -> Result<Self, TransitError> {
        let cipher_bytes = key_type.symmetric_bytes().ok_or(TransitError::Bug("not a cipher type"))?;
        let nonce_key_bytes = if key.convergent == Some(ConvergentVersion::V3) { CONVERGENT_KEY_BYTES } else { 0 };
        let output = key.derive(context, cipher_bytes + nonce_key_bytes)?;
        let (cipher, nonce_key) =
            output.split_at_checked(cipher_bytes).ok_or(TransitError::Bug("derived key is too short"))?;
        let nonce = match key.convergent {
            None => NonceSource::Random,
            Some(ConvergentVersion::V3) => NonceSource::Text(Zeroizing::new(nonce_key.to_vec())),
            Some(older) => NonceSource::ReadOnly(older),
        };
        Ok(Self { cipher: AeadKey::expand(key_type, cipher)?, nonce })
    }

    /// Like [`AeadKey::seal`]; a convergent key takes the nonce from the text, so that equal texts seal alike.
    pub(crate) fn seal(&self, buffer: &mut Vec<u8>, associated_data: &[u8]) -> Result<(), TransitError> {
        let key = match &self.nonce {
            NonceSource::Random => return self.cipher.seal(buffer, associated_data),
            NonceSource::ReadOnly(version) => return Err(TransitError::ConvergentReadOnly(version.number())),
            NonceSource::Text(key) => key,
        };
        let (nonce, text) = buffer.split_at_mut_checked(self.cipher.key_type.nonce_bytes()).ok_or(NO_ROOM)?;
        let code = convergent_code(key, text, associated_data);
        nonce.copy_from_slice(code.as_ref().get(..nonce.len()).ok_or(NO_ROOM)?);
        self.cipher.seal_behind_nonce(buffer, associated_data)
    }
}

/// What a convergent nonce is the beginning of: HMAC-SHA256 of the text.
///
/// Vault and OpenBao leave it at that with associated data too, so that one text under two of them is sealed twice with
/// the same key and nonce, and the two tags give away the key that authenticates (NIST SP 800-38D, appendix A). Here the
/// associated data goes into the nonce, under another hash so that no text without it comes to the same. Whoever decrypts
/// takes the nonce from the ciphertext and sees no difference.
fn convergent_code(key: &[u8], text: &[u8], associated_data: &[u8]) -> hmac::Tag {
    if associated_data.is_empty() {
        return hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text);
    }
    let mut code = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA512, key));
    code.update(&u64::try_from(associated_data.len()).unwrap_or(u64::MAX).to_be_bytes());
    code.update(associated_data);
    code.update(text);
    code.sign()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nonce::NONCE_BYTES;

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
}
