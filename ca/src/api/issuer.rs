//! `issuer/:issuer_ref` and what can be fetched below it.

use crate::{
    CertificateAuthority,
    authority::Authority,
    error::CaError,
    issuer::{Issuer, IssuerRecord, Usage, UsageSet},
    pem,
    signature::SignatureAlgorithm,
    urls::Urls,
    validity::LeafNotAfter,
};
use chancery_engine::{
    Call, Fault, Response,
    wire::{CommaList, Flag, Text},
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

#[derive(Serialize)]
struct IssuerResponse<'a> {
    ca_chain: Vec<String>,
    certificate: String,
    #[serde(flatten)]
    urls: &'a Urls,
    /// Only where there are URLs of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    enable_aia_url_templating: Option<bool>,
    issuer_id: &'a str,
    issuer_name: &'a str,
    key_id: &'a str,
    leaf_not_after_behavior: LeafNotAfter,
    /// Null where it is empty.
    manual_chain: Option<&'a [String]>,
    revocation_signature_algorithm: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    revocation_time: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revocation_time_rfc3339: Option<String>,
    revoked: bool,
    usage: String,
}

#[derive(Serialize)]
struct JsonResponse<'a> {
    ca_chain: Vec<String>,
    certificate: String,
    issuer_id: &'a str,
    issuer_name: &'a str,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct UpdateRequest {
    issuer_name: Option<Text>,
    leaf_not_after_behavior: Option<Text>,
    manual_chain: Option<CommaList>,
    usage: Option<CommaList>,
    revocation_signature_algorithm: Option<Text>,
    issuing_certificates: Option<CommaList>,
    crl_distribution_points: Option<CommaList>,
    delta_crl_distribution_points: Option<CommaList>,
    ocsp_servers: Option<CommaList>,
    enable_aia_url_templating: Option<Flag>,
}

fn reference(call: &Call) -> &str {
    call.captures.text("issuer_ref")
}

fn chain(authority: &Authority, issuer: &Arc<Issuer>) -> Vec<String> {
    authority.chain(issuer).iter().map(|issuer| pem::encode_line(pem::CERTIFICATE, &issuer.facts.der)).collect()
}

pub(crate) fn render(authority: &Authority, issuer: &Arc<Issuer>) -> Result<Response, Fault> {
    let IssuerRecord { id, name, key_id, manual_chain, usage, revoked_at, .. } = &issuer.record;
    Response::data(&IssuerResponse {
        ca_chain: chain(authority, issuer),
        certificate: pem::encode_line(pem::CERTIFICATE, &issuer.facts.der),
        urls: &issuer.record.urls,
        enable_aia_url_templating: (!issuer.record.urls.is_empty()).then_some(issuer.record.enable_aia_url_templating),
        issuer_id: id,
        issuer_name: name,
        key_id,
        leaf_not_after_behavior: issuer.record.leaf_not_after_behavior,
        manual_chain: (!manual_chain.is_empty()).then_some(manual_chain),
        revocation_signature_algorithm: &issuer.record.revocation_signature_algorithm,
        revocation_time: revoked_at.map(|at| at.as_second()),
        revocation_time_rfc3339: revoked_at.map(|at| at.to_string()),
        revoked: revoked_at.is_some(),
        usage: usage.to_string(),
    })
}

/// `GET issuer/:issuer_ref`
pub(crate) async fn read(engine: Arc<CertificateAuthority>, call: Call) -> Result<Response, Fault> {
    let authority = engine.authority().await?;
    // Clients tell an issuer that is gone by this status (hvac's tests assert it).
    let issuer = authority.issuer(reference(&call)).map_err(|error| Fault::Internal(error.to_string()))?;
    render(&authority, issuer)
}

/// `POST issuer/:issuer_ref`: what is not stated falls back to its default.
pub(crate) async fn write(engine: Arc<CertificateAuthority>, call: Call) -> Result<Response, Fault> {
    update(&engine, &call, true).await
}

/// `PATCH issuer/:issuer_ref`: what is not stated stays.
pub(crate) async fn patch(engine: Arc<CertificateAuthority>, call: Call) -> Result<Response, Fault> {
    update(&engine, &call, false).await
}

async fn update(engine: &CertificateAuthority, call: &Call, replaces: bool) -> Result<Response, Fault> {
    let request: UpdateRequest = call.parse()?;
    let id = engine
        .change("update issuer", |draft| {
            let authority = draft.authority();
            let issuer = authority.issuer(reference(call))?;
            let mut changed = issuer.as_ref().clone();
            request.apply(authority, &mut changed, replaces)?;
            let id = changed.record.id.clone();
            draft.put_issuer(changed);
            Ok(id)
        })
        .await?;
    let authority = engine.authority().await?;
    let issuer = authority.issuer(&id)?;
    let mut answer = render(&authority, issuer)?;
    answer.warnings.extend(authority.urls_of(issuer).err().map(|error| crate::urls::cannot_fill(&error)));
    Ok(answer)
}

