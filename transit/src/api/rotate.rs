//! `keys/:name/rotate`: adds a version, which is the one that encrypts and signs from then on.

use crate::{
    api::keys::{key_body, registered_key},
    input::Text,
    transit::Transit,
};
use chancery_engine::{Call, Fault, Response};
use serde::Deserialize;
use std::sync::Arc;

#[derive(Deserialize, Default)]
#[serde(default)]
struct RotateRequest<'a> {
    /// The registered key of the new version, which may be another than that of the versions before.
    #[serde(borrow)]
    external_key_ref: Text<'a>,
    #[serde(borrow)]
    managed_key_name: Text<'a>,
    #[serde(borrow)]
    managed_key_id: Text<'a>,
}

/// Adds a version.
pub(crate) async fn handle(engine: Arc<Transit>, call: Call) -> Result<Response, Fault> {
    let request: RotateRequest<'_> = call.parse()?;
    let (name, absent) = (call.captures.text("name"), || Fault::caller("key not found"));
    let key = engine.key(name).await?.ok_or_else(absent)?;
    let given = [&request.external_key_ref, &request.managed_key_name, &request.managed_key_id].map(Text::as_str);
    let rotated = match registered_key(key.record.key_type, given, "rotate")? {
        Some(external) => {
            key.usable()?;
            engine.rotate_external(name, external).await?
        }
        None => engine.rotate(name).await?,
    };
    let key = rotated.ok_or_else(absent)?;
    key_body(&engine, &key).await
}
