//! `keys`, `key/:key_ref`, `keys/generate/:type`, `config/keys`.

use super::{fields::AuthorityFields, key_choice, roles::PageRequest};
use crate::{
    CertificateAuthority, error::CaError, key::KeyRecord, private_key::PrivateKeyFormat, serial::SerialNumber,
    settings::KeySettings,
};
use chancery_engine::{Call, Fault, Response, SecretString, wire::Text};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc};

#[derive(Serialize)]
struct ListResponse {
    keys: Vec<String>,
    key_info: BTreeMap<String, KeyInfo>,
}

#[derive(Serialize)]
struct KeyInfo {
    is_default: bool,
    key_name: String,
}

#[derive(Serialize)]
struct KeyResponse<'a> {
    key_id: &'a str,
    key_name: &'a str,
    key_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    private_key: Option<SecretString>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject_key_id: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct UpdateRequest {
    key_name: Text,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ConfigRequest {
    default: Text,
}

pub(crate) fn render(
    key: &KeyRecord,
    private_key: Option<SecretString>,
    subject_key_id: Option<String>,
) -> Result<Response, Fault> {
    let key_type = key.kind();
    Response::data(&KeyResponse { key_id: &key.id, key_name: &key.name, key_type, private_key, subject_key_id })
}

/// `LIST keys`
pub(crate) async fn list(engine: Arc<CertificateAuthority>, call: Call) -> Result<Response, Fault> {
    let request: PageRequest = call.parse()?;
    let authority = engine.authority().await?;
    let keys = request.page(authority.keys.keys());
    if keys.is_empty() {
        return Err(Fault::Absent);
    }
    let info =
        |key: &KeyRecord| KeyInfo { is_default: key.id == authority.key_settings.default, key_name: key.name.clone() };
    let key_info = keys.iter().filter_map(|id| Some((id.clone(), info(authority.keys.get(id)?)))).collect();
    Response::data(&ListResponse { keys, key_info })
}

/// `GET key/:key_ref`
pub(crate) async fn read(engine: Arc<CertificateAuthority>, call: Call) -> Result<Response, Fault> {
    let authority = engine.authority().await?;
    let key = authority.key(call.captures.text("key_ref"))?;
    let identifier = SerialNumber::octets(&key.public_key()?.identifier());
    render(key, None, Some(identifier))
}

/// `POST key/:key_ref`: its name.
pub(crate) async fn write(engine: Arc<CertificateAuthority>, call: Call) -> Result<Response, Fault> {
    let request: UpdateRequest = call.parse()?;
    let name = &request.key_name.0;
    super::check_name("key", name)?;
    let key = engine
        .change("update key", |draft| {
            let authority = draft.authority();
            let mut key = authority.key(call.captures.text("key_ref"))?.as_ref().clone();
            if !name.is_empty() && authority.key(name).is_ok_and(|other| other.id != key.id) {
                return Err(CaError::caller("key name already in use"));
            }
            key.name.clone_from(name);
            draft.put_key(key.clone());
            Ok(key)
        })
        .await?;
    render(&key, None, None)
}

/// `DELETE key/:key_ref`: the record, then the key in the HSM. A key that an issuer needs stays.
pub(crate) async fn delete(engine: Arc<CertificateAuthority>, call: Call) -> Result<Response, Fault> {
    let removed = engine
        .change("delete key", |draft| {
            let authority = draft.authority();
            let Ok(key) = authority.key(call.captures.text("key_ref")) else { return Ok(None) };
            let key = key.as_ref().clone();
            if let Some(issuer) = authority.issuers.values().find(|issuer| issuer.record.key_id == key.id) {
                return Err(CaError::Caller(format!(
                    "Failed to Delete Key.  Key in Use by Issuer: {}",
                    issuer.record.id
                )));
            }
            let was_default = draft.remove_key(&key.id);
            Ok(Some((key, was_default)))
        })
        .await?;
    let Some((key, was_default)) = removed else { return Ok(Response::empty()) };
    engine.custody.destroy(&key).await?;
    let answer = Response::empty();
    Ok(if was_default {
        answer.warn(format!(
            "Deleted key {} (via key_ref {}); this was configured as the default key. Operations without an explicit key will not work until a new default is configured.",
            key.id,
            call.captures.text("key_ref")
        ))
    } else {
        answer
    })
}

/// `keys/generate/:type`
pub(crate) async fn generate(engine: Arc<CertificateAuthority>, call: Call) -> Result<Response, Fault> {
    let request: AuthorityFields = call.parse()?;
    let kind = call.captures.text("exported");
    if !matches!(kind, "internal" | "exported" | "kms") {
        return Err(Fault::NotFound("unsupported path".to_owned()));
    }
    if kind == "kms" && !request.names_registered_key() {
        return Err(CaError::caller("\"external_key_ref\" is required for kms typed key generation").into());
    }
    if kind != "kms" {
        request
            .algorithm()
            .map_err(|error| CaError::Caller(format!("Validation for key_type, key_bits failed: {error}")))?;
    }
    let key = key_choice::choose(&engine, kind, &request).await?;
    let record = &key.record;
    let recorded = engine.change("generate key", move |draft| super::root::adopt_key(draft, record)).await;
    key.keep_if(&engine, recorded).await?;
    let private = key.private.as_ref().map(|private| private.to_pem(PrivateKeyFormat::Traditional)).transpose()?;
    let mut answer = render(record, private, None)?;
    answer.warnings.extend(key.warning());
    Ok(answer)
}

/// `GET config/keys`
pub(crate) async fn read_config(engine: Arc<CertificateAuthority>, _call: Call) -> Result<Response, Fault> {
    Response::data(&engine.authority().await?.key_settings)
}

/// `POST config/keys`
pub(crate) async fn write_config(engine: Arc<CertificateAuthority>, call: Call) -> Result<Response, Fault> {
    let request: ConfigRequest = call.parse()?;
    if request.default.0.is_empty() || request.default.0 == crate::authority::DEFAULT {
        return Err(CaError::caller("Invalid key specification; must be non-empty and can't be 'default'.").into());
    }
    let settings: KeySettings = engine
        .change("config/keys", |draft| {
            let key = draft.authority().key(&request.default.0);
            let id = key
                .map(|key| key.id.clone())
                .map_err(|error| CaError::Caller(format!("Error resolving issuer reference: {error}")))?;
            let settings = draft.key_settings();
            settings.default = id;
            Ok(settings.clone())
        })
        .await?;
    Response::data(&settings)
}
