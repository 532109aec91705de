//! `issuers`, `config/issuers`.

use super::roles::PageRequest;
use crate::CertificateAuthority;
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
pub(crate) async fn list(engine: Arc<CertificateAuthority>, call: Call) -> Result<Response, Fault> {
    let request: PageRequest = call.parse()?;
    let authority = engine.authority().await?;
    let keys = request.page(authority.issuers.keys());
    if keys.is_empty() {
        return Err(Fault::Absent);
    }
    let info = |issuer: &crate::issuer::Issuer| IssuerInfo {
        is_default: issuer.record.id == authority.issuer_settings.default,
        issuer_name: issuer.record.name.clone(),
        key_id: issuer.record.key_id.clone(),
        serial_number: issuer.facts.serial.to_string(),
    };
    let key_info = keys.iter().filter_map(|id| Some((id.clone(), info(authority.issuers.get(id)?)))).collect();
    Response::data(&ListResponse { keys, key_info })
}

/// `GET config/issuers`
pub(crate) async fn read_config(engine: Arc<CertificateAuthority>, _call: Call) -> Result<Response, Fault> {
    Response::data(&engine.authority().await?.issuer_settings)
}

/// `POST config/issuers`
pub(crate) async fn write_config(engine: Arc<CertificateAuthority>, call: Call) -> Result<Response, Fault> {
    let request: ConfigRequest = call.parse()?;
    let follows_latest = request.default_follows_latest_issuer.map(|flag| flag.0);
    super::root::set_default(&engine, &request.default.0, follows_latest).await
}
