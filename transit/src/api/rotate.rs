//! `keys/:name/rotate`: adds a version, which is the one that encrypts and signs from then on.

use crate::{api::keys::KeyBody, transit::Transit};
use chancery_engine::{Call, Fault, Response};
use serde::Deserialize;
use std::sync::Arc;

#[derive(Deserialize, Default)]
struct RotateRequest {}

/// Adds a version.
pub(crate) async fn handle(engine: Arc<Transit>, call: Call) -> Result<Response, Fault> {
    let RotateRequest {} = call.parse()?;
    let key = engine.rotate(call.captures.text("name")).await?.ok_or_else(|| Fault::caller("key not found"))?;
    Response::data(&KeyBody::of(&key, None)?)
}
