//! Keys in transit: RSA-OAEP over a fresh AES-256 key, then AES key wrap with padding (RFC 5649) over the target.
//!
//! This is PKCS#11's `CKM_RSA_AES_KEY_WRAP`: what HSMs and clouds write when they export a key, what `import` reads and
//! what `byok-export` writes. The two parts stand one behind the other; the first is as long as the RSA modulus.

use crate::error::TransitError;
use aws_lc_rs::{
    key_wrap::{AES_256, AesKek, KeyWrapPadded},
    rsa::{
        OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256, OAEP_SHA384_MGF1SHA384, OAEP_SHA512_MGF1SHA512, OaepAlgorithm,
        OaepPrivateDecryptingKey, OaepPublicEncryptingKey, PrivateDecryptingKey, PublicEncryptingKey,
    },
};
use zeroize::Zeroizing;

/// Bytes of the AES key between the RSA key and the target.
const EPHEMERAL_BYTES: usize = 32;

/// RFC 5649 works on blocks of so many bytes, and makes at least three of them.
const BLOCK_BYTES: usize = 8;
const SHORTEST_WRAPPED: usize = 3 * BLOCK_BYTES;

/// The hash of OAEP, and of its mask.
#[derive(Clone, Copy)]
pub(crate) struct OaepHash(&'static OaepAlgorithm);

impl OaepHash {
    /// The hash of that name, in any case of letters.
    pub(crate) fn named(name: &str) -> Result<Self, TransitError> {
        Ok(Self(match name.to_ascii_uppercase().as_str() {
            "SHA1" => &OAEP_SHA1_MGF1SHA1,
            "SHA256" => &OAEP_SHA256_MGF1SHA256,
            "SHA384" => &OAEP_SHA384_MGF1SHA384,
            "SHA512" => &OAEP_SHA512_MGF1SHA512,
            "SHA224" => {
                return Err(TransitError::caller(
                    "hash function SHA224 is not supported: the cryptographic library has no RSA-OAEP with it",
                ));
            }
            _ => return Err(TransitError::Caller(format!("unknown hash function: {name}"))),
        }))
    }
}

/// The private half of a wrapping key.
pub(crate) struct UnwrappingKey(OaepPrivateDecryptingKey);

impl UnwrappingKey {
    /// Takes PKCS#8.
    pub(crate) fn from_pkcs8(pkcs8: &[u8]) -> Result<Self, TransitError> {
        let key = PrivateDecryptingKey::from_pkcs8(pkcs8).ok().and_then(|key| OaepPrivateDecryptingKey::new(key).ok());
        key.map(Self).ok_or(TransitError::Bug("the stored wrapping key is no RSA key"))
    }

    /// Opens what [`wrap`] made. The texts are the reference's.
    pub(crate) fn unwrap(&self, hash: OaepHash, blob: &[u8]) -> Result<Zeroizing<Vec<u8>>, TransitError> {
        let too_short = || TransitError::caller("provided ciphertext is too short");
        let modulus_bytes = self.0.key_size_bytes();
        let (sealed_key, wrapped) = blob.split_at_checked(modulus_bytes).ok_or_else(too_short)?;
        if wrapped.is_empty() {
            return Err(too_short());
        }
        let mut room = Zeroizing::new(vec![0; self.0.min_output_size()]);
        let ephemeral = self
            .0
            .decrypt(hash.0, sealed_key, &mut room, None)
            .map_err(|_| TransitError::caller("crypto/rsa: decryption error"))?;
        if ephemeral.len() != EPHEMERAL_BYTES {
            return Err(TransitError::caller("expected ephemeral AES key to be 256-bit"));
        }
        unwrap_padded(ephemeral, wrapped)
    }
}

/// RFC 5649 §4.2
fn unwrap_padded(key: &[u8], wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>, TransitError> {
    if wrapped.len() < SHORTEST_WRAPPED {
        return Err(TransitError::caller("kwp: wrapped key size too small"));
    }
    if !wrapped.len().is_multiple_of(BLOCK_BYTES) {
        return Err(TransitError::caller("kwp: wrapped key size must be a multiple of 8 bytes"));
    }
    let kek = AesKek::new(&AES_256, key).map_err(|_| TransitError::Crypto("AesKek::new"))?;
    let mut out = Zeroizing::new(vec![0; wrapped.len()]);
    let length = kek
        .unwrap_with_padding(wrapped, &mut out)
        .map_err(|_| TransitError::caller("kwp: unwrap failed integrity check"))?
        .len();
    out.truncate(length);
    Ok(out)
}

/// Wraps `target` for the RSA key given as SubjectPublicKeyInfo.
pub(crate) fn wrap(public_key: &[u8], hash: OaepHash, target: &[u8]) -> Result<Vec<u8>, TransitError> {
    let key = PublicEncryptingKey::from_der(public_key).map_err(|_| TransitError::Crypto("PublicEncryptingKey"))?;
    let key = OaepPublicEncryptingKey::new(key).map_err(|_| TransitError::Crypto("OaepPublicEncryptingKey"))?;
    let mut ephemeral = Zeroizing::new([0; EPHEMERAL_BYTES]);
    aws_lc_rs::rand::fill(ephemeral.as_mut_slice()).map_err(|_| TransitError::Random)?;
    let mut blob = vec![0; key.ciphertext_size()];
    key.encrypt(hash.0, ephemeral.as_slice(), &mut blob, None)
        .map_err(|_| TransitError::Crypto("RSA-OAEP encryption of a wrapping key"))?;
    let kek = AesKek::new(&AES_256, ephemeral.as_slice()).map_err(|_| TransitError::Crypto("AesKek::new"))?;
    let mut wrapped = vec![0; target.len() + 2 * BLOCK_BYTES];
    let wrapped =
        kek.wrap_with_padding(target, &mut wrapped).map_err(|_| TransitError::Crypto("AES key wrap with padding"))?;
    blob.extend_from_slice(wrapped);
    Ok(blob)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chancery_hsm::{KeyAlgorithm, software::SoftwareKey};

    fn pair() -> (UnwrappingKey, Vec<u8>) {
        let key = SoftwareKey::generate(KeyAlgorithm::Rsa2048).unwrap();
        (UnwrappingKey::from_pkcs8(&key.to_bytes().unwrap()).unwrap(), key.public_key_der().unwrap().to_vec())
    }

    fn refusal(outcome: Result<Zeroizing<Vec<u8>>, TransitError>) -> String {
        outcome.unwrap_err().to_string()
    }

    #[test]
    fn what_is_wrapped_comes_back_under_every_hash() {
        let (key, public_key) = pair();
        for name in ["SHA1", "sha256", "SHA384", "SHA512"] {
            let hash = OaepHash::named(name).unwrap();
            for length in [9, 16, 32, 33, 1217] {
                let target = vec![7; length];
                let blob = wrap(&public_key, hash, &target).unwrap();
                assert_eq!(blob.len(), 256 + 8 + length.div_ceil(8) * 8);
                assert_eq!(key.unwrap(hash, &blob).unwrap().as_slice(), target);
            }
        }
        let blob = wrap(&public_key, OaepHash::named("SHA1").unwrap(), &[7; 32]).unwrap();
        assert_eq!(refusal(key.unwrap(OaepHash::named("SHA256").unwrap(), &blob)), "crypto/rsa: decryption error");
    }

    #[test]
    fn every_changed_bit_and_every_cut_is_refused() {
        let (key, public_key) = pair();
        let hash = OaepHash::named("SHA256").unwrap();
        let blob = wrap(&public_key, hash, &[7; 32]).unwrap();
        for at in (256..blob.len()).chain([0, 100, 255]) {
            let mut bad = blob.clone();
            bad[at] ^= 1;
            let expected = if at < 256 { "crypto/rsa: decryption error" } else { "kwp: unwrap failed integrity check" };
            assert_eq!(refusal(key.unwrap(hash, &bad)), expected, "byte {at}");
        }
        for (length, text) in [
            (0, "provided ciphertext is too short"),
            (256, "provided ciphertext is too short"),
            (257, "kwp: wrapped key size too small"),
            (256 + 23, "kwp: wrapped key size too small"),
            (256 + 24, "kwp: unwrap failed integrity check"),
            (256 + 25, "kwp: wrapped key size must be a multiple of 8 bytes"),
        ] {
            assert_eq!(refusal(key.unwrap(hash, &blob[..length])), text, "{length} bytes");
        }
    }

    #[test]
    fn hashes_nobody_has_are_named() {
        let text = |name| OaepHash::named(name).err().unwrap().to_string();
        assert_eq!(text("MD5"), "unknown hash function: MD5");
        assert_eq!(text(""), "unknown hash function: ");
        assert!(text("sha224").starts_with("hash function SHA224 is not supported"));
    }
}
