//! `intermediate/generate/:type`, `issuers/generate/intermediate/:type`, `intermediate/set-signed`.

use super::fields::{AuthorityFields, Format};
use crate::{
    CertificateAuthority, crl::assemble, error::CaError, key::KeyRecord, oid, pem, profile,
    signature::SignatureAlgorithm,
};
use chancery_engine::{Call, Fault, Response, wire::Text};
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

/// A key in the HSM and a request for a certificate of it.
pub(crate) async fn generate(engine: Arc<CertificateAuthority>, call: Call) -> Result<Response, Fault> {
    let request: AuthorityFields = call.parse()?;
    let format = Format::parse(&request.format)?;
    let asked = request.asked()?;
    let key = super::root::key_for(&engine, call.captures.text("exported"), &request).await?;
    let csr = sign_request(&engine, &key, &request, &asked).await?;
    let record = &key;
    engine
        .change("generate intermediate", move |draft| {
            draft.put_key(record.clone());
            Ok(())
        })
        .await?;
    let response = GenerateResponse { csr: format.render_as(pem::CERTIFICATE_REQUEST, &csr), key_id: key.id.clone() };
    let mut answer = Response::data(&response)?;
    answer.warnings.extend(crate::custody::warning(&key));
    let authority = engine.authority().await?;
    if authority.url_settings.urls.is_empty() {
        answer.warnings.push(format!("{} Since this certificate is an intermediate, it might be useful to regenerate this certificate after fixing this problem for the root mount.", crate::urls::MISSING));
    }
    Ok(answer)
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
    super::import::import_bundle(&engine, &request.certificate.0).await
}
