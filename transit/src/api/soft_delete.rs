//! `keys/:name/soft-delete` and `soft-delete-restore`: a key that is kept but refuses to work.

use crate::{api::keys::key_body, transit::Transit};
use chancery_engine::{Call, Fault, Response};
use std::sync::Arc;

/// Makes a key unusable.
pub(crate) async fn delete(engine: Arc<Transit>, call: Call) -> Result<Response, Fault> {
    set(&engine, &call, true).await
}

/// Makes it usable again.
pub(crate) async fn restore(engine: Arc<Transit>, call: Call) -> Result<Response, Fault> {
    set(&engine, &call, false).await
}

async fn set(engine: &Transit, call: &Call, soft_deleted: bool) -> Result<Response, Fault> {
    let name = call.captures.text("name");
    let before = engine.key(name).await?.map(|key| key.record.soft_deleted);
    let key = engine.edit(name, |record| {
        record.soft_deleted = soft_deleted;
        Ok(())
    });
    // The reference has nothing to say of a key that is not there.
    let Some(key) = key.await? else { return Ok(Response::empty()) };
    let response = key_body(engine, &key).await?;
    Ok(match (before == Some(soft_deleted), soft_deleted) {
        (false, _) => response,
        (true, true) => response.warn("key was already marked as soft deleted"),
        (true, false) => response.warn("key was already restored"),
    })
}
