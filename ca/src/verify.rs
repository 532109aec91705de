//! Verifying signatures on certificates that others signed.

use crate::{public_key::PublicKeyKind, signature::verification_scheme};
use chancery_hsm::SignInput;
use der::{
    Decode, Encode, Sequence,
    asn1::{AnyRef, BitStringRef},
};
use spki::AlgorithmIdentifierRef;

/// A certificate or a CRL: what was signed, how, and the signature.
#[derive(Sequence)]
struct Signed<'a> {
    tbs: AnyRef<'a>,
    algorithm: AlgorithmIdentifierRef<'a>,
    signature: BitStringRef<'a>,
}

/// Whether the signature on the certificate (or CRL) `der` verifies under the SPKI `public_key`.
#[must_use]
pub fn certificate_signature(der: &[u8], public_key: &[u8]) -> bool {
    let check = || {
        let signed = Signed::from_der(der).ok()?;
        let kind = PublicKeyKind::of(public_key).ok()?;
        let scheme = verification_scheme(kind, &signed.algorithm)?;
        let input = SignInput::Message(signed.tbs.to_der().ok()?);
        chancery_hsm::verify(public_key, scheme, &input, signed.signature.as_bytes()?).ok()
    };
    check().unwrap_or(false)
}
