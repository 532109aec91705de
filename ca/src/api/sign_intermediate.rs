//! `root/sign-intermediate`, `root/sign-self-issued`, and the same below `issuer/:issuer_ref/`.

use super::fields::{AuthorityFields, Format};
use crate::{
    CertificateAuthority,
    approve::{Applicant, Approved},
    authority::DEFAULT,
    csr::Csr,
    error::CaError,
    facts::CertificateFacts,
    issuance::{Record, Signing},
    issuer::Issuer,
    key::KeyRecord,
    pem,
    validity::{self, LeafNotAfter, written_second},
};
use chancery_engine::{
    Call, Fault, Response,
    wire::{Flag, Text},
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

#[derive(Serialize)]
struct SignIntermediateResponse {
    ca_chain: Vec<String>,
    certificate: String,
    expiration: i64,
    issuing_ca: String,
    serial_number: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct SelfIssuedRequest {
    certificate: Text,
    issuer_ref: Text,
    require_matching_certificate_algorithms: Flag,
}

#[derive(Serialize)]
struct SelfIssuedResponse {
    certificate: String,
    issuing_ca: String,
}

/// The issuer named in the path, in the request, or the default one; it must be able to sign.
async fn signer(
    engine: &CertificateAuthority,
    call: &Call,
    stated: &Text,
) -> Result<(Arc<Issuer>, Arc<KeyRecord>), CaError> {
    let named = [call.captures.text("issuer_ref"), &stated.0];
    let reference = named.into_iter().find(|name| !name.is_empty()).unwrap_or(DEFAULT);
    engine.authority().await?.issuing(reference)
}

/// An intermediate's certificate for its request.
pub(crate) async fn sign_intermediate(engine: Arc<CertificateAuthority>, call: Call) -> Result<Response, Fault> {
    let request: AuthorityFields = call.parse()?;
    let format = Format::parse(&request.format)?;
    let csr = Csr::from_pem(&request.csr.0)?;
    let asked = request.asked()?;
    let authority = engine.authority().await?;
    let (issuer, key) = signer(&engine, &call, &request.issuer_ref).await?;
    let mut bound = issuer.bound();
    if bound.behavior == LeafNotAfter::Err && !request.enforce_leaf_not_after_behavior.0 {
        bound.behavior = LeafNotAfter::Truncate;
    }
    let mount = super::mount_ttl(&call.mount);
    let (validity, mut warnings) =
        validity::decide(&request.role()?, &asked.validity, mount, Some(bound), engine.now())?;
    let mut terms = request.terms()?;
    if terms.path_length.is_none() {
        terms.path_length = inherited_path_length(&issuer)?;
    }
    let mut subject = request.subject();
    if request.use_csr_values.0 {
        terms.subject = Some(csr.subject().to_vec());
        terms.names = Some(csr.names().clone());
    } else if subject.common_name.is_empty() {
        subject.common_name = csr.common_name();
    }
    let (approved, more) = Approved::authority(Applicant::Csr(&csr), &asked, &subject, terms, validity)?;
    let requester = super::requester(&call);
    let urls = authority.urls_of(&issuer)?;
    let record = Some(Record { role: "", requester: &requester, ledger: None });
    let signing = Signing { issuer: Some(&issuer), issuer_id: &issuer.record.id, key: &key, urls: &urls, record };
    let certificate = engine.sign(approved, signing).await?;
    warnings.splice(0..0, super::root::missing_urls(&authority).filter(|_| urls.is_empty()));
    warnings.extend(more);
    let above = format.render_chain(&authority.chain(&issuer));
    let rendered = format.render(certificate.der());
    let mut ca_chain = vec![rendered.clone()];
    ca_chain.extend(above.clone());
    let response = SignIntermediateResponse {
        certificate: format.bundle(rendered, &above),
        ca_chain,
        expiration: written_second(certificate.validity().not_after),
        issuing_ca: format.render(&issuer.facts.der),
        serial_number: certificate.serial().to_string(),
    };
    let mut answer = Response::data(&response)?;
    answer.warnings = warnings;
    Ok(answer)
}

/// An unstated path length is one less than the issuer's, where the issuer has one.
fn inherited_path_length(issuer: &Issuer) -> Result<Option<u8>, CaError> {
    match issuer.facts.path_length {
        None => Ok(None),
        Some(0) => Err(CaError::caller(
            "signing certificate has a max path length of zero, and cannot issue further CA certificates",
        )),
        Some(length) => Ok(u8::try_from(length - 1).ok()),
    }
}

/// A root of somebody else's signed again by an issuer of ours, so that clients that trust one trust the other (RFC 4949:
/// cross-certification). Subject, key, names, times and constraints stay; the serial number is ours, as RFC 5280
/// §4.1.2.2 wants it unique to the issuer.
pub(crate) async fn sign_self_issued(engine: Arc<CertificateAuthority>, call: Call) -> Result<Response, Fault> {
    let request: SelfIssuedRequest = call.parse()?;
    let block = pem::decode_first(&request.certificate.0)
        .ok()
        .flatten()
        .ok_or_else(|| CaError::caller("certificate could not be PEM-decoded"))?;
    let facts = CertificateFacts::parse(&block.bytes)
        .map_err(|error| CaError::Caller(format!("error parsing certificate: {error}")))?;
    if !facts.is_ca {
        return Err(CaError::caller("given certificate is not a CA certificate").into());
    }
    if !facts.is_self_issued() {
        return Err(CaError::caller("given certificate is not self-issued").into());
    }
    if !facts.is_signed_by(&facts) {
        return Err(
            CaError::caller("error verifying certificate: its signature does not verify under its own key").into()
        );
    }
    let authority = engine.authority().await?;
    let (issuer, key) = signer(&engine, &call, &request.issuer_ref).await?;
    if request.require_matching_certificate_algorithms.0 {
        let kind = crate::public_key::PublicKey::parse(&facts.public_key).map_err(CaError::from)?.kind();
        let own = key.public_key()?.kind();
        if kind.name() != own.name() {
            return Err(CaError::Caller(format!(
                "request public key algorithm {} does not match that of the issuer, {}",
                kind.name(),
                own.name()
            ))
            .into());
        }
    }
    let mut bound = issuer.bound();
    if bound.behavior == LeafNotAfter::Err {
        bound.behavior = LeafNotAfter::Truncate;
    }
    let approved = Approved::self_issued(&facts, bound)?;
    let requester = super::requester(&call);
    let urls = authority.urls_of(&issuer)?;
    let record = Some(Record { role: "", requester: &requester, ledger: None });
    let signing = Signing { issuer: Some(&issuer), issuer_id: &issuer.record.id, key: &key, urls: &urls, record };
    let certificate = engine.sign(approved, signing).await?;
    Response::data(&SelfIssuedResponse {
        certificate: pem::encode(pem::CERTIFICATE, certificate.der()),
        issuing_ca: pem::encode(pem::CERTIFICATE, &issuer.facts.der),
    })
}
