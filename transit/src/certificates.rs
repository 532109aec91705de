//! Certificates and certificate requests (PKCS#10, RFC 2986) for the public keys of versions.

use crate::{
    curve::Curve,
    ed25519,
    error::TransitError,
    import::off_thread,
    key::Key,
    key_type::KeyType,
    ml_dsa, pem_blocks,
    public_key::PublicKey,
    transit::Transit,
    version::{KeyVersion, StoredBytes, StoredMaterial},
};
use chancery_hsm::{HashAlgorithm, SignInput, SignScheme, software::SoftwareKey};
use chancery_store::Changes;
use der::{
    Decode, Encode, Sequence, SliceReader,
    asn1::{AnyRef, BitStringRef, ObjectIdentifier},
};
use std::sync::Arc;
use x509_cert::{Certificate, ext::pkix::BasicConstraints};
use zeroize::Zeroizing;

/// Labels under which certificates come.
const CERTIFICATE_LABELS: [&str; 2] = ["CERTIFICATE", "X509 CERTIFICATE"];

/// An empty name, and the empty set of attributes.
const EMPTY_NAME: [u8; 2] = [0x30, 0x00];
const NO_ATTRIBUTES: [u8; 2] = [0xa0, 0x00];

/// A chain as it came, read but not checked against a key.
pub(crate) struct Chain(Vec<(Certificate, StoredBytes)>);

impl Chain {
    /// Reads PEM, the leaf first. Blocks of other kinds are skipped.
    pub(crate) fn from_pem(text: &str) -> Result<Self, TransitError> {
        let mut rest = text.trim();
        let mut chain = Vec::new();
        while !rest.is_empty() {
            let (block, after) = pem_blocks::first(rest)
                .ok_or_else(|| TransitError::caller("could not decode a PEM block in the certificate chain"))?;
            rest = after;
            if CERTIFICATE_LABELS.contains(&block.label) {
                let certificate = Certificate::from_der(&block.der).map_err(|_| {
                    TransitError::caller(
                        "could not parse a certificate in the certificate chain: x509: malformed certificate",
                    )
                })?;
                chain.push((certificate, StoredBytes::new(block.der)));
            }
        }
        if chain.is_empty() {
            return Err(TransitError::caller(
                "provided certificate chain did not contain any valid PEM encoded certificate",
            ));
        }
        Ok(Self(chain))
    }

    /// Refuses a chain that does not lead from a leaf for this key to an authority. The order of checks and the texts
    /// are the reference's.
    pub(crate) fn check(&self, key_type: KeyType, public_key: &[u8]) -> Result<(), TransitError> {
        let refused = |text: String| TransitError::Caller(format!("failed to persist certificate chain: {text}"));
        let authorities: Vec<bool> = self.0.iter().map(|(certificate, _)| is_authority(certificate)).collect();
        let (leaf, issuers) = authorities.split_first().unwrap_or((&false, &[]));
        if *leaf {
            return Err(refused("certificate in the first element is not a valid leaf certificate".to_owned()));
        }
        if let Some((last, between)) = issuers.split_last() {
            if !last {
                return Err(refused("certificate in the last element is not a valid CA certificate".to_owned()));
            }
            if between.contains(&false) {
                return Err(refused(
                    "could not validate if there is only one leaf certificate in the provided chain".to_owned(),
                ));
            }
        }
        self.check_leaf(key_type, public_key).map_err(refused)
    }

    fn check_leaf(&self, key_type: KeyType, public_key: &[u8]) -> Result<(), String> {
        let mismatch = "leaf certificate public key does not match the selected key version";
        let (certificate, _) = self.0.first().ok_or(mismatch)?;
        let info = certificate.tbs_certificate().subject_public_key_info();
        let key = PublicKey::from_der(&info.to_der().map_err(|_| mismatch)?);
        let algorithm = match &key {
            Ok(PublicKey::Rsa { .. }) => (key_type.is_rsa(), "RSA"),
            Ok(PublicKey::Ec(..)) => (key_type.is_ecdsa(), "ECDSA"),
            Ok(PublicKey::Ed25519(_)) => (key_type == KeyType::Ed25519, "Ed25519"),
            Ok(PublicKey::MlDsa(found, _)) => (*found == key_type, found.name()),
            Err(_) => (false, "0"),
        };
        let (true, _) = algorithm else {
            let (_, found) = algorithm;
            return Err(format!(
                "could not validate key match between leaf certificate key and key entry in transit: provided leaf \
                 certificate public key algorithm '{found}' does not match the transit key type '{}'",
                key_type.name()
            ));
        };
        match key.is_ok_and(|key| key.der() == public_key) {
            true => Ok(()),
            false => Err(mismatch.to_owned()),
        }
    }

