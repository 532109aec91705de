//! What is derived from the data key: the key of the segments, and a commitment that lets no second data key open the
//! same file. AES-GCM alone would allow that to whoever makes a file (it does not commit to its key).

use crate::{EnvelopeError, header::Binding};
use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    constant_time,
    hkdf::{HKDF_SHA256, KeyType, Salt},
};
use std::fmt;
use zeroize::Zeroizing;

/// Bytes of a data key.
pub const DATA_KEY_LENGTH: usize = 32;
/// Bytes of the tag behind each segment.
pub(crate) const TAG_LENGTH: usize = 16;
const INFO: &[u8] = b"chancery envelope v1";

/// A data key in the clear. Zeroized when it is dropped.
pub struct DataKey(Zeroizing<[u8; DATA_KEY_LENGTH]>);

impl DataKey {
    /// A data key as the server gave it.
    pub fn new(bytes: &[u8]) -> Result<Self, EnvelopeError> {
        let key = bytes.try_into().map_err(|_| EnvelopeError::DataKeyLength(bytes.len()))?;
        Ok(Self(Zeroizing::new(key)))
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DataKey([redacted])")
    }
}

/// The keys of one file: HKDF-SHA256 (RFC 5869) of the data key under the file's salt, 64 bytes.
pub(crate) struct FileKeys {
    segments: LessSafeKey,
    commitment: [u8; 32],
}

struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

impl FileKeys {
    pub(crate) fn derive(data_key: &DataKey, salt: &[u8; 32]) -> Result<Self, EnvelopeError> {
        let mut derived = Zeroizing::new([0; 64]);
        Salt::new(HKDF_SHA256, salt)
            .extract(data_key.0.as_slice())
            .expand(&[INFO], Length(derived.len()))?
            .fill(derived.as_mut_slice())?;
        let (key, commitment) = derived.split_first_chunk::<32>().ok_or(EnvelopeError::Library)?;
        Ok(Self {
            segments: LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key)?),
            commitment: commitment.try_into().map_err(|_| EnvelopeError::Library)?,
        })
    }

    pub(crate) fn commitment(&self) -> [u8; 32] {
        self.commitment
    }

    /// Whether the header was made with this data key.
    pub(crate) fn check(&self, binding: &Binding) -> Result<(), EnvelopeError> {
        constant_time::verify_slices_are_equal(&self.commitment, &binding.commitment)
            .map_err(|_| EnvelopeError::OtherKey)
    }

    /// Seals the plaintext in place and appends the tag.
    pub(crate) fn seal(&self, number: Number, binding: &[u8], segment: &mut Vec<u8>) -> Result<(), EnvelopeError> {
        Ok(self.segments.seal_in_place_append_tag(number.nonce(), Aad::from(binding), segment)?)
    }

    /// Opens a segment in place and cuts its tag off.
    pub(crate) fn open(&self, number: Number, binding: &[u8], segment: &mut Vec<u8>) -> Result<(), EnvelopeError> {
        let length = self
            .segments
            .open_in_place(number.nonce(), Aad::from(binding), segment)
            .map_err(|_| EnvelopeError::Damaged(number.index.into()))?
            .len();
        segment.truncate(length);
        Ok(())
    }
}

/// A segment's place in the file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Number {
    pub(crate) index: u32,
    pub(crate) last: bool,
}

impl Number {
    /// Seven zero bytes, the index, 1 for the last segment: the STREAM construction (Hoang, Reyhanitabar, Rogaway and
    /// Vizár 2015). The prefix may be zero because the key serves one file only.
    fn nonce(self) -> Nonce {
        let mut nonce = [0; NONCE_LEN];
        if let (_, [index @ .., last]) = nonce.split_at_mut(7) {
            index.copy_from_slice(&self.index.to_be_bytes());
            *last = u8::from(self.last);
        }
        Nonce::assume_unique_for_key(nonce)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nonce_counts_and_marks_the_last() {
        let nonce = Number { index: 0x0102_0304, last: true }.nonce();
        assert_eq!(*nonce.as_ref(), [0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 1]);
    }

    #[test]
    fn a_data_key_has_32_bytes_and_is_not_shown() {
        assert!(DataKey::new(&[0; 16]).is_err());
        assert!(!format!("{:?}", DataKey::new(&[77; 32]).unwrap()).contains("77"));
    }

    #[test]
    fn another_salt_gives_other_keys() {
        let data_key = DataKey::new(&[1; 32]).unwrap();
        let one = FileKeys::derive(&data_key, &[2; 32]).unwrap();
        let other = FileKeys::derive(&data_key, &[3; 32]).unwrap();
        assert_ne!(one.commitment, other.commitment);
    }
}
