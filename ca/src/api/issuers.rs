//! `issuers`, `config/issuers`.

use crate::{CertificateAuthority, error::CaError, settings::IssuerSettings};
use chancery_engine::{
    Call, Fault, Response,
    wire::{Flag, Text},
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc};

#[derive(Serialize)]
struct ListResponse {
    keys: Vec<String>,
    key_info: BTreeMap<String, IssuerInfo>,
}

#[derive(Serialize)]
struct IssuerInfo {
    is_default: bool,
    issuer_name: String,
    key_id: String,
    serial_number: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ConfigRequest {
    default: Text,
    default_follows_latest_issuer: Option<Flag>,
}

/// `LIST issuers`; public.
pub(crate) async fn list(engine: Arc<CertificateAuthority>, _call: Call) -> Result<Response, Fault> {
    let authority = engine.authority().await?;
    if authority.issuers.is_empty() {
        return Err(Fault::Absent);
    }
    let info = |issuer: &crate::issuer::Issuer| IssuerInfo {
        is_default: issuer.record.id == authority.issuer_settings.default,
        issuer_name: issuer.record.name.clone(),
        key_id: issuer.record.key_id.clone(),
        serial_number: issuer.facts.serial.to_string(),
    };
    let key_info = authority.issuers.iter().map(|(id, issuer)| (id.clone(), info(issuer))).collect();
    Response::data(&ListResponse { keys: authority.issuers.keys().cloned().collect(), key_info })
}

/// `GET config/issuers`
pub(crate) async fn read_config(engine: Arc<CertificateAuthority>, _call: Call) -> Result<Response, Fault> {
    Response::data(&engine.authority().await?.issuer_settings)
}

/// `POST config/issuers`
pub(crate) async fn write_config(engine: Arc<CertificateAuthority>, call: Call) -> Result<Response, Fault> {
    let request: ConfigRequest = call.parse()?;
    if request.default.0.is_empty() || request.default.0 == crate::authority::DEFAULT {
        return Err(CaError::caller("Invalid issuer specification; must be non-empty and can't be 'default'.").into());
    }
    let settings: IssuerSettings = engine
        .change("config/issuers", |draft| {
            let issuer = draft.authority().issuer(&request.default.0);
            let id = issuer
                .map(|issuer| issuer.record.id.clone())
                .map_err(|error| CaError::Caller(format!("Error resolving issuer reference: {error}")))?;
            let settings = draft.issuer_settings();
            settings.default = id;
            if let Some(follows) = request.default_follows_latest_issuer {
                settings.default_follows_latest_issuer = follows.0;
            }
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
