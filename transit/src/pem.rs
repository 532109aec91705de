//! PEM (RFC 7468) of public and private keys, and the private key forms Go writes.

use crate::{encoding, error::TransitError, key_type::KeyType, version::StoredBytes};
use der::{
    Decode, Encode, Sequence,
    asn1::{AnyRef, BitStringRef, ObjectIdentifier, OctetStringRef},
};
use zeroize::Zeroizing;

/// Writes a PEM block without the line break at its end.
pub(crate) fn write(label: &str, der: &[u8]) -> Zeroizing<String> {
    let body = Zeroizing::new(encoding::encode(der));
    let mut text = Zeroizing::new(String::with_capacity(body.len() + body.len() / 64 + 2 * label.len() + 36));
    text.push_str("-----BEGIN ");
    text.push_str(label);
    text.push_str("-----\n");
    let mut rest = body.as_str();
    while !rest.is_empty() {
        let (line, tail) = rest.split_at_checked(64).unwrap_or((rest, ""));
        text.push_str(line);
        text.push('\n');
        rest = tail;
    }
    text.push_str("-----END ");
    text.push_str(label);
    text.push_str("-----");
    text
}

/// Certificates, the leaf first.
pub(crate) fn write_chain(certificates: &[StoredBytes]) -> String {
    let blocks: Vec<_> = certificates.iter().map(|der| write("CERTIFICATE", der.bytes()).to_string()).collect();
    blocks.join("\n")
}

/// RFC 5208 §5, as far as it is read here.
#[derive(Sequence)]
struct PrivateKeyInfo<'a> {
    version: u8,
    algorithm: AlgorithmIdentifier<'a>,
    private_key: &'a OctetStringRef,
}

#[derive(Sequence)]
struct AlgorithmIdentifier<'a> {
    algorithm: ObjectIdentifier,
    parameters: Option<AnyRef<'a>>,
}

/// RFC 5915 §3
#[derive(Sequence)]
struct EcPrivateKey<'a> {
    version: u8,
    private_key: &'a OctetStringRef,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    parameters: Option<ObjectIdentifier>,
    #[asn1(context_specific = "1", tag_mode = "EXPLICIT", optional = "true")]
    public_key: Option<BitStringRef<'a>>,
}

/// The traditional form of a private key given as PKCS#8: PKCS#1 (RFC 8017 §A.1.2) or SEC 1 with the curve's name and
/// the public key.
pub(crate) fn traditional(key_type: KeyType, pkcs8: &[u8]) -> Result<Zeroizing<String>, TransitError> {
    let malformed = |_| TransitError::Bug("a stored private key is not PKCS#8");
    let outer = PrivateKeyInfo::from_der(pkcs8).map_err(malformed)?;
    if key_type.is_rsa() {
        return Ok(write("RSA PRIVATE KEY", outer.private_key.as_bytes()));
    }
    let mut inner = EcPrivateKey::from_der(outer.private_key.as_bytes()).map_err(malformed)?;
    let curve = outer.algorithm.parameters.ok_or(TransitError::Bug("a stored private key names no curve"))?;
    inner.parameters = Some(curve.decode_as().map_err(malformed)?);
    let der = Zeroizing::new(inner.to_der().map_err(malformed)?);
    Ok(write("EC PRIVATE KEY", &der))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_64_characters() {
        let text = write("PUBLIC KEY", &[0; 60]);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "-----BEGIN PUBLIC KEY-----");
        assert_eq!((lines[1].len(), lines[2].len()), (64, 16));
        assert_eq!(lines[3], "-----END PUBLIC KEY-----");
    }
}
