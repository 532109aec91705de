//! `root/generate/:type`, `issuers/generate/root/:type`, `root/sign-intermediate`, `root`.

use super::fields::{AuthorityFields, Format};
use crate::{
    CertificateAuthority,
    approve::{Applicant, Approved},
    csr::Csr,
    error::CaError,
    issuance::{Record, Signing},
    issuer::Issuer,
    key::KeyRecord,
    signature::SignatureAlgorithm,
    urls,
    validity::{self, LeafNotAfter},
};
use chancery_engine::{Call, Fault, Response};
use serde::Serialize;
use std::sync::Arc;

#[derive(Serialize)]
struct RootResponse {
    certificate: String,
    expiration: i64,
    issuer_id: String,
    issuer_name: String,
    issuing_ca: String,
    key_id: String,
    key_name: String,
    serial_number: String,
}

#[derive(Serialize)]
struct SignIntermediateResponse {
    ca_chain: Vec<String>,
    certificate: String,
    expiration: i64,
    issuing_ca: String,
    serial_number: String,
}

/// A key of this mount: a fresh one of the HSM, or one that is there (`existing`).
pub(crate) async fn key_for(
    engine: &CertificateAuthority,
    kind: &str,
    request: &AuthorityFields,
) -> Result<KeyRecord, CaError> {
    match kind {
        "internal" => {}
        "existing" => {
            let authority = engine.authority().await?;
            let reference = if request.key_ref.0.is_empty() { "default" } else { &request.key_ref.0 };
            return authority.key(reference).map(|key| key.as_ref().clone()).map_err(CaError::in_parameter);
        }
        "exported" | "kms" => {
            return Err(CaError::Caller(format!(
                "keys of type {kind:?} are not offered: CA keys are generated in the HSM and do not leave it; use \"internal\" or \"existing\""
            )));
        }
        _ => {
            return Err(CaError::caller(
                "the \"exported\" path parameter must be \"internal\", \"existing\", exported\" or \"kms\"",
            ));
        }
    }
    super::check_name("key", &request.key_name.0)?;
    if !request.key_name.0.is_empty() && engine.authority().await?.key(&request.key_name.0).is_ok() {
        return Err(CaError::caller("key name already in use"));
    }
    let algorithm = crate::key::algorithm(&request.key_type.0, request.key_bits.0)?;
    let id = uuid::Uuid::new_v4().to_string();
    engine.custody.generate(id, request.key_name.0.clone(), algorithm).await
}

/// A new root, signed by its own key.
pub(crate) async fn generate(engine: Arc<CertificateAuthority>, call: Call) -> Result<Response, Fault> {
    let request: AuthorityFields = call.parse()?;
    let format = Format::parse(&request.format)?;
    super::check_name("issuer", &request.issuer_name.0)?;
    let authority = engine.authority().await?;
    if !request.issuer_name.0.is_empty() && authority.issuer(&request.issuer_name.0).is_ok() {
        return Err(CaError::caller("issuer name already in use").into());
    }
    let asked = request.asked()?;
    let mount = super::mount_ttl(&call.mount);
    let (validity, mut warnings) = validity::decide(&request.role()?, &asked.validity, mount, None, engine.now())?;
    let terms = request.terms()?;
    let key = key_for(&engine, call.captures.text("exported"), &request).await?;
    let public_key = key.public_key()?;
    let (approved, more) =
        Approved::authority(Applicant::Generated(&public_key), &asked, &request.subject(), terms, validity)?;
    let id = uuid::Uuid::new_v4().to_string();
    let requester = super::requester(&call);
    let signing = Signing {
        issuer: None,
        issuer_id: &id,
        key: &key,
        urls: &authority.url_settings.urls,
        record: Some(Record { role: "", requester: &requester }),
    };
    let certificate = engine.sign(approved, signing).await?;
    let mut issuer = Issuer::new(id, request.issuer_name.0.clone(), key.id.clone(), certificate.der().to_vec())?;
    let algorithm = SignatureAlgorithm::choose(key.reference.algorithm, request.signature())?;
    issuer.record.revocation_signature_algorithm = algorithm.wire_name().to_owned();
    adopt(&engine, &issuer, &key).await?;
    warnings.extend(publish(&engine, &issuer).await);
    if request.common_name.0.is_empty() {
        warnings.push("This issuer certificate was generated without a Subject; this makes it likely that issuing leaf certs with this certificate will cause TLS validation libraries to reject this certificate.".to_owned());
    }
    warnings.extend(missing_urls(&authority.url_settings.urls));
    warnings.extend(more);
    warnings.extend(crate::custody::warning(&key));
    let rendered = format.render(certificate.der());
    let response = RootResponse {
        certificate: rendered.clone(),
        expiration: certificate.validity().not_after.as_second(),
        issuer_id: issuer.record.id,
        issuer_name: issuer.record.name,
        issuing_ca: rendered,
        key_id: key.id,
        key_name: key.name,
        serial_number: certificate.serial().to_string(),
    };
    let mut answer = Response::data(&response)?;
    answer.warnings = warnings;
    Ok(answer)
}

