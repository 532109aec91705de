//! The curves of ECDSA keys: what they are called, and which numbers are private keys on them (SEC 2 §2).

use crate::{error::TransitError, key_type::KeyType};
use aws_lc_rs::agreement;
use chancery_hsm::KeyAlgorithm;
use der::asn1::ObjectIdentifier;
use zeroize::Zeroizing;

/// A named curve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Curve {
    P256,
    P384,
    P521,
}

const ALL: [Curve; 3] = [Curve::P256, Curve::P384, Curve::P521];

const ORDER_P256: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa,
    0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];

const ORDER_P384: [u8; 48] = [
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xff, 0xff, 0xff, 0xff, 0xff, 0xc7, 0x63, 0x4d, 0x81, 0xf4, 0x37, 0x2d, 0xdf, 0x58, 0x1a, 0x0d, 0xb2, 0x48, 0xb0,
    0xa7, 0x7a, 0xec, 0xec, 0x19, 0x6a, 0xcc, 0xc5, 0x29, 0x73,
];

const ORDER_P521: [u8; 66] = [
    0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfa, 0x51, 0x86, 0x87, 0x83,
    0xbf, 0x2f, 0x96, 0x6b, 0x7f, 0xcc, 0x01, 0x48, 0xf7, 0x09, 0xa5, 0xd0, 0x3b, 0xb5, 0xc9, 0xb8, 0x89, 0x9c, 0x47,
    0xae, 0xbb, 0x6f, 0xb7, 0x1e, 0x91, 0x38, 0x64, 0x09,
];

impl Curve {
    /// The curve of that object identifier.
    pub(crate) fn identified(identifier: ObjectIdentifier) -> Option<Self> {
        ALL.into_iter().find(|curve| curve.identifier() == identifier)
    }

    /// The curve of a type of key.
    pub(crate) fn of(key_type: KeyType) -> Option<Self> {
        ALL.into_iter().find(|curve| curve.key_type() == key_type)
    }

    pub(crate) fn identifier(self) -> ObjectIdentifier {
        ObjectIdentifier::new_unwrap(match self {
            Self::P256 => "1.2.840.10045.3.1.7",
            Self::P384 => "1.3.132.0.34",
            Self::P521 => "1.3.132.0.35",
        })
    }

    pub(crate) fn key_type(self) -> KeyType {
        match self {
            Self::P256 => KeyType::EcdsaP256,
            Self::P384 => KeyType::EcdsaP384,
            Self::P521 => KeyType::EcdsaP521,
        }
    }

    pub(crate) fn algorithm(self) -> KeyAlgorithm {
        match self {
            Self::P256 => KeyAlgorithm::EcP256,
            Self::P384 => KeyAlgorithm::EcP384,
            Self::P521 => KeyAlgorithm::EcP521,
        }
    }

    /// The curve's Diffie-Hellman (SP 800-56A §5.7.1.2).
    pub(crate) fn agreement(self) -> &'static agreement::Algorithm {
        match self {
            Self::P256 => &agreement::ECDH_P256,
            Self::P384 => &agreement::ECDH_P384,
            Self::P521 => &agreement::ECDH_P521,
        }
    }

    /// Bytes of a scalar, and of a coordinate.
    pub(crate) fn bytes(self) -> usize {
        self.order().len()
    }

    fn order(self) -> &'static [u8] {
        match self {
            Self::P256 => &ORDER_P256,
            Self::P384 => &ORDER_P384,
            Self::P521 => &ORDER_P521,
        }
    }

    /// Refuses a type of key that lies on another curve.
    pub(crate) fn fit(self, key_type: KeyType) -> Result<(), TransitError> {
        if self.key_type() == key_type {
            return Ok(());
        }
        let (expected, got) = (key_type.curve_or_size(), self.key_type().curve_or_size());
        Err(TransitError::Caller(format!("invalid curve: expected {expected}, got {got}")))
    }

    /// A private key at its full length: above 0 and below the order. The error is the text of the reference.
    pub(crate) fn scalar(self, bytes: &[u8]) -> Result<Zeroizing<Vec<u8>>, &'static str> {
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        let significant = bytes.get(zeros..).unwrap_or_default();
        let start = self.bytes().checked_sub(significant.len()).ok_or("x509: invalid private key length")?;
        let mut scalar = Zeroizing::new(vec![0; start]);
        scalar.extend_from_slice(significant);
        if significant.is_empty() || scalar.as_slice() == self.order() {
            return Err("ecdsa: invalid public key encoding");
        }
        if scalar.as_slice() > self.order() {
            return Err("input overflows the modulus");
        }
        Ok(scalar)
    }
}
