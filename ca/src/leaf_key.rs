//! Keys generated for requesters, in software; the private half goes out with the answer and is kept nowhere.

use crate::{error::CaError, key, pem, public_key::PublicKey};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use chancery_engine::SecretString;
use chancery_hsm::{KeyAlgorithm, software::SoftwareKey};
use der::{
    Decode, Encode, Sequence,
    asn1::{AnyRef, BitStringRef, ObjectIdentifier, OctetStringRef},
};
use spki::AlgorithmIdentifierRef;
use zeroize::Zeroizing;

/// A fresh key pair.
pub struct LeafKey {
    algorithm: KeyAlgorithm,
    pkcs8: Zeroizing<Vec<u8>>,
    public_key: PublicKey,
}

/// `private_key_format`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PrivateKeyFormat {
    /// SEC 1 or PKCS#1, as the certificate's format is.
    Traditional,
    /// PKCS#8.
    Pkcs8,
}

#[derive(Sequence)]
struct PrivateKeyInfo<'a> {
    version: u8,
    algorithm: AlgorithmIdentifierRef<'a>,
    private_key: &'a OctetStringRef,
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

impl LeafKey {
    /// Generates a pair. RSA goes to the blocking pool.
    ///
    /// # Errors
    /// [`CaError::Hsm`] where the library refuses.
    pub async fn generate(algorithm: KeyAlgorithm) -> Result<Self, CaError> {
        let make = move || -> Result<Self, CaError> {
            let key = SoftwareKey::generate(algorithm)?;
            let public_key = PublicKey::parse(key.public_key_der().unwrap_or_default())?;
            Ok(Self { algorithm, pkcs8: key.to_bytes()?, public_key })
        };
        if algorithm.is_rsa() { tokio::task::spawn_blocking(make).await? } else { make() }
    }

    /// The public half.
    #[must_use]
    pub fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    /// `private_key_type`
    #[must_use]
    pub fn kind(&self) -> &'static str {
        key::kind_name(self.algorithm)
    }

    /// The private half in PEM.
    ///
    /// # Errors
    /// [`CaError::Encoding`] where the library's own encoding does not parse.
    pub fn to_pem(&self, format: PrivateKeyFormat) -> Result<SecretString, CaError> {
        let (label, der) = self.encoded(format)?;
        Ok(SecretString::new(pem::encode(label, &der)))
    }

    /// The private half in DER, base64.
    ///
    /// # Errors
    /// See [`LeafKey::to_pem`].
    pub fn to_base64(&self, format: PrivateKeyFormat) -> Result<SecretString, CaError> {
        Ok(SecretString::new(STANDARD.encode(self.encoded(format)?.1.as_slice())))
    }

    fn encoded(&self, format: PrivateKeyFormat) -> Result<(&'static str, Zeroizing<Vec<u8>>), CaError> {
        let info = PrivateKeyInfo::from_der(&self.pkcs8)?;
        match (format, self.kind()) {
            (PrivateKeyFormat::Traditional, "rsa") => {
                Ok(("RSA PRIVATE KEY", Zeroizing::new(info.private_key.as_bytes().to_vec())))
            }
            (PrivateKeyFormat::Traditional, "ec") => {
                let mut key = EcPrivateKey::from_der(info.private_key.as_bytes())?;
                key.parameters = info.algorithm.parameters.map(AnyRef::decode_as).transpose()?;
                Ok(("EC PRIVATE KEY", Zeroizing::new(key.to_der()?)))
            }
            _ => Ok(("PRIVATE KEY", self.pkcs8.clone())),
        }
    }
}

impl std::fmt::Debug for LeafKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LeafKey({})", self.algorithm)
    }
}
