//! `cache-config`: how many keys the mount keeps ready.

use crate::{error::TransitError, transit::Transit};
use chancery_engine::{Call, Fault, Response, wire::Count};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Where the setting lies below the mount's view.
const PLACE: &str = "config/cache";

/// The smallest bound.
const SMALLEST: i64 = 10;

#[derive(Deserialize, Default)]
#[serde(default)]
struct CacheConfigRequest {
    size: Count,
}

/// What is stored, and what is answered.
#[derive(Serialize, Deserialize)]
struct CacheConfig {
    /// 0: no bound.
    size: i64,
}

/// Shows the setting.
pub(crate) async fn read(engine: Arc<Transit>, _call: Call) -> Result<Response, Fault> {
    Response::data(&stored(&engine).await?)
}

/// The number of keys that the setting allows; 0 is no bound.
pub(crate) async fn stored_size(engine: &Transit) -> Result<usize, TransitError> {
    Ok(usize::try_from(stored(engine).await?.size).unwrap_or(usize::MAX))
}

async fn stored(engine: &Transit) -> Result<CacheConfig, TransitError> {
    Ok(engine.storage.setting(PLACE).await?.unwrap_or(CacheConfig { size: 0 }))
}

/// Changes it, at once and for good.
pub(crate) async fn write(engine: Arc<Transit>, call: Call) -> Result<Response, Fault> {
    let size = call.parse::<CacheConfigRequest>()?.size.0;
    if size != 0 && size < SMALLEST {
        return Err(Fault::caller("size must be 0 or a value greater or equal to 10"));
    }
    let config = CacheConfig { size };
    engine.storage.set(PLACE, &config).await.map_err(TransitError::from)?;
    engine.set_cache_size(usize::try_from(size).unwrap_or(usize::MAX));
    Response::data(&config)
}