impl UpdateRequest {
    fn apply(&self, authority: &Authority, issuer: &mut Issuer, replaces: bool) -> Result<(), CaError> {
        let signs_crls = issuer.facts.may_sign_crls;
        let record = &mut issuer.record;
        let text = |stated: &Option<Text>, present: &str| match stated {
            Some(text) => text.0.clone(),
            None if replaces => String::new(),
            None => present.to_owned(),
        };
        let list = |stated: &Option<CommaList>, present: &[String]| match stated {
            Some(list) => list.0.clone(),
            None if replaces => Vec::new(),
            None => present.to_vec(),
        };
        if replaces && self.issuer_name.as_ref().is_some_and(|name| name.0.is_empty()) {
            return Err(CaError::caller("expected non-empty issuer name"));
        }
        let name = text(&self.issuer_name, &record.name);
        super::check_name("issuer", &name)?;
        if !name.is_empty() && authority.issuer(&name).is_ok_and(|other| other.record.id != record.id) {
            return Err(CaError::caller("issuer name already in use"));
        }
        record.name = name;
        record.leaf_not_after_behavior = match self.leaf_not_after_behavior.as_ref().map(|text| text.0.as_str()) {
            Some("err") => LeafNotAfter::Err,
            Some("truncate") => LeafNotAfter::Truncate,
            Some("permit") => LeafNotAfter::Permit,
            Some(_) => {
                return Err(CaError::caller(
                    "Unknown value for field `leaf_not_after_behavior`. Possible values are `err`, `truncate`, and `permit`.",
                ));
            }
            None if replaces => LeafNotAfter::Err,
            None => record.leaf_not_after_behavior,
        };
        match &self.usage {
            Some(names) => {
                let names: Vec<String> = names.0.iter().filter(|name| !name.is_empty()).cloned().collect();
                let usage = UsageSet::parse(&names)?;
                if usage.has(Usage::CrlSigning) && !signs_crls {
                    return Err(CaError::caller(
                        "This issuer's underlying certificate lacks the CRLSign KeyUsage value; unable to set CRLSigningUsage on this issuer as a result.",
                    ));
                }
                record.usage = usage;
            }
            None if replaces => record.usage = UsageSet::of(signs_crls),
            None => {}
        }
        let algorithm = text(&self.revocation_signature_algorithm, &record.revocation_signature_algorithm);
        record.revocation_signature_algorithm = revocation_algorithm(&algorithm, authority, record)?;
        let urls = Urls {
            issuing_certificates: list(&self.issuing_certificates, &record.urls.issuing_certificates),
            crl_distribution_points: list(&self.crl_distribution_points, &record.urls.crl_distribution_points),
            delta_crl_distribution_points: list(
                &self.delta_crl_distribution_points,
                &record.urls.delta_crl_distribution_points,
            ),
            ocsp_servers: list(&self.ocsp_servers, &record.urls.ocsp_servers),
        };
        match self.enable_aia_url_templating {
            Some(flag) => record.enable_aia_url_templating = flag.0,
            None if replaces => record.enable_aia_url_templating = false,
            None => {}
        }
        if !record.enable_aia_url_templating {
            urls.check()?;
        }
        record.urls = urls;
        let references = list(&self.manual_chain, &record.manual_chain);
        let ids = references.iter().map(|reference| {
            authority.issuer(reference).map(|issuer| issuer.record.id.clone()).map_err(CaError::in_parameter)
        });
        record.manual_chain = ids.collect::<Result<_, _>>()?;
        Ok(())
    }
}

fn revocation_algorithm(name: &str, authority: &Authority, record: &IssuerRecord) -> Result<String, CaError> {
    if name.is_empty() {
        return Ok(String::new());
    }
    let algorithm = SignatureAlgorithm::by_wire_name(name)?;
    if let Some(key) = authority.keys.get(&record.key_id)
        && !algorithm.scheme.fits(key.reference.algorithm)
    {
        return Err(CaError::Caller(format!(
            "revocation_signature_algorithm {name} does not fit the issuer's key of type {}",
            key.reference.algorithm
        )));
    }
    Ok(algorithm.wire_name().to_owned())
}

/// `DELETE issuer/:issuer_ref`. The key stays.
pub(crate) async fn delete(engine: Arc<CertificateAuthority>, call: Call) -> Result<Response, Fault> {
    let reference = reference(&call);
    let warnings = engine
        .change("delete issuer", |draft| {
            let Ok(issuer) = draft.authority().issuer(reference) else { return Ok(Vec::new()) };
            let id = issuer.record.id.clone();
            let mut warnings = Vec::new();
            if draft.remove_issuer(&id) {
                warnings.push(format!("Deleted issuer {id} (via issuer_ref {reference}); this was configured as the default issuer. Operations without an explicit issuer will not work until a new default is configured."));
            }
            Ok(warnings)
        })
        .await?;
    let mut answer = Response::empty();
    answer.warnings = warnings;
    Ok(answer)
}

/// `issuer/:issuer_ref/json`; public.
pub(crate) async fn json(engine: Arc<CertificateAuthority>, call: Call) -> Result<Response, Fault> {
    let authority = engine.authority().await?;
    let issuer = authority.issuer(reference(&call))?;
    Response::data(&JsonResponse {
        ca_chain: chain(&authority, issuer),
        certificate: pem::encode_line(pem::CERTIFICATE, &issuer.facts.der),
        issuer_id: &issuer.record.id,
        issuer_name: &issuer.record.name,
    })
}

/// `issuer/:issuer_ref/pem`; public.
pub(crate) async fn pem(engine: Arc<CertificateAuthority>, call: Call) -> Result<Response, Fault> {
    let authority = engine.authority().await?;
    let issuer = authority.issuer(reference(&call))?;
    let text = pem::encode_line(pem::CERTIFICATE, &issuer.facts.der);
    Ok(Response::raw("application/pem-certificate-chain", text.into_bytes()))
}

/// `issuer/:issuer_ref/der`; public.
pub(crate) async fn der(engine: Arc<CertificateAuthority>, call: Call) -> Result<Response, Fault> {
    let authority = engine.authority().await?;
    let issuer = authority.issuer(reference(&call))?;
    Ok(Response::raw("application/pkix-cert", issuer.facts.der.clone()))
}
