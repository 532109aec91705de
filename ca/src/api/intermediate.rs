//! `intermediate/generate/:type`, `issuers/generate/intermediate/:type`, `intermediate/cross-sign`,
//! `intermediate/set-signed`.

use super::{
    fields::{self, AuthorityFields, Format},
    key_choice,
};
use crate::{
    CertificateAuthority, crl::assemble, error::CaError, key::KeyRecord, oid, pem, private_key::PrivateKey, profile,
    signature::SignatureAlgorithm, validity,
};
use chancery_engine::{Call, Fault, Response, SecretString, wire::Text};
use chancery_hsm::SignInput;
use der::{
    Decode, Encode, Sequence,
    asn1::{AnyRef, SetOfVec},
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use x509_cert::{
    attr::Attribute,
    ext::{Extension, pkix::BasicConstraints},
};

#[derive(Serialize)]
struct GenerateResponse {
    csr: String,
    key_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    private_key: Option<SecretString>,
    #[serde(skip_serializing_if = "Option::is_none")]
    private_key_type: Option<&'static str>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct SetSignedRequest {
    certificate: Text,
}

#[derive(Sequence)]
struct RequestInfo<'a> {
    version: u8,
    subject: AnyRef<'a>,
    public_key: AnyRef<'a>,
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT")]
    attributes: SetOfVec<Attribute>,
}

/// A key and a request for a certificate of it.
pub(crate) async fn generate(engine: Arc<CertificateAuthority>, call: Call) -> Result<Response, Fault> {
    let request: AuthorityFields = call.parse()?;
    request_for(&engine, &call, call.captures.text("exported"), &request).await
}

/// `intermediate/cross-sign`: a request for a key that is here already, to be signed by another authority.
pub(crate) async fn cross_sign(engine: Arc<CertificateAuthority>, call: Call) -> Result<Response, Fault> {
    let request: AuthorityFields = call.parse()?;
    request_for(&engine, &call, "existing", &request).await
}

async fn request_for(
    engine: &CertificateAuthority,
    call: &Call,
    kind: &str,
    request: &AuthorityFields,
) -> Result<Response, Fault> {
    let format = Format::parse(&request.format)?;
    request.note_ignored_in_requests(call);
    // What is wrong with the request is told before a key is made for it.
    let asked = request.asked()?;
    asked.alternative_names()?;
    let mount = super::mount_ttl(&call.mount);
    let (_, warnings) = validity::decide(&request.role()?, &asked.validity, mount, None, engine.now())?;
    let key = key_choice::choose(engine, kind, request).await?;
    let csr = make_request(engine, &key.record, request).await;
    let csr = key.keep_if(engine, csr).await?;
    let private_key = key.private.as_ref();
    let private =
        private_key.map(|private| fields::render_key(private, format, &request.private_key_format)).transpose()?;
    let response = GenerateResponse {
        csr: format.with_key(format.render_as(pem::CERTIFICATE_REQUEST, &csr), private.as_ref()),
        key_id: key.record.id.clone(),
        private_key: private,
        private_key_type: private_key.map(PrivateKey::kind),
    };
    let mut answer = Response::data(&response)?;
    answer.warnings.extend(warnings);
    answer.warnings.extend(key.warning());
    if engine.authority().await?.url_settings.urls.is_empty() {
        answer.warnings.push(format!("{} Since this certificate is an intermediate, it might be useful to regenerate this certificate after fixing this problem for the root mount.", crate::urls::MISSING));
    }
    Ok(answer)
}

async fn make_request(
    engine: &CertificateAuthority,
    key: &KeyRecord,
    request: &AuthorityFields,
) -> Result<Vec<u8>, CaError> {
    let csr = sign_request(engine, key, request, &request.asked()?).await?;
    engine.change("generate intermediate", move |draft| super::root::adopt_key(draft, key)).await?;
    Ok(csr)
}

/// RFC 2986 §4.2
async fn sign_request(
    engine: &CertificateAuthority,
    key: &KeyRecord,
    request: &AuthorityFields,
    asked: &crate::approve::Asked,
) -> Result<Vec<u8>, CaError> {
    let subject = request.subject().to_der()?;
    let public_key = key.public_key()?;
    let mut extensions: Vec<Extension> = Vec::new();
    let names = asked.alternative_names()?;
    if !names.is_empty() {
        extensions.push(profile::extension(oid::SUBJECT_ALT_NAME, false, &names.to_general_names()?)?);
    }
    if request.add_basic_constraints.0 {
        let authority = BasicConstraints { ca: true, path_len_constraint: None };
        extensions.push(profile::extension(oid::BASIC_CONSTRAINTS, true, &authority)?);
    }
    let mut attributes = SetOfVec::new();
    if !extensions.is_empty() {
        let mut values = SetOfVec::new();
        values.insert(der::asn1::Any::encode_from(&extensions)?)?;
        attributes.insert(Attribute { oid: oid::EXTENSION_REQUEST, values })?;
    }
    let info = RequestInfo {
        version: 0,
        subject: AnyRef::from_der(&subject)?,
        public_key: AnyRef::from_der(public_key.der())?,
        attributes,
    }
    .to_der()?;
    let algorithm = SignatureAlgorithm::choose(key.reference.algorithm, request.signature())?;
    let signature = engine.custody.sign(key, algorithm.scheme, SignInput::Message(info.clone())).await?;
    assemble(&info, &algorithm.identifier, &signature)
}

/// The certificate for a request made here, with those above it if they are given.
pub(crate) async fn set_signed(engine: Arc<CertificateAuthority>, call: Call) -> Result<Response, Fault> {
    let request: SetSignedRequest = call.parse()?;
    super::import::import_bundle(&engine, &request.certificate.0, false).await
}
