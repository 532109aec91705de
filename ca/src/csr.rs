//! Certificate requests (RFC 2986): parsed, their key checked, their signature verified.
//!
//! A [`Csr`] exists only if all of that succeeded. Nothing in it is granted: what a role lets through is decided in
//! [`crate::approve`], and extensions nobody asks about are dropped (EKUwu, CVE-2024-49019).

use crate::{
    error::CaError, oid, pem, public_key::PublicKey, san::AlternativeNames, signature::verification_scheme, subject,
};
use chancery_hsm::SignInput;
use der::{
    Decode, Encode, Sequence,
    asn1::{AnyRef, BitStringRef, SetOfVec},
};
use spki::AlgorithmIdentifierRef;
use x509_cert::{attr::Attribute, ext::Extension, ext::pkix::name::GeneralNames};

/// A certificate request that was signed with the key it carries.
#[derive(Debug, Clone)]
pub struct Csr {
    subject: Vec<u8>,
    public_key: PublicKey,
    names: AlternativeNames,
    extensions: Vec<Extension>,
}

/// Longest request looked at, in DER.
const LONGEST: usize = 64 << 10;

#[derive(Sequence)]
struct Request<'a> {
    info: AnyRef<'a>,
    algorithm: AlgorithmIdentifierRef<'a>,
    signature: BitStringRef<'a>,
}

#[derive(Sequence)]
struct RequestInfo<'a> {
    version: u8,
    subject: AnyRef<'a>,
    public_key: AnyRef<'a>,
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT", optional = "true")]
    attributes: Option<SetOfVec<Attribute>>,
}

impl Csr {
    /// Reads the `csr` parameter: PEM.
    ///
    /// # Errors
    /// [`CaError::Caller`] that says what is wrong with it.
    pub fn from_pem(text: &str) -> Result<Self, CaError> {
        if text.is_empty() {
            return Err(CaError::caller("\"csr\" is empty"));
        }
        let block = pem::decode_first(text)?.ok_or_else(|| CaError::caller("csr contains no data"))?;
        Self::from_der(&block.bytes)
    }

    /// Reads and verifies a request in DER.
    ///
    /// # Errors
    /// [`CaError::Caller`] that says what is wrong with it.
    pub fn from_der(der: &[u8]) -> Result<Self, CaError> {
        if der.len() > LONGEST {
            return Err(unparsed(format!("it has {} bytes; the limit is {LONGEST}", der.len())));
        }
        let request = Request::from_der(der).map_err(unparsed)?;
        let signed = request.info.to_der()?;
        let info = RequestInfo::from_der(&signed).map_err(unparsed)?;
        if info.version != 0 {
            return Err(unparsed(format!("version {} is not 0", info.version)));
        }
        let public_key = PublicKey::parse(&info.public_key.to_der()?)?;
        verify(&public_key, &request, &signed)?;
        let extensions = requested_extensions(info.attributes.as_ref())?;
        let names = match extensions.iter().find(|extension| extension.extn_id == oid::SUBJECT_ALT_NAME) {
            Some(extension) => {
                let names = GeneralNames::from_der(extension.extn_value.as_bytes()).map_err(unparsed)?;
                AlternativeNames::from_general_names(&names)?
            }
            None => AlternativeNames::default(),
        };
        let subject = info.subject.to_der()?;
        x509_cert::name::Name::from_der(&subject).map_err(unparsed)?;
        Ok(Self { subject, public_key, names, extensions })
    }

    /// A request that nobody signed, for tests of what follows.
    #[cfg(test)]
    pub(crate) fn unsigned(subject: Vec<u8>, public_key: PublicKey, names: AlternativeNames) -> Self {
        Self { subject, public_key, names, extensions: Vec::new() }
    }

    /// The key, which the requester proved to hold.
    #[must_use]
    pub fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    /// The subject asked for, in DER.
    #[must_use]
    pub fn subject(&self) -> &[u8] {
        &self.subject
    }

    /// The common name asked for; empty where there is none.
    #[must_use]
    pub fn common_name(&self) -> String {
        subject::common_name(&self.subject)
    }

    /// The alternative names asked for.
    #[must_use]
    pub fn names(&self) -> &AlternativeNames {
        &self.names
    }

    /// All extensions asked for.
    #[must_use]
    pub fn extensions(&self) -> &[Extension] {
        &self.extensions
    }

    /// Whether it asks for basic constraints, which are never copied.
    #[must_use]
    pub fn asks_for_basic_constraints(&self) -> bool {
        self.extensions.iter().any(|extension| extension.extn_id == oid::BASIC_CONSTRAINTS)
    }
}

fn verify(public_key: &PublicKey, request: &Request<'_>, signed: &[u8]) -> Result<(), CaError> {
    let invalid = || CaError::caller("request signature invalid");
    let scheme = verification_scheme(public_key.kind(), &request.algorithm).ok_or_else(|| {
        unparsed(format!("signature algorithm {} does not fit the key or is not supported", request.algorithm.oid))
    })?;
    let signature = request.signature.as_bytes().ok_or_else(invalid)?;
    let input = SignInput::Message(signed.to_vec());
    match chancery_hsm::verify(public_key.der(), scheme, &input, signature) {
        Ok(true) => Ok(()),
        Ok(false) | Err(_) => Err(invalid()),
    }
}

fn requested_extensions(attributes: Option<&SetOfVec<Attribute>>) -> Result<Vec<Extension>, CaError> {
    let Some(attributes) = attributes else { return Ok(Vec::new()) };
    let mut requests = attributes.iter().filter(|attribute| attribute.oid == oid::EXTENSION_REQUEST);
    let Some(attribute) = requests.next() else { return Ok(Vec::new()) };
    let (Some(value), 1, None) = (attribute.values.get(0), attribute.values.len(), requests.next()) else {
        return Err(unparsed("it does not have exactly one list of extensions"));
    };
    let extensions: Vec<Extension> = value.decode_as().map_err(unparsed)?;
    for (at, extension) in extensions.iter().enumerate() {
        if extensions.iter().skip(at + 1).any(|other| other.extn_id == extension.extn_id) {
            return Err(unparsed(format!("extension {} appears twice", extension.extn_id)));
        }
    }
    Ok(extensions)
}

fn unparsed(detail: impl std::fmt::Display) -> CaError {
    CaError::Caller(format!("certificate request could not be parsed: {detail}"))
}
