//! `keys/:name/trim`: deletes old versions for good.

use crate::{api::keys::key_body, error::TransitError, input::given, key::KeyRecord, transit::Transit};
use chancery_engine::{Call, Fault, Response, wire::Count};
use serde::Deserialize;
use std::sync::Arc;

#[derive(Deserialize, Default)]
#[serde(default)]
struct TrimRequest {
    #[serde(deserialize_with = "given")]
    min_available_version: Option<Count>,
}

/// Deletes the versions below the one named.
pub(crate) async fn handle(engine: Arc<Transit>, call: Call) -> Result<Response, Fault> {
    let request: TrimRequest = call.parse()?;
    let name = call.captures.text("name");
    let key = engine.trim(name, |record| floor(record, request.min_available_version)).await?;
    let key = key.ok_or_else(|| Fault::caller("invalid key name"))?;
    key_body(&engine, &key).await
}

/// The new floor; the checks come in the reference's order, since each has its own text.
fn floor(record: &KeyRecord, requested: Option<Count>) -> Result<u32, TransitError> {
    let Some(Count(requested)) = requested else {
        return Err(TransitError::caller("missing min_available_version"));
    };
    let refusal = if requested < i64::from(record.min_available_version) {
        "minimum available version cannot be decremented"
    } else if record.min_encryption_version == 0 {
        "minimum available version cannot be set when minimum encryption version is not set"
    } else if record.min_decryption_version == 0 {
        "minimum available version cannot be set when minimum decryption version is not set"
    } else if requested > i64::from(record.min_encryption_version) {
        // The reference's spelling.
        "minimum available version cannot be greater than minmum encryption version"
    } else if requested > i64::from(record.min_decryption_version) {
        "minimum available version cannot be greater than minimum decryption version"
    } else if requested == 0 {
        "minimum available version should be positive"
    } else {
        return u32::try_from(requested).map_err(|_| TransitError::NoSuchVersion);
    };
    Err(TransitError::caller(refusal))
}
