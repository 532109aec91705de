//! `config`: limits that hold for every secret of the mount.

use super::{Versioned, fault, model::duration_text};
use crate::error::KvError;
use chancery_engine::{
    Call, Fault, Response,
    wire::{Count, DurationSeconds, Flag},
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

#[derive(Deserialize)]
struct ConfigRequest {
    cas_required: Option<Flag>,
    delete_version_after: Option<DurationSeconds>,
    max_versions: Option<Count>,
    metadata_cas_required: Option<Flag>,
}

#[derive(Serialize)]
struct ConfigResponse {
    cas_required: bool,
    delete_version_after: String,
    max_versions: u64,
    metadata_cas_required: bool,
}

pub(super) async fn read(engine: Arc<Versioned>, _call: Call) -> Result<Response, Fault> {
    let config = engine.config().await.map_err(fault)?;
    Response::data(&ConfigResponse {
        cas_required: config.cas_required,
        delete_version_after: duration_text(config.delete_version_after),
        max_versions: config.max_versions,
        metadata_cas_required: config.metadata_cas_required,
    })
}

pub(super) async fn write(engine: Arc<Versioned>, call: Call) -> Result<Response, Fault> {
    let request: ConfigRequest = call.parse()?;
    let (engine, request) = (&engine, &request);
    engine
        .store
        .transact("kv config", || async move {
            let mut config = engine.config().await?;
            if let Some(Flag(required)) = request.cas_required {
                config.cas_required = required;
            }
            if let Some(DurationSeconds(seconds)) = request.delete_version_after {
                config.delete_version_after = seconds;
            }
            if let Some(Count(limit)) = request.max_versions {
                config.max_versions = u64::try_from(limit).unwrap_or(0);
            }
            if let Some(Flag(required)) = request.metadata_cas_required {
                config.metadata_cas_required = required;
            }
            Ok::<_, KvError>((engine.store_config(&config)?, ()))
        })
        .await?;
    Ok(Response::empty())
}