    /// The certificates in DER.
    pub(crate) fn into_stored(self) -> Vec<StoredBytes> {
        self.0.into_iter().map(|(_, der)| der).collect()
    }
}

fn is_authority(certificate: &Certificate) -> bool {
    let constraints = certificate.tbs_certificate().get_extension::<BasicConstraints>();
    matches!(constraints, Ok(Some((_, BasicConstraints { ca: true, .. }))))
}

/// RFC 2986 §4.2, its parts as they stand in the DER.
#[derive(Sequence)]
struct Request<'a> {
    info: AnyRef<'a>,
    algorithm: AnyRef<'a>,
    signature: BitStringRef<'a>,
}

/// What a request takes over from a template: subject and attributes, as they stand in its DER.
pub(crate) struct Template {
    subject: Vec<u8>,
    attributes: Vec<u8>,
}

impl Template {
    /// Reads a request in PEM; without one, subject and attributes are empty. Its signature is not looked at, since its
    /// key is replaced.
    pub(crate) fn from_pem(text: &str) -> Result<Self, TransitError> {
        if text.is_empty() {
            return Ok(Self { subject: EMPTY_NAME.to_vec(), attributes: NO_ATTRIBUTES.to_vec() });
        }
        let (block, _) = pem_blocks::first(text).ok_or_else(|| TransitError::caller("could not decode PEM CSR"))?;
        let malformed = || TransitError::caller("x509: malformed certificate request");
        x509_cert::request::CertReq::from_der(&block.der).map_err(|_| malformed())?;
        let request = Request::from_der(&block.der).map_err(|_| malformed())?;
        Self::read(request.info.value()).ok_or_else(malformed)
    }

    fn read(info: &[u8]) -> Option<Self> {
        let mut reader = SliceReader::new(info).ok()?;
        u8::decode(&mut reader).ok()?;
        let subject = AnyRef::decode(&mut reader).ok()?.to_der().ok()?;
        AnyRef::decode(&mut reader).ok()?;
        let attributes = AnyRef::decode(&mut reader).ok()?.to_der().ok()?;
        Some(Self { subject, attributes })
    }

    /// What is signed: the template with this public key (SubjectPublicKeyInfo).
    pub(crate) fn with_key(&self, public_key: &[u8]) -> Result<Zeroizing<Vec<u8>>, TransitError> {
        let version = [0x02, 0x01, 0x00];
        sequence(&[&version, &self.subject, public_key, &self.attributes])
    }
}

/// A request of what was signed and the signature over it.
pub(crate) fn request(info: &[u8], key_type: KeyType, signature: &[u8]) -> Result<Zeroizing<Vec<u8>>, TransitError> {
    let algorithm = signature_algorithm(key_type)?;
    let signature = BitStringRef::from_bytes(signature).and_then(|bits| bits.to_der());
    sequence(&[info, &algorithm, &signature.map_err(unwritable)?])
}

impl Transit {
    /// The key of that name, if certificates can be had for it.
    pub(crate) async fn signing_key(&self, name: &str) -> Result<Arc<Key>, TransitError> {
        let absent = || TransitError::Caller(format!("key with provided name '{name}' not found"));
        let key = self.key(name).await?.ok_or_else(absent)?;
        if !key.record.key_type.supports_signing() {
            let key_type = key.record.type_name();
            return Err(TransitError::Caller(format!("key type '{key_type}' does not support signing")));
        }
        if key.record.derived {
            return Err(TransitError::caller("operation not supported for keys with derivation enabled"));
        }
        key.usable()?;
        Ok(key)
    }

    /// The public half of a version (SubjectPublicKeyInfo in DER).
    pub(crate) async fn public_key(&self, key: &Key, number: u32) -> Result<Vec<u8>, TransitError> {
        let version = self.storage.version(&key.name, number).await?.ok_or(TransitError::NoSuchVersion)?;
        let record = key.record.clone();
        let expanded = off_thread(move || KeyVersion::expand(&record, version)).await?;
        let (export, name) = ("public-key", key.record.type_name());
        let none = || TransitError::Caller(format!("unknown key type {name} for export type {export}"));
        expanded.public_key.ok_or_else(none)
    }