async fn adopt(engine: &CertificateAuthority, issuer: &Issuer, key: &KeyRecord) -> Result<(), CaError> {
    engine
        .change("generate root", |draft| {
            let name = &issuer.record.name;
            if !name.is_empty() && draft.authority().issuer(name).is_ok() {
                return Err(CaError::caller("issuer name already in use"));
            }
            draft.put_key(key.clone());
            draft.put_issuer(issuer.clone());
            Ok(())
        })
        .await
}

/// A new issuer starts with an empty CRL. Without one it still works, so a failure is a warning.
pub(crate) async fn publish(engine: &CertificateAuthority, issuer: &Issuer) -> Option<String> {
    let result = match engine.authority().await {
        Ok(authority) => engine.publish(&authority, &issuer.record.id, None).await,
        Err(error) => Err(error),
    };
    result.err().map(|error| {
        tracing::warn!(%error, issuer = issuer.record.id, "the first CRL of an issuer could not be built yet");
        "the CRL of the new issuer could not be built; it will be tried again".to_owned()
    })
}

pub(crate) fn missing_urls(urls: &urls::Urls) -> Option<String> {
    urls.is_empty().then(|| urls::MISSING.to_owned())
}

/// `root/sign-intermediate`, `issuer/:issuer_ref/sign-intermediate`
pub(crate) async fn sign_intermediate(engine: Arc<CertificateAuthority>, call: Call) -> Result<Response, Fault> {
    let request: AuthorityFields = call.parse()?;
    let format = Format::parse(&request.format)?;
    let csr = Csr::from_pem(&request.csr.0)?;
    let asked = request.asked()?;
    let authority = engine.authority().await?;
    let reference = match call.captures.text("issuer_ref") {
        "" => crate::authority::DEFAULT,
        stated => stated,
    };
    let (issuer, key) = authority.issuing(reference)?;
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
    if request.use_csr_values.0 {
        terms.subject = Some(csr.subject().to_vec());
        terms.names = Some(csr.names().clone());
    }
    let (approved, more) = Approved::authority(Applicant::Csr(&csr), &asked, &request.subject(), terms, validity)?;
    let requester = super::requester(&call);
    let urls = issuer.record.urls.or(&authority.url_settings.urls);
    let record = Some(Record { role: "", requester: &requester });
    let signing = Signing { issuer: Some(&issuer), issuer_id: &issuer.record.id, key: &key, urls, record };
    let certificate = engine.sign(approved, signing).await?;
    warnings.splice(0..0, missing_urls(urls));
    warnings.extend(more);
    let above = format.render_chain(&authority.chain(&issuer));
    let rendered = format.render(certificate.der());
    let mut ca_chain = vec![rendered.clone()];
    ca_chain.extend(above.clone());
    let response = SignIntermediateResponse {
        certificate: format.bundle(rendered, &above),
        ca_chain,
        expiration: certificate.validity().not_after.as_second(),
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

/// `DELETE root`: every issuer and every key.
pub(crate) async fn delete(engine: Arc<CertificateAuthority>, _call: Call) -> Result<Response, Fault> {
    let keys = engine
        .change("delete root", |draft| {
            let keys: Vec<_> = draft.authority().keys.values().cloned().collect();
            let issuers: Vec<String> = draft.authority().issuers.keys().cloned().collect();
            for id in issuers {
                draft.remove_issuer(&id);
            }
            for key in &keys {
                draft.remove_key(&key.id);
            }
            Ok(keys)
        })
        .await?;
    engine.custody.destroy_all(&keys).await?;
    Ok(Response::empty().warn("DELETE /root deletes all keys and issuers; prefer the new DELETE /key/:key_ref and DELETE /issuer/:issuer_ref for finer granularity, unless removal of all keys and issuers is desired."))
}
