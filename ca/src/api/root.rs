//! `root/generate/:type`, `issuers/generate/root/:type`, `root/rotate/:type`, `root/replace`, `root`.

use super::{
    fields::{self, AuthorityFields, Format},
    key_choice::{self, ChosenKey},
};
use crate::{
    CertificateAuthority,
    approve::{Applicant, Approved},
    authority::{Authority, Draft},
    error::CaError,
    issuance::{Certificate, Record, Signing},
    issuer::Issuer,
    key::KeyRecord,
    publication::{CrlScope, Need},
    settings::IssuerSettings,
    signature::SignatureAlgorithm,
    urls,
    validity::{self, Validity, written_second},
};
use chancery_engine::{Call, Fault, Response, SecretString, wire::Text};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The name a rotated root gets where none is given, and the one `root/replace` looks for.
const NEXT: &str = "next";

#[derive(Serialize)]
struct RootResponse {
    certificate: String,
    expiration: i64,
    issuer_id: String,
    issuer_name: String,
    issuing_ca: String,
    key_id: String,
    key_name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    private_key: Option<SecretString>,
    #[serde(skip_serializing_if = "Option::is_none")]
    private_key_type: Option<&'static str>,
    serial_number: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ReplaceRequest {
    default: Option<Text>,
}

/// `root/generate/:type`: a new root, signed by its own key.
pub(crate) async fn generate(engine: Arc<CertificateAuthority>, call: Call) -> Result<Response, Fault> {
    let request: AuthorityFields = call.parse()?;
    let name = request.issuer_name.0.clone();
    make(&engine, &call, &request, name).await
}

/// `root/rotate/:type`: the same beside the present root, which stays the default until `root/replace`.
pub(crate) async fn rotate(engine: Arc<CertificateAuthority>, call: Call) -> Result<Response, Fault> {
    let request: AuthorityFields = call.parse()?;
    let mut name = request.issuer_name.0.clone();
    if name.is_empty() && engine.authority().await?.issuer(NEXT).is_err() {
        NEXT.clone_into(&mut name);
    }
    make(&engine, &call, &request, name).await
}

async fn make(
    engine: &CertificateAuthority,
    call: &Call,
    request: &AuthorityFields,
    name: String,
) -> Result<Response, Fault> {
    let format = Format::parse(&request.format)?;
    super::check_name("issuer", &name)?;
    let authority = engine.authority().await?;
    if !name.is_empty() && authority.issuer(&name).is_ok() {
        return Err(CaError::caller("issuer name already in use").into());
    }
    let mount = super::mount_ttl(&call.mount);
    let (validity, mut warnings) =
        validity::decide(&request.role()?, &request.asked()?.validity, mount, None, engine.now())?;
    request.note_ignored_in_roots(call, true);
    // What is wrong with the request is told before a key is made for it.
    request.terms()?;
    request.asked()?.alternative_names()?;
    let key = key_choice::choose(engine, call.captures.text("exported"), request).await?;
    let made = sign(engine, call, request, (&key.record, name, validity)).await;
    let (issuer, certificate, more) = key.keep_if(engine, made).await?;
    warnings.extend(publish(engine, &issuer).await);
    if request.common_name.0.is_empty() {
        warnings.push("This issuer certificate was generated without a Subject; this makes it likely that issuing leaf certs with this certificate will cause TLS validation libraries to reject this certificate.".to_owned());
    }
    warnings.extend(missing_urls(&authority));
    warnings.extend(more);
    warnings.extend(key.warning());
    let mut answer = Response::data(&render(request, format, (&key, issuer), &certificate)?)?;
    answer.warnings = warnings;
    Ok(answer)
}

type Made = (Issuer, Certificate, Vec<String>);

async fn sign(
    engine: &CertificateAuthority,
    call: &Call,
    request: &AuthorityFields,
    (key, name, validity): (&KeyRecord, String, Validity),
) -> Result<Made, CaError> {
    let authority = engine.authority().await?;
    let public_key = key.public_key()?;
    let applicant = Applicant::Generated(&public_key);
    let (approved, warnings) =
        Approved::authority(applicant, &request.asked()?, &request.subject(), request.terms()?, validity)?;
    let warnings =
        warnings.into_iter().map(|text| text.replace("signed certificate", "generated certificate")).collect();
    let id = uuid::Uuid::new_v4().to_string();
    let requester = super::requester(call);
    let urls = authority.mount_urls(&id)?;
    let record = Some(Record { role: "", requester: &requester, ledger: None });
    let signing = Signing { issuer: None, issuer_id: &id, key, urls: &urls, record };
    let certificate = engine.sign(approved, signing).await?;
    let mut issuer = Issuer::new(id, name, key.id.clone(), certificate.der().to_vec())?;
    let algorithm = SignatureAlgorithm::choose(key.reference.algorithm, request.signature())?;
    issuer.record.revocation_signature_algorithm = algorithm.wire_name().to_owned();
    adopt(engine, &issuer, key).await?;
    Ok((issuer, certificate, warnings))
}

fn render(
    request: &AuthorityFields,
    format: Format,
    (key, issuer): (&ChosenKey, Issuer),
    certificate: &Certificate,
) -> Result<RootResponse, CaError> {
    let private = key.private.as_ref();
    let private_key =
        private.map(|private| fields::render_key(private, format, &request.private_key_format)).transpose()?;
    let issuing_ca = format.render(certificate.der());
    Ok(RootResponse {
        certificate: format.with_key(issuing_ca.clone(), private_key.as_ref()),
        expiration: written_second(certificate.validity().not_after),
        issuer_id: issuer.record.id,
        issuer_name: issuer.record.name,
        issuing_ca,
        key_id: key.record.id.clone(),
        key_name: key.record.name.clone(),
        private_key_type: private.map(crate::private_key::PrivateKey::kind),
        private_key,
        serial_number: certificate.serial().to_string(),
    })
}

async fn adopt(engine: &CertificateAuthority, issuer: &Issuer, key: &KeyRecord) -> Result<(), CaError> {
    engine
        .change("generate root", |draft| {
            let name = &issuer.record.name;
            if !name.is_empty() && draft.authority().issuer(name).is_ok() {
                return Err(CaError::caller("issuer name already in use"));
            }
            adopt_key(draft, key)?;
            draft.put_issuer(issuer.clone());
            Ok(())
        })
        .await
}

/// Records a key unless somebody else took its name meanwhile.
pub(crate) fn adopt_key(draft: &mut Draft, key: &KeyRecord) -> Result<(), CaError> {
    if !key.name.is_empty() && draft.authority().key(&key.name).is_ok_and(|other| other.id != key.id) {
        return Err(CaError::caller("key name already in use"));
    }
    draft.put_key(key.clone());
    Ok(())
}

/// A new issuer starts with an empty CRL. Without one it still works, so a failure is a warning.
pub(crate) async fn publish(engine: &CertificateAuthority, issuer: &Issuer) -> Option<String> {
    let result = engine.publish(&issuer.record.id, CrlScope::Complete, Need::Renewal).await;
    result.err().map(|error| {
        tracing::warn!(%error, issuer = issuer.record.id, "the first CRL of an issuer could not be built yet");
        "the CRL of the new issuer could not be built; it will be tried again".to_owned()
    })
}

pub(crate) fn missing_urls(authority: &Authority) -> Option<String> {
    authority.url_settings.urls.is_empty().then(|| urls::MISSING.to_owned())
}

/// `root/replace`: makes another issuer the default, the rotated root unless one is named.
pub(crate) async fn replace(engine: Arc<CertificateAuthority>, call: Call) -> Result<Response, Fault> {
    let request: ReplaceRequest = call.parse()?;
    let reference = request.default.map_or_else(|| NEXT.to_owned(), |text| text.0);
    set_default(&engine, &reference, None).await
}

/// Makes `reference` the default issuer.
pub(crate) async fn set_default(
    engine: &CertificateAuthority,
    reference: &str,
    follows_latest: Option<bool>,
) -> Result<Response, Fault> {
    if reference.is_empty() || reference == crate::authority::DEFAULT {
        return Err(CaError::caller("Invalid issuer specification; must be non-empty and can't be 'default'.").into());
    }
    let settings: IssuerSettings = engine
        .change("config/issuers", |draft| {
            let issuer = draft.authority().issuer(reference);
            let id = issuer
                .map(|issuer| issuer.record.id.clone())
                .map_err(|error| CaError::Caller(format!("Error resolving issuer reference: {error}")))?;
            let settings = draft.issuer_settings();
            settings.default = id;
            settings.default_follows_latest_issuer = follows_latest.unwrap_or(settings.default_follows_latest_issuer);
            Ok(settings.clone())
        })
        .await?;
    let authority = engine.authority().await?;
    let answer = Response::data(&settings)?;
    let has_key = authority.issuers.get(&settings.default).is_some_and(|issuer| !issuer.record.key_id.is_empty());
    Ok(if has_key {
        answer
    } else {
        answer.warn("This selected default issuer has no key associated with it. Some operations like issuing certificates and signing CRLs will be unavailable with the requested default issuer until a key is imported or the default issuer is changed.")
    })
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
