//! Ed25519ctx and Ed25519ph (RFC 8032 §5.1), which Vault Enterprise signs and aws-lc-rs does not offer.
//!
//! The steps are the RFC's, on curve25519-dalek, whose arithmetic with secret scalars takes constant time.

use crate::error::TransitError;
use aws_lc_rs::digest::{self, SHA512};
use curve25519_dalek::{
    edwards::{CompressedEdwardsY, EdwardsPoint},
    scalar::{Scalar, clamp_integer},
};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

/// Most bytes of a context.
pub(crate) const CONTEXT_BYTES: usize = 255;

const SIGNATURE_BYTES: usize = 64;

/// Which variant signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Variant {
    /// Ed25519ctx: the message itself, under a context.
    Context,
    /// Ed25519ph: the SHA-512 digest of the message, perhaps under a context.
    Prehashed,
}

impl Variant {
    /// The RFC's name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Context => "Ed25519ctx",
            Self::Prehashed => "Ed25519ph",
        }
    }
}

/// What is signed: `text` is the message, of [`Variant::Prehashed`] its digest.
pub(crate) struct Input<'i> {
    pub(crate) variant: Variant,
    pub(crate) context: &'i [u8],
    pub(crate) text: &'i [u8],
}

impl Input<'_> {
    /// SHA-512 of `dom2(F, C)`, `parts` and the text, as a scalar.
    fn hash(&self, parts: &[&[u8]]) -> Result<Scalar, TransitError> {
        let length = u8::try_from(self.context.len()).map_err(|_| TransitError::Bug("the context is too long"))?;
        let mut hash = digest::Context::new(&SHA512);
        hash.update(b"SigEd25519 no Ed25519 collisions");
        hash.update(&[u8::from(self.variant == Variant::Prehashed), length]);
        hash.update(self.context);
        for part in parts {
            hash.update(part);
        }
        hash.update(self.text);
        let mut wide = Zeroizing::new(wide(hash.finish().as_ref())?);
        let scalar = Scalar::from_bytes_mod_order_wide(&wide);
        wide.zeroize();
        Ok(scalar)
    }
}

/// Signs with the key of `seed`.
pub(crate) fn sign(seed: &[u8], public_key: &[u8], input: &Input<'_>) -> Result<Vec<u8>, TransitError> {
    let expanded = Zeroizing::new(wide(digest::digest(&SHA512, seed).as_ref())?);
    let (secret, prefix) = expanded.split_first_chunk::<32>().ok_or(TransitError::Bug("SHA-512 is too short"))?;
    let secret = Zeroizing::new(Scalar::from_bytes_mod_order(clamp_integer(*secret)));
    let nonce = Zeroizing::new(input.hash(&[prefix])?);
    let point = EdwardsPoint::mul_base(&nonce).compress();
    let challenge = input.hash(&[point.as_bytes(), public_key])?;
    let response = *nonce + challenge * *secret;
    Ok([point.as_bytes().as_slice(), response.as_bytes()].concat())
}

/// Whether `signature` is one over `input`.
pub(crate) fn verify(public_key: &[u8], input: &Input<'_>, signature: &[u8]) -> Result<bool, TransitError> {
    let Ok(signature) = <&[u8; SIGNATURE_BYTES]>::try_from(signature) else { return Ok(false) };
    let Some((point, response)) = signature.split_first_chunk::<32>() else { return Ok(false) };
    let Ok(response) = <[u8; 32]>::try_from(response) else { return Ok(false) };
    let response: Option<Scalar> = Scalar::from_canonical_bytes(response).into();
    let key = CompressedEdwardsY::from_slice(public_key).ok().and_then(|key| key.decompress());
    let (Some(response), Some(key)) = (response, key) else { return Ok(false) };
    let challenge = input.hash(&[point, public_key])?;
    let expected = EdwardsPoint::vartime_double_scalar_mul_basepoint(&challenge, &-key, &response).compress();
    Ok(expected.as_bytes().as_slice().ct_eq(point).into())
}

fn wide(digest: &[u8]) -> Result<[u8; 64], TransitError> {
    digest.try_into().map_err(|_| TransitError::Bug("SHA-512 is too short"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ed25519::Pair, vectors::bytes};

    fn check(seed: &str, public_key: &str, input: &Input<'_>, signature: &str) {
        let (seed, signature) = (bytes(seed), bytes(signature));
        let pair = Pair::from_seed(&seed).unwrap();
        assert_eq!(pair.public_key(), bytes(public_key));
        assert_eq!(sign(&seed, pair.public_key(), input).unwrap(), signature);
        assert!(verify(pair.public_key(), input, &signature).unwrap());
        for at in [0, 31, 32, 63] {
            let mut bad = signature.clone();
            bad[at] ^= 1;
            assert!(!verify(pair.public_key(), input, &bad).unwrap());
        }
        assert!(!verify(pair.public_key(), input, &signature[..63]).unwrap());
        let other = Input { context: b"other", ..*input };
        assert!(!verify(pair.public_key(), &other, &signature).unwrap());
    }

    /// RFC 8032 §7.2, "foo" and "bar"
    #[test]
    fn ed25519ctx_signatures_are_the_rfcs() {
        let text = bytes("f726936d19c800494e3fdaff20b276a8");
        let seed = "0305334e381af78f141cb666f6199f57bc3495335a256a95bd2a55bf546663f6";
        let public_key = "dfc9425e4f968f7f0c29f0259cf5f9aed6851c2bb4ad8bfb860cfee0ab248292";
        let foo = Input { variant: Variant::Context, context: b"foo", text: &text };
        check(
            seed,
            public_key,
            &foo,
            "55a4cc2f70a54e04288c5f4cd1e45a7bb520b36292911876cada7323198dd87a8b36950b95130022907a7fb7c4e9b2d5f6cca685a587b4b21f4b888e4e7edb0d",
        );
        let bar = Input { context: b"bar", ..foo };
        check(
            seed,
            public_key,
            &bar,
            "fc60d5872fc46b3aa69f8b5b4351d5808f92bcc044606db097abab6dbcb1aee3216c48e8b3b66431b5b186d1d28f8ee15a5ca2df6668346291c2043d4eb3e90d",
        );
    }

    /// RFC 8032 §7.3
    #[test]
    fn ed25519ph_signature_is_the_rfcs() {
        let digest = digest::digest(&SHA512, b"abc");
        let input = Input { variant: Variant::Prehashed, context: b"", text: digest.as_ref() };
        check(
            "833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42",
            "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
            &input,
            "98a70222f0b8121aa9d30f813d683f809e462b469c7ff87639499bb94e6dae4131f85042463c2a355a2003d062adf5aaa10b8c61e636062aaad11c2a26083406",
        );
    }
}
