//! `issuers/import/cert`, `issuers/import/bundle`, `config/ca`: certificates of CAs, whose keys may be here already.

use crate::{CertificateAuthority, authority::Draft, error::CaError, facts::CertificateFacts, issuer::Issuer, pem};
use chancery_engine::{Call, Fault, Response, wire::Text};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc};

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ImportRequest {
    pem_bundle: Text,
    certificate: Text,
}

/// Lists are null where they are empty.
#[derive(Debug, Default, Serialize)]
struct ImportResponse {
    existing_issuers: Option<Vec<String>>,
    existing_keys: Option<Vec<String>>,
    imported_issuers: Option<Vec<String>>,
    imported_keys: Option<Vec<String>>,
    mapping: BTreeMap<String, String>,
}

/// The endpoints.
pub(crate) async fn import(engine: Arc<CertificateAuthority>, call: Call) -> Result<Response, Fault> {
    let request: ImportRequest = call.parse()?;
    let text = if request.pem_bundle.0.is_empty() { &request.certificate.0 } else { &request.pem_bundle.0 };
    import_bundle(&engine, text).await
}

pub(crate) async fn import_bundle(engine: &CertificateAuthority, text: &str) -> Result<Response, Fault> {
    let certificates = read_bundle(text)?;
    let response = engine.change("import issuers", |draft| import_all(draft, &certificates)).await?;
    let authority = engine.authority().await?;
    let mut warnings = Vec::new();
    for id in response.imported_issuers.iter().flatten() {
        if let Some(issuer) = authority.issuers.get(id) {
            warnings.extend(super::root::publish(engine, issuer).await);
        }
    }
    warnings.extend(super::root::missing_urls(&authority.url_settings.urls));
    let mut answer = Response::data(&response)?;
    answer.warnings = warnings;
    Ok(answer)
}

fn read_bundle(text: &str) -> Result<Vec<CertificateFacts>, CaError> {
    if text.is_empty() {
        return Err(CaError::caller("'pem_bundle' and 'certificate' parameters were empty"));
    }
    // A path instead of a file's content is the usual mistake.
    if text.len() < 75 {
        return Err(CaError::caller(
            "provided data for import was too short; perhaps a path was passed to the API rather than the contents of a PEM file",
        ));
    }
    let blocks = pem::decode_all(text)?;
    if blocks.is_empty() {
        return Err(CaError::caller("error when parsing block 1: invalid PEM data"));
    }
    let mut certificates = Vec::new();
    for block in blocks {
        if block.label.ends_with("PRIVATE KEY") {
            return Err(CaError::caller(
                "the bundle holds a private key, which cannot be imported: CA keys are generated in the HSM and do not leave it",
            ));
        }
        let facts = CertificateFacts::parse(&block.bytes)?;
        if !facts.is_ca {
            return Err(CaError::caller("unable to import a certificate that is not a CA certificate"));
        }
        certificates.push(facts);
    }
    Ok(certificates)
}

fn import_all(draft: &mut Draft, certificates: &[CertificateFacts]) -> Result<ImportResponse, CaError> {
    let mut response = ImportResponse::default();
    for facts in certificates {
        let known = draft.authority().issuers.values().find(|issuer| issuer.facts.der == facts.der).cloned();
        let (list, issuer) = match known {
            Some(issuer) => (&mut response.existing_issuers, issuer),
            None => {
                let key = draft
                    .authority()
                    .keys
                    .values()
                    .find(|key| key.reference.public_key.as_deref() == Some(facts.public_key.as_slice()));
                let key_id = key.map(|key| key.id.clone()).unwrap_or_default();
                let id = uuid::Uuid::new_v4().to_string();
                let issuer = Issuer::new(id, String::new(), key_id, facts.der.clone())?;
                draft.put_issuer(issuer.clone());
                (&mut response.imported_issuers, Arc::new(issuer))
            }
        };
        let ids = list.get_or_insert_default();
        if !ids.contains(&issuer.record.id) {
            ids.push(issuer.record.id.clone());
        }
        response.mapping.insert(issuer.record.id.clone(), issuer.record.key_id.clone());
    }
    Ok(response)
}
