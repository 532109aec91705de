//! Hash functions by the names of the wire, and HMAC over any of them.

use crate::error::TransitError;
use aws_lc_rs::digest;
use chancery_hsm::{HashAlgorithm, HsmError};
use zeroize::Zeroizing;

/// What `hash_algorithm` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HashName {
    /// `none`: the input is signed as it is.
    None,
    Known(HashAlgorithm),
    /// `sha3-224`, a name of the wire that the crypto library has no function for.
    Sha3_224,
}

impl HashName {
    /// The function of that name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "none" => Self::None,
            "sha1" => Self::Known(HashAlgorithm::Sha1),
            "sha2-224" => Self::Known(HashAlgorithm::Sha224),
            "sha2-256" => Self::Known(HashAlgorithm::Sha256),
            "sha2-384" => Self::Known(HashAlgorithm::Sha384),
            "sha2-512" => Self::Known(HashAlgorithm::Sha512),
            "sha3-224" => Self::Sha3_224,
            "sha3-256" => Self::Known(HashAlgorithm::Sha3_256),
            "sha3-384" => Self::Known(HashAlgorithm::Sha3_384),
            "sha3-512" => Self::Known(HashAlgorithm::Sha3_512),
            _ => return None,
        })
    }

    /// The function itself; the caller has dealt with `none`.
    pub(crate) fn function(self) -> Result<HashAlgorithm, TransitError> {
        match self {
            Self::Known(hash) => Ok(hash),
            Self::Sha3_224 => Err(HsmError::NotSupported { mechanism: "SHA3-224".to_owned() }.into()),
            Self::None => Err(TransitError::caller("algorithm cannot be none")),
        }
    }
}

/// HMAC (RFC 2104) over any of the functions; the library's own stops at SHA-2.
pub(crate) fn hmac(hash: HashAlgorithm, key: &[u8], message: &[u8]) -> Zeroizing<Vec<u8>> {
    let function = implementation(hash);
    let mut block = Zeroizing::new(if key.len() > function.block_len() {
        digest::digest(function, key).as_ref().to_vec()
    } else {
        key.to_vec()
    });
    block.resize(function.block_len(), 0);
    let pass = |pad: u8, message: &[u8]| {
        let mut context = digest::Context::new(function);
        let padded: Zeroizing<Vec<u8>> = Zeroizing::new(block.iter().map(|byte| byte ^ pad).collect());
        context.update(&padded);
        context.update(message);
        context.finish()
    };
    let inner = pass(0x36, message);
    Zeroizing::new(pass(0x5c, inner.as_ref()).as_ref().to_vec())
}

fn implementation(hash: HashAlgorithm) -> &'static digest::Algorithm {
    match hash {
        HashAlgorithm::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
        HashAlgorithm::Sha224 => &digest::SHA224,
        HashAlgorithm::Sha256 => &digest::SHA256,
        HashAlgorithm::Sha384 => &digest::SHA384,
        HashAlgorithm::Sha512 => &digest::SHA512,
        HashAlgorithm::Sha3_256 => &digest::SHA3_256,
        HashAlgorithm::Sha3_384 => &digest::SHA3_384,
        HashAlgorithm::Sha3_512 => &digest::SHA3_512,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hmac_agrees_with_the_library_where_the_library_has_it() {
        for (hash, theirs) in [
            (HashAlgorithm::Sha1, aws_lc_rs::hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY),
            (HashAlgorithm::Sha224, aws_lc_rs::hmac::HMAC_SHA224),
            (HashAlgorithm::Sha256, aws_lc_rs::hmac::HMAC_SHA256),
            (HashAlgorithm::Sha384, aws_lc_rs::hmac::HMAC_SHA384),
            (HashAlgorithm::Sha512, aws_lc_rs::hmac::HMAC_SHA512),
        ] {
            for key in [vec![1; 32], vec![2; 64], vec![3; 200]] {
                let expected = aws_lc_rs::hmac::sign(&aws_lc_rs::hmac::Key::new(theirs, &key), b"text");
                assert_eq!(hmac(hash, &key, b"text").as_slice(), expected.as_ref(), "{hash}");
            }
        }
    }
}
