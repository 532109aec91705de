//! `config/keys`: settings for all keys of the mount.

use crate::{error::TransitError, storage::KeysConfiguration, transit::Transit};
use chancery_engine::{Call, Fault, Response, wire::Flag};
use serde::Deserialize;
use std::sync::Arc;

#[derive(Deserialize, Default)]
#[serde(default)]
struct KeysConfigRequest {
    disable_upsert: Option<Flag>,
}

/// Shows the settings.
pub(crate) async fn read(engine: Arc<Transit>, _call: Call) -> Result<Response, Fault> {
    Response::data(&engine.storage.configuration().await.map_err(TransitError::from)?)
}

/// Changes what the request names.
pub(crate) async fn write(engine: Arc<Transit>, call: Call) -> Result<Response, Fault> {
    let request: KeysConfigRequest = call.parse()?;
    let mut configuration: KeysConfiguration = engine.storage.configuration().await.map_err(TransitError::from)?;
    if let Some(Flag(disabled)) = request.disable_upsert {
        configuration.disable_upsert = disabled;
        engine.storage.configure(configuration).await.map_err(TransitError::from)?;
    }
    Response::data(&configuration)
}
