//! `config/keys`: settings for all keys of the mount.

use crate::{error::TransitError, storage::KeysConfiguration, transit::Transit};
use chancery_engine::{Call, Fault, Response, wire::Flag};
use serde::Deserialize;
use std::sync::Arc;

#[derive(Deserialize, Default)]
#[serde(default)]
struct KeysConfigRequest {
    disable_upsert: Flag,
}

/// Shows the settings.
pub(crate) async fn read(engine: Arc<Transit>, _call: Call) -> Result<Response, Fault> {
    Response::data(&engine.storage.configuration().await.map_err(TransitError::from)?)
}

/// Changes the settings; what the request leaves out is off again, as on the servers clients were written for.
pub(crate) async fn write(engine: Arc<Transit>, call: Call) -> Result<Response, Fault> {
    let request: KeysConfigRequest = call.parse()?;
    let mut configuration: KeysConfiguration = engine.storage.configuration().await.map_err(TransitError::from)?;
    configuration.disable_upsert = request.disable_upsert.0;
    engine.storage.configure(configuration).await.map_err(TransitError::from)?;
    Response::data(&configuration)
}
