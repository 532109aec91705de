//! Private keys in this process: those made for requesters, and CA keys that are imported, exported or of a type no
//! token makes. Read from PKCS#8, PKCS#1 and SEC 1, written in the forms clients of this API expect.

use crate::{
    error::CaError,
    key, oid,
    pem::{self, Block},
    public_key::PublicKey,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use chancery_engine::SecretString;
use chancery_hsm::{KeyAlgorithm, software::SoftwareKey};
use der::{
    Decode, Encode, Sequence, SliceReader,
    asn1::{AnyRef, BitStringRef, ObjectIdentifier, OctetStringRef, UintRef},
};
use spki::AlgorithmIdentifierRef;
use zeroize::Zeroizing;

/// A key pair whose halves belong together.
pub struct PrivateKey {
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

/// RFC 5958 §2, as far as it is written here.
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

/// Labels of PEM blocks that hold a private key.
const PKCS8: &str = "PRIVATE KEY";
const PKCS1: &str = "RSA PRIVATE KEY";
const SEC1: &str = "EC PRIVATE KEY";

/// Whether a PEM block holds a private key, in whatever form.
#[must_use]
pub fn is_private_key(label: &str) -> bool {
    label == PKCS8 || label.ends_with(" PRIVATE KEY")
}

impl PrivateKey {
    /// Generates a pair. RSA goes to the blocking pool.
    ///
    /// # Errors
    /// [`CaError::Hsm`] where the library refuses.
    pub async fn generate(algorithm: KeyAlgorithm) -> Result<Self, CaError> {
        let make = move || Self::of(&SoftwareKey::generate(algorithm)?);
        if algorithm.is_rsa() { tokio::task::spawn_blocking(make).await? } else { make() }
    }

    /// Reads a PEM block somebody sent. The public half is computed, never believed.
    ///
    /// # Errors
    /// [`CaError::Caller`] that says what is wrong, without a byte of it.
    pub fn read(block: &Block) -> Result<Self, CaError> {
        let (algorithm, pkcs8) = match block.label.as_str() {
            PKCS8 => from_pkcs8(&block.bytes)?,
            PKCS1 => from_pkcs1(&block.bytes)?,
            SEC1 => from_sec1(&block.bytes, None)?,
            "ENCRYPTED PRIVATE KEY" => return Err(refused("it is encrypted; decrypt it first")),
            label => {
                return Err(CaError::Caller(format!("a PEM block of type {label:?} holds no key that is offered")));
            }
        };
        let key = SoftwareKey::from_bytes(algorithm, &pkcs8).map_err(|error| refused(error.to_string()))?;
        Self::of(&key)
    }

    fn of(key: &SoftwareKey) -> Result<Self, CaError> {
        let public_key = PublicKey::parse(key.public_key_der().unwrap_or_default())
            .map_err(|error| CaError::Caller(format!("private key refused: {error}")))?;
        Ok(Self { algorithm: key.algorithm(), pkcs8: key.to_bytes()?, public_key })
    }

    /// What sort of key it is.
    #[must_use]
    pub fn algorithm(&self) -> KeyAlgorithm {
        self.algorithm
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

    /// PKCS#8 in DER, base64: the form it is stored in.
    pub(crate) fn to_stored(&self) -> SecretString {
        SecretString::new(STANDARD.encode(self.pkcs8.as_slice()))
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
    /// See [`PrivateKey::to_pem`].
    pub fn to_base64(&self, format: PrivateKeyFormat) -> Result<SecretString, CaError> {
        Ok(SecretString::new(STANDARD.encode(self.encoded(format)?.1.as_slice())))
    }

    fn encoded(&self, format: PrivateKeyFormat) -> Result<(&'static str, Zeroizing<Vec<u8>>), CaError> {
        let info = PrivateKeyInfo::from_der(&self.pkcs8)?;
        match (format, self.kind()) {
            (PrivateKeyFormat::Traditional, "rsa") => Ok((PKCS1, Zeroizing::new(info.private_key.as_bytes().to_vec()))),
            (PrivateKeyFormat::Traditional, "ec") => {
                let mut key = EcPrivateKey::from_der(info.private_key.as_bytes())?;
                key.parameters = info.algorithm.parameters.map(AnyRef::decode_as).transpose()?;
                Ok((SEC1, Zeroizing::new(key.to_der()?)))
            }
            _ => Ok((PKCS8, self.pkcs8.clone())),
        }
    }
}

impl std::fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PrivateKey({})", self.algorithm)
    }
}

type Read = (KeyAlgorithm, Zeroizing<Vec<u8>>);

fn refused(why: impl std::fmt::Display) -> CaError {
    CaError::Caller(format!("failed to parse private key: {why}"))
}

/// Algorithm and key of PKCS#8. Attributes and a public half behind them (RFC 5958) are not looked at.
fn from_pkcs8(der: &[u8]) -> Result<Read, CaError> {
    let malformed = |_| refused("it is no PKCS#8");
    let outer = AnyRef::from_der(der).map_err(malformed)?;
    let mut inner = SliceReader::new(outer.value()).map_err(malformed)?;
    u8::decode(&mut inner).map_err(malformed)?;
    let algorithm = AlgorithmIdentifierRef::decode(&mut inner).map_err(malformed)?;
    let key = <&OctetStringRef>::decode(&mut inner).map_err(malformed)?.as_bytes();
    match algorithm.oid {
        oid::RSA => from_pkcs1(key),
        oid::EC => {
            let curve = algorithm.parameters.and_then(|parameters| parameters.decode_as().ok());
            from_sec1(key, Some(curve.ok_or_else(|| refused("it names no curve"))?))
        }
        oid::ED25519 => Ok((KeyAlgorithm::Ed25519, write(oid::ED25519, None, key)?)),
        oid::ML_DSA_44 => Ok((KeyAlgorithm::MlDsa44, write(algorithm.oid, None, key)?)),
        oid::ML_DSA_65 => Ok((KeyAlgorithm::MlDsa65, write(algorithm.oid, None, key)?)),
        oid::ML_DSA_87 => Ok((KeyAlgorithm::MlDsa87, write(algorithm.oid, None, key)?)),
        other => Err(refused(format!("algorithm {other} is not offered"))),
    }
}

/// RFC 8017 §A.1.2
fn from_pkcs1(der: &[u8]) -> Result<Read, CaError> {
    let malformed = |_| refused("it is no RSA private key of two primes");
    let outer = AnyRef::from_der(der).map_err(malformed)?;
    let mut inner = SliceReader::new(outer.value()).map_err(malformed)?;
    u8::decode(&mut inner).map_err(malformed)?;
    let modulus = UintRef::decode(&mut inner).map_err(malformed)?.as_bytes();
    let top = modulus.first().map_or(0, |byte| byte.leading_zeros() as usize);
    let algorithm = match (modulus.len() * 8).saturating_sub(top) {
        2048 => KeyAlgorithm::Rsa2048,
        3072 => KeyAlgorithm::Rsa3072,
        4096 => KeyAlgorithm::Rsa4096,
        bits => return Err(refused(format!("RSA keys of {bits} bits are not offered; 2048, 3072 and 4096 are"))),
    };
    Ok((algorithm, write(oid::RSA, Some(AnyRef::NULL), der)?))
}

fn from_sec1(der: &[u8], curve: Option<ObjectIdentifier>) -> Result<Read, CaError> {
    let key = EcPrivateKey::from_der(der).map_err(|_| refused("it is no EC private key with a named curve"))?;
    let stated = match (curve, key.parameters) {
        (Some(outside), Some(inside)) if outside != inside => return Err(refused("it names two curves")),
        (outside, inside) => outside.or(inside).ok_or_else(|| refused("it names no curve"))?,
    };
    let (algorithm, length): (_, usize) = match stated {
        oid::P256 => (KeyAlgorithm::EcP256, 32),
        oid::P384 => (KeyAlgorithm::EcP384, 48),
        oid::P521 => (KeyAlgorithm::EcP521, 66),
        other => return Err(refused(format!("curve {other} is not offered"))),
    };
    // Some writers drop leading zeros of the scalar, others add some.
    let digits = key.private_key.as_bytes();
    let zeros = digits.iter().take_while(|byte| **byte == 0).count();
    let significant = digits.get(zeros..).unwrap_or_default();
    let missing = length.checked_sub(significant.len()).ok_or_else(|| refused("its number is too long"))?;
    let scalar = Zeroizing::new([vec![0; missing].as_slice(), significant].concat());
    let bare =
        EcPrivateKey { version: 1, private_key: OctetStringRef::new(&scalar)?, parameters: None, public_key: None };
    let inner = Zeroizing::new(bare.to_der()?);
    Ok((algorithm, write(oid::EC, Some(AnyRef::from(&stated)), &inner)?))
}

fn write(
    algorithm: ObjectIdentifier,
    parameters: Option<AnyRef<'_>>,
    key: &[u8],
) -> Result<Zeroizing<Vec<u8>>, CaError> {
    let algorithm = AlgorithmIdentifierRef { oid: algorithm, parameters };
    let info = PrivateKeyInfo { version: 0, algorithm, private_key: OctetStringRef::new(key)? };
    Ok(Zeroizing::new(info.to_der()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn pair(algorithm: KeyAlgorithm) -> PrivateKey {
        PrivateKey::generate(algorithm).await.unwrap()
    }

    fn reread(text: &SecretString) -> Result<PrivateKey, CaError> {
        PrivateKey::read(&pem::decode_first(text.expose()).unwrap().unwrap())
    }

    #[tokio::test]
    async fn keys_are_read_in_every_form_they_are_written_in() {
        for algorithm in [
            KeyAlgorithm::EcP256,
            KeyAlgorithm::EcP384,
            KeyAlgorithm::EcP521,
            KeyAlgorithm::Ed25519,
            KeyAlgorithm::Rsa2048,
            KeyAlgorithm::MlDsa44,
            KeyAlgorithm::MlDsa87,
        ] {
            let made = pair(algorithm).await;
            for format in [PrivateKeyFormat::Traditional, PrivateKeyFormat::Pkcs8] {
                let read = reread(&made.to_pem(format).unwrap()).unwrap();
                assert_eq!(read.algorithm(), algorithm);
                assert_eq!(read.public_key(), made.public_key(), "{algorithm} {format:?}");
            }
        }
    }

    #[tokio::test]
    async fn what_is_no_key_is_refused_without_being_quoted() {
        let made = pair(KeyAlgorithm::EcP256).await;
        let der = pem::decode_first(made.to_pem(PrivateKeyFormat::Pkcs8).unwrap().expose()).unwrap().unwrap().bytes;
        for (label, bytes) in [
            ("PRIVATE KEY", b"junk".to_vec()),
            ("RSA PRIVATE KEY", der.to_vec()),
            ("EC PRIVATE KEY", der.to_vec()),
            ("ENCRYPTED PRIVATE KEY", der.to_vec()),
            ("DSA PRIVATE KEY", der.to_vec()),
            ("PRIVATE KEY", der.get(..60).unwrap().to_vec()),
        ] {
            let block = Block { label: label.to_owned(), bytes: Zeroizing::new(bytes) };
            assert!(matches!(PrivateKey::read(&block), Err(CaError::Caller(_))), "{label}");
        }
    }

    #[tokio::test]
    async fn a_scalar_without_its_leading_zeros_is_the_same_key() {
        let scalar = [7_u8; 31];
        let short = EcPrivateKey {
            version: 1,
            private_key: OctetStringRef::new(&scalar).unwrap(),
            parameters: Some(oid::P256),
            public_key: None,
        };
        let block = |bytes: Vec<u8>| Block { label: SEC1.to_owned(), bytes: Zeroizing::new(bytes) };
        let read = PrivateKey::read(&block(short.to_der().unwrap())).unwrap();
        let padded = [[0_u8; 3].as_slice(), &scalar].concat();
        let long = EcPrivateKey { private_key: OctetStringRef::new(&padded).unwrap(), ..short };
        assert_eq!(PrivateKey::read(&block(long.to_der().unwrap())).unwrap().public_key(), read.public_key());
    }
}
