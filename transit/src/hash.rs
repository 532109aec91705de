//! Hash functions by the names of the wire, and HMAC over any of them.

use crate::error::TransitError;
use aws_lc_rs::hmac;
use chancery_hsm::HashAlgorithm;
use zeroize::Zeroizing;

/// What `hash_algorithm` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HashName {
    /// `none`: the input is signed as it is.
    None,
    Known(HashAlgorithm),
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
            "sha3-224" => Self::Known(HashAlgorithm::Sha3_224),
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
            Self::None => Err(TransitError::caller("algorithm cannot be none")),
        }
    }
}

/// HMAC (RFC 2104) over any of the functions; the library's own stops at SHA-2.
pub(crate) fn hmac(hash: HashAlgorithm, key: &[u8], message: &[u8]) -> Zeroizing<Vec<u8>> {
    let function = match hash {
        HashAlgorithm::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
        HashAlgorithm::Sha224 => hmac::HMAC_SHA224,
        HashAlgorithm::Sha256 => hmac::HMAC_SHA256,
        HashAlgorithm::Sha384 => hmac::HMAC_SHA384,
        HashAlgorithm::Sha512 => hmac::HMAC_SHA512,
        HashAlgorithm::Sha3_224 => return hmac_by_hand(hash, 144, key, message),
        HashAlgorithm::Sha3_256 => return hmac_by_hand(hash, 136, key, message),
        HashAlgorithm::Sha3_384 => return hmac_by_hand(hash, 104, key, message),
        HashAlgorithm::Sha3_512 => return hmac_by_hand(hash, 72, key, message),
    };
    Zeroizing::new(hmac::sign(&hmac::Key::new(function, key), message).as_ref().to_vec())
}

/// `block` is what the function takes in at once (FIPS 202, table 3), in bytes.
fn hmac_by_hand(hash: HashAlgorithm, block: usize, key: &[u8], message: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut padded = Zeroizing::new(if key.len() > block { hash.digest(key) } else { key.to_vec() });
    padded.resize(block, 0);
    let pass = |pad: u8, message: &[u8]| {
        let mut text = Zeroizing::new(Vec::with_capacity(block + message.len()));
        text.extend(padded.iter().map(|byte| byte ^ pad));
        text.extend_from_slice(message);
        hash.digest(&text)
    };
    Zeroizing::new(pass(0x5c, &pass(0x36, message)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hmac_by_hand_agrees_with_the_library() {
        for (hash, block) in [(HashAlgorithm::Sha256, 64), (HashAlgorithm::Sha512, 128)] {
            for key in [vec![1; 32], vec![2; 64], vec![3; 200]] {
                assert_eq!(hmac_by_hand(hash, block, &key, b"text"), hmac(hash, &key, b"text"), "{hash}");
            }
        }
    }

    #[test]
    fn hmacs_over_sha3_are_those_of_another_maker() {
        // printf hello | openssl dgst -sha3-… -hmac key
        for (hash, code) in [
            (HashAlgorithm::Sha3_224, "d35fbc8090255f27f6d3ac4935867112a6f3f810a717a51d5a69f4f6"),
            (HashAlgorithm::Sha3_256, "a59b86b015726e63cb275f18729321e3b59068796945c7c99ddb7438b7539854"),
            (
                HashAlgorithm::Sha3_384,
                "77f7d10c04c617e65d16819bb768081f50ca79ca58b979dc3773b9877d8db459a19e980f07b3ef47cd73bde065f4e2a2",
            ),
            (
                HashAlgorithm::Sha3_512,
                "a7b1e8dcadfaf2c0b53d10e764d3553ea86f5ddc56d47f27c2d552efd64e306f8b534d1cb2ff11fc4a11d91658c523e0fc40c7f091df6017e51beaccc4003809",
            ),
        ] {
            let made: String = hmac(hash, b"key", b"hello").iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(made, code, "{hash}");
        }
    }
}
