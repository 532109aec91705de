//! `byok-export/:destination/:source[/:version]`: a key wrapped for another, as `import` reads it.

use crate::{
    api::export::{numbers, stored_pkcs8},
    encoding,
    error::TransitError,
    input::{Text, given},
    key::Key,
    key_type::Protection,
    transit::Transit,
    version::StoredMaterial,
    wrapping::{self, OaepHash},
};
use chancery_engine::{Call, Fault, Response};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc};
use zeroize::Zeroizing;

#[derive(Deserialize, Default)]
#[serde(default)]
struct ByokExportRequest<'a> {
    #[serde(borrow, deserialize_with = "given")]
    hash: Option<Text<'a>>,
}

#[derive(Serialize)]
struct ByokExportResponse<'a> {
    keys: BTreeMap<String, String>,
    name: &'a str,
    #[serde(rename = "type")]
    key_type: &'static str,
}

/// Exports.
pub(crate) async fn handle(engine: Arc<Transit>, call: Call) -> Result<Response, Fault> {
    let request: ByokExportRequest<'_> = call.parse()?;
    let destination = engine.key(call.captures.text("destination")).await?;
    let destination = destination.ok_or_else(|| Fault::caller("no such destination key to export to"))?;
    if destination.record.soft_deleted {
        return Err(Fault::caller("for destination key: refusing to use soft-deleted key"));
    }
    let source = engine.key(call.captures.text("source")).await?;
    let source = source.ok_or_else(|| Fault::caller("no such source key for export"))?;
    check_source(&source)?;
    let numbers = numbers(&source.record, call.captures.text("version"))?;
    let hash = OaepHash::named(request.hash.as_ref().map_or("SHA256", Text::as_str))?;
    let public_key = destination_key(&engine, &destination).await?;
    let mut keys = BTreeMap::new();
    for number in numbers {
        let target = target(&engine, &source, number).await?;
        keys.insert(number.to_string(), encoding::encode(&wrapping::wrap(&public_key, hash, &target)?));
    }
    Response::data(&ByokExportResponse { keys, name: &source.name, key_type: source.record.type_name() })
}

fn check_source(source: &Key) -> Result<(), TransitError> {
    if !source.record.exportable || source.record.protection == Protection::Hsm {
        return Err(TransitError::caller("key is not exportable"));
    }
    if source.record.soft_deleted {
        return Err(TransitError::caller("for source key: refusing to use soft-deleted key"));
    }
    Ok(())
}

/// The public half of the destination's latest version (SubjectPublicKeyInfo).
async fn destination_key(engine: &Transit, destination: &Key) -> Result<Vec<u8>, TransitError> {
    let key_type = destination.record.key_type;
    if !key_type.supports_signing() {
        // The reference's spelling.
        let name = key_type.name();
        return Err(TransitError::Caller(format!(
            "key wrapping (requring message signing) is not supported for key type {name}"
        )));
    }
    if !key_type.is_rsa() {
        return Err(TransitError::caller("unsupported key type in use; must be a rsa key"));
    }
    engine.public_key(destination, destination.record.latest_version).await
}

/// What is wrapped: PKCS#8 of a pair, the bare key of all else.
async fn target(engine: &Transit, source: &Key, number: u32) -> Result<Zeroizing<Vec<u8>>, TransitError> {
    let key_type = source.record.key_type;
    let version = engine.storage.version(&source.name, number).await?.ok_or(TransitError::NoSuchVersion)?;
    let StoredMaterial::Software { key, .. } = &version.material else {
        return Err(TransitError::caller("failed to wrap target key for import: the version has no private key"));
    };
    if key_type.is_asymmetric() {
        return stored_pkcs8(key_type, key.bytes());
    }
    match key_type {
        external if external.is_external() => {
            Err(TransitError::Caller(format!("unable to export to unknown key type: {}", external.name())))
        }
        _ => Ok(Zeroizing::new(key.bytes().to_vec())),
    }
}
