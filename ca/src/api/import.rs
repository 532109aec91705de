//! `issuers/import/cert`, `issuers/import/bundle`, `config/ca`, `keys/import`: CAs and keys made elsewhere.
//!
//! A private key that comes in a bundle lives in its sealed record, never in the HSM, and the answer says what that costs.

use super::keys;
use crate::{
    CertificateAuthority,
    authority::Draft,
    bundle::{self, Bundle},
    custody::{self, Custody, Outside},
    error::CaError,
    issuer::Issuer,
    key::KeyRecord,
    private_key::PrivateKey,
};
use chancery_engine::{Call, Fault, Response, wire::Text};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc};

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ImportRequest {
    pem_bundle: Text,
    certificate: Text,
    key_name: Text,
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

impl ImportRequest {
    fn text(&self) -> &str {
        if self.pem_bundle.0.is_empty() { &self.certificate.0 } else { &self.pem_bundle.0 }
    }
}

/// `issuers/import/cert`: certificates, whose keys may be here already.
pub(crate) async fn import_certificates(engine: Arc<CertificateAuthority>, call: Call) -> Result<Response, Fault> {
    let request: ImportRequest = call.parse()?;
    import_bundle(&engine, request.text(), false).await
}

/// `issuers/import/bundle`, `config/ca`: certificates and private keys.
pub(crate) async fn import(engine: Arc<CertificateAuthority>, call: Call) -> Result<Response, Fault> {
    let request: ImportRequest = call.parse()?;
    import_bundle(&engine, request.text(), true).await
}

pub(crate) async fn import_bundle(
    engine: &CertificateAuthority,
    text: &str,
    may_hold_keys: bool,
) -> Result<Response, Fault> {
    let bundle = Bundle::read(text)?;
    if !may_hold_keys && !bundle.keys.is_empty() {
        return Err(CaError::caller(
            "private keys found in the PEM bundle but not allowed by the path; use /issuers/import/bundle",
        )
        .into());
    }
    let bundle = &bundle;
    let response = engine.change("import issuers", move |draft| import_all(draft, bundle)).await?;
    let authority = engine.authority().await?;
    let mut warnings = Vec::new();
    for id in response.imported_issuers.iter().flatten() {
        if let Some(issuer) = authority.issuers.get(id) {
            warnings.extend(super::root::publish(engine, issuer).await);
        }
    }
    warnings.extend(super::root::missing_urls(&authority));
    let imported = response.imported_keys.iter().flatten().find_map(|id| authority.keys.get(id));
    warnings.extend(imported.and_then(|key| custody::warning(key, Outside::Imported)));
    let mut answer = Response::data(&response)?;
    answer.warnings = warnings;
    Ok(answer)
}

fn import_all(draft: &mut Draft, bundle: &Bundle) -> Result<ImportResponse, CaError> {
    let mut response = ImportResponse::default();
    for key in &bundle.keys {
        let (record, is_new) = import_key(draft, key, "");
        let list = if is_new { &mut response.imported_keys } else { &mut response.existing_keys };
        push(list, record.id);
    }
    for facts in &bundle.certificates {
        let known = draft.authority().issuers.values().find(|issuer| issuer.facts.der == facts.der).cloned();
        let (list, issuer) = match known {
            Some(issuer) => (&mut response.existing_issuers, issuer),
            None => {
                let key_id = key_of(draft, &facts.public_key).map(|key| key.id.clone()).unwrap_or_default();
                let id = uuid::Uuid::new_v4().to_string();
                let issuer = Issuer::new(id, String::new(), key_id, facts.der.clone())?;
                draft.put_issuer(issuer.clone());
                (&mut response.imported_issuers, Arc::new(issuer))
            }
        };
        push(list, issuer.record.id.clone());
        response.mapping.insert(issuer.record.id.clone(), issuer.record.key_id.clone());
    }
    Ok(response)
}

fn push(list: &mut Option<Vec<String>>, id: String) {
    let ids = list.get_or_insert_default();
    if !ids.contains(&id) {
        ids.push(id);
    }
}

fn key_of<'a>(draft: &'a Draft, public_key: &[u8]) -> Option<&'a Arc<KeyRecord>> {
    draft.authority().keys.values().find(|key| key.reference.public_key.as_deref() == Some(public_key))
}

/// Adds a key unless it is here, and gives it to the issuers that waited for it. Says whether it is new.
fn import_key(draft: &mut Draft, key: &PrivateKey, name: &str) -> (KeyRecord, bool) {
    if let Some(known) = key_of(draft, key.public_key().der()) {
        return (known.as_ref().clone(), false);
    }
    let record = Custody::keep(uuid::Uuid::new_v4().to_string(), name.to_owned(), key);
    draft.put_key(record.clone());
    let waiting: Vec<Arc<Issuer>> = draft
        .authority()
        .issuers
        .values()
        .filter(|issuer| issuer.record.key_id.is_empty() && issuer.facts.public_key == key.public_key().der())
        .cloned()
        .collect();
    for issuer in waiting {
        let mut issuer = issuer.as_ref().clone();
        issuer.record.key_id.clone_from(&record.id);
        draft.put_issuer(issuer);
    }
    (record, true)
}

/// `keys/import`: one private key.
pub(crate) async fn import_one_key(engine: Arc<CertificateAuthority>, call: Call) -> Result<Response, Fault> {
    let request: ImportRequest = call.parse()?;
    let name = &request.key_name.0;
    super::check_name("key", name)?;
    let key = bundle::single_key(request.text())?;
    let key = &key;
    let (record, is_new) = engine
        .change("import key", move |draft| {
            if !name.is_empty() && draft.authority().key(name).is_ok() {
                return Err(CaError::caller("key name already in use"));
            }
            Ok(import_key(draft, key, name))
        })
        .await?;
    let mut answer = keys::render(&record, None, None)?;
    if is_new {
        answer.warnings.extend(custody::warning(&record, Outside::Imported));
    } else {
        answer.warnings.push("Key already imported, use key/ endpoint to update name.".to_owned());
    }
    Ok(answer)
}
