//! `keys/:name/soft-delete` and `soft-delete-restore`: a key that is kept but refuses to work.

use crate::{api::keys::KeyBody, transit::Transit};
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
    let key = engine.edit(call.captures.text("name"), |record| {
        record.soft_deleted = soft_deleted;
        Ok(())
    });
    let key = key.await?.ok_or_else(|| Fault::caller("key not found"))?;
    Response::data(&KeyBody::of(&key, None)?)
}
