//! XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha §2.3): HChaCha20 makes of the key and the first 16 bytes of the nonce a
//! key for ChaCha20-Poly1305, whose nonce is four zero bytes and the last eight.

use crate::error::TransitError;
use aws_lc_rs::aead::{CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use chacha20::{R20, hchacha};
use zeroize::{Zeroize, Zeroizing};

const KEY_BYTES: usize = 32;
/// Bytes of the nonce that go into the key.
const HEAD_BYTES: usize = 16;
const TAIL_BYTES: usize = 8;

/// A key, from which each nonce's is made.
pub(crate) struct Key(Zeroizing<[u8; KEY_BYTES]>);

impl Key {
    pub(crate) fn new(key: &[u8]) -> Result<Self, TransitError> {
        let key = <[u8; KEY_BYTES]>::try_from(key).map_err(|_| TransitError::Crypto("XChaCha20-Poly1305 key"))?;
        Ok(Self(Zeroizing::new(key)))
    }

    /// The cipher for one nonce of 24 bytes, and what of the nonce is left for it.
    pub(crate) fn of_nonce(&self, nonce: &[u8]) -> Result<(LessSafeKey, Nonce), TransitError> {
        let (head, tail) = nonce.split_first_chunk::<HEAD_BYTES>().ok_or(TransitError::CiphertextLength)?;
        let tail = <[u8; TAIL_BYTES]>::try_from(tail).map_err(|_| TransitError::CiphertextLength)?;
        let mut subkey = hchacha::<R20>((&*self.0).into(), head.into());
        let unbound = UnboundKey::new(&CHACHA20_POLY1305, subkey.as_slice());
        subkey.as_mut_slice().zeroize();
        let unbound = unbound.map_err(|_| TransitError::Crypto("UnboundKey::new"))?;
        let [a, b, c, d, e, f, g, h] = tail;
        let nonce = Nonce::assume_unique_for_key([0, 0, 0, 0, a, b, c, d, e, f, g, h]);
        Ok((LessSafeKey::new(unbound), nonce))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{aead::AeadKey, key_type::KeyType, vectors::bytes};

    /// draft-irtf-cfrg-xchacha-03, A.3.1
    #[test]
    fn the_drafts_message_opens() {
        let key: Vec<u8> = (0x80..=0x9f).collect();
        let mut sealed: Vec<u8> = (0x40..=0x57).collect();
        sealed.extend(bytes(
            "bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb731c7f1b0b4aa6440bf3a82f4eda7e39
             ae64c6708c54c216cb96b72e1213b4522f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369488f76b2383565d3fff9
             21f9664c97637da9768812f615c68b13b52ec0875924c1c7987947deafd8780acf49",
        ));
        let key = AeadKey::expand(KeyType::XChaCha20Poly1305, &key).unwrap();
        let associated_data = bytes("50515253c0c1c2c3c4c5c6c7");
        let opened = key.open(&mut sealed.clone(), &associated_data).unwrap().to_vec();
        assert!(opened.starts_with(b"Ladies and Gentlemen of the class of '99: If I could offer you"));
        sealed[20] ^= 1;
        assert!(key.open(&mut sealed, &associated_data).is_err());
    }

    #[test]
    fn a_nonce_of_another_length_is_refused() {
        let key = Key::new(&[7; 32]).unwrap();
        for length in [0, 12, 16, 23, 25] {
            assert!(key.of_nonce(&vec![0; length]).is_err(), "{length}");
        }
        assert!(Key::new(&[7; 16]).is_err());
    }
}