    /// Keeps a chain beside a version.
    pub(crate) async fn set_certificates(
        &self,
        name: &str,
        number: u32,
        chain: Vec<StoredBytes>,
    ) -> Result<(), TransitError> {
        self.storage
            .store()
            .transact("set certificates of transit key", || async {
                let mut changes = Changes::default();
                let stored = self.storage.record(name).await?.ok_or(TransitError::NoSuchVersion)?;
                let mut version = self.storage.version(name, number).await?.ok_or(TransitError::NoSuchVersion)?;
                version.certificate_chain.clone_from(&chain);
                self.storage.add_version(&mut changes, name, number, &version)?;
                self.storage.replace(&mut changes, name, &stored)?;
                Ok::<_, TransitError>((changes, ()))
            })
            .await?;
        self.forget_cached(Some(name));
        Ok(())
    }

    /// Signs what a request is made of.
    pub(crate) async fn sign_request(&self, key: &Key, number: u32, info: &[u8]) -> Result<Vec<u8>, TransitError> {
        let key_type = key.record.key_type;
        let version = self.storage.version(&key.name, number).await?.ok_or(TransitError::NoSuchVersion)?;
        let message = info.to_vec();
        match version.material {
            StoredMaterial::Software { key, .. } => off_thread(move || sign(key_type, key.bytes(), message)).await,
            StoredMaterial::Hsm { key, .. } => {
                Ok(self.hsm()?.sign(&key, scheme(key_type), SignInput::Message(message)).await?)
            }
            StoredMaterial::Public { .. } => Err(TransitError::NoPrivateHalf("signing")),
            StoredMaterial::External { .. } => {
                Err(TransitError::caller("certificate requests are not made with external keys"))
            }
        }
    }
}

fn sign(key_type: KeyType, key: &[u8], message: Vec<u8>) -> Result<Vec<u8>, TransitError> {
    if key_type.is_ml_dsa() {
        return ml_dsa::Pair::from_seed(key_type, key)?.sign(&message);
    }
    let key = match key_type {
        KeyType::Ed25519 => ed25519::Pair::from_seed(key)?.into_software_key()?,
        pair => {
            let algorithm = pair.hsm_algorithm().ok_or(TransitError::Bug("a key pair without an algorithm"))?;
            SoftwareKey::from_bytes(algorithm, key)?
        }
    };
    Ok(key.sign(scheme(key_type), &SignInput::Message(message))?)
}

/// The hash is as wide as the curve; RSA signs with PKCS #1 v1.5, as requests are mostly signed.
fn scheme(key_type: KeyType) -> SignScheme {
    match Curve::of(key_type) {
        Some(Curve::P256) => SignScheme::Ecdsa(HashAlgorithm::Sha256),
        Some(Curve::P384) => SignScheme::Ecdsa(HashAlgorithm::Sha384),
        Some(Curve::P521) => SignScheme::Ecdsa(HashAlgorithm::Sha512),
        None if key_type.is_rsa() => SignScheme::RsaPkcs1(HashAlgorithm::Sha256),
        None => SignScheme::Ed25519,
    }
}

/// The AlgorithmIdentifier that goes with [`scheme`].
fn signature_algorithm(key_type: KeyType) -> Result<Vec<u8>, TransitError> {
    let (identifier, null) = match key_type {
        KeyType::EcdsaP256 => ("1.2.840.10045.4.3.2", false),
        KeyType::EcdsaP384 => ("1.2.840.10045.4.3.3", false),
        KeyType::EcdsaP521 => ("1.2.840.10045.4.3.4", false),
        KeyType::Ed25519 => ("1.3.101.112", false),
        KeyType::MlDsa44 => ("2.16.840.1.101.3.4.3.17", false),
        KeyType::MlDsa65 => ("2.16.840.1.101.3.4.3.18", false),
        KeyType::MlDsa87 => ("2.16.840.1.101.3.4.3.19", false),
        rsa if rsa.is_rsa() => ("1.2.840.113549.1.1.11", true),
        _ => return Err(TransitError::Bug("a key that signs no requests")),
    };
    let identifier = ObjectIdentifier::new_unwrap(identifier).to_der().map_err(unwritable)?;
    let null: &[u8] = if null { &[0x05, 0x00] } else { &[] };
    Ok(sequence(&[&identifier, null])?.to_vec())
}

fn sequence(parts: &[&[u8]]) -> Result<Zeroizing<Vec<u8>>, TransitError> {
    let content = Zeroizing::new(parts.concat());
    let sequence = AnyRef::new(der::Tag::Sequence, &content).and_then(|sequence| sequence.to_der());
    sequence.map(Zeroizing::new).map_err(unwritable)
}

fn unwritable(_: der::Error) -> TransitError {
    TransitError::Bug("a certificate request could not be written")
}
