//! `keys/:name/import_version`: adds a version to an imported key, or the private half to one that wants it.

use crate::{
    api::import::Material,
    error::TransitError,
    input::{Text, given},
    key::KeyRecord,
    transit::Transit,
};
use chancery_engine::{Call, Fault, Response, wire::Count};
use serde::Deserialize;
use std::sync::Arc;

#[derive(Deserialize, Default)]
#[serde(default)]
struct ImportVersionRequest<'a> {
    #[serde(borrow, deserialize_with = "given")]
    ciphertext: Option<Text<'a>>,
    #[serde(borrow)]
    public_key: Text<'a>,
    #[serde(borrow, deserialize_with = "given")]
    hash_function: Option<Text<'a>>,
    #[serde(deserialize_with = "given")]
    version: Option<Count>,
}

/// Imports.
pub(crate) async fn handle(engine: Arc<Transit>, call: Call) -> Result<Response, Fault> {
    let request: ImportVersionRequest<'_> = call.parse()?;
    let name = call.captures.text("name");
    let absent =
        || Fault::Caller(format!("no key found with name {name}; to import a new key, use the import/ endpoint"));
    let key = engine.key(name).await?.ok_or_else(absent)?;
    allow(&key.record)?;
    let material = Material {
        ciphertext: request.ciphertext.as_ref(),
        public_key: &request.public_key,
        hash_function: request.hash_function.as_ref(),
    };
    let incoming = material.incoming(&engine, key.record.key_type).await?;
    let version = request.version.map(|Count(number)| number);
    let imported = engine.import_version(name, incoming, version, allow).await?;
    if imported { Ok(Response::empty()) } else { Err(absent()) }
}

fn allow(record: &KeyRecord) -> Result<(), TransitError> {
    if record.imported.is_none() {
        return Err(TransitError::caller("the import_version endpoint can only be used with an imported key"));
    }
    if record.convergent_encryption {
        return Err(TransitError::caller("import_version cannot be used on keys with convergent encryption enabled"));
    }
    Ok(())
}
