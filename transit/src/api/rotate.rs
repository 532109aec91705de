//! `keys/:name/rotate`: adds a version, which is the one that encrypts and signs from then on.

use crate::{api::keys::key_body, error::TransitError, input::Text, transit::Transit};
use chancery_engine::{Call, Fault, Response};
use serde::Deserialize;
use std::sync::Arc;

#[derive(Deserialize, Default)]
#[serde(default)]
struct RotateRequest<'a> {
    /// Only for keys that live elsewhere, which this engine does not have.
    #[serde(borrow)]
    external_key_ref: Text<'a>,
}

/// Adds a version.
pub(crate) async fn handle(engine: Arc<Transit>, call: Call) -> Result<Response, Fault> {
    let request: RotateRequest<'_> = call.parse()?;
    let (name, absent) = (call.captures.text("name"), || Fault::caller("key not found"));
    if !request.external_key_ref.as_str().is_empty() {
        let key_type = engine.key(name).await?.ok_or_else(absent)?.record.key_type.name();
        let text = format!("cannot use external_key_ref on key of type {key_type}");
        return Err(TransitError::Caller(text).into());
    }
    let key = engine.rotate(name).await?.ok_or_else(absent)?;
    key_body(&engine, &key).await
}
