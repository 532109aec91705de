//! `datakey/plaintext/:name`, `datakey/wrapped/:name`: a fresh key encrypted with a named one.

use crate::{
    cipher::{CipherItem, RareOptions, Workbench},
    encoding,
    error::TransitError,
    in_token::encrypt_in_hsm,
    input::{Text, given},
    key::Key,
    transit::Transit,
};
use chancery_engine::{Call, Fault, Response, SecretString, wire::Count};
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, sync::Arc};
use zeroize::Zeroizing;

#[derive(Deserialize, Default)]
#[serde(default)]
struct DataKeyRequest<'a> {
    #[serde(borrow)]
    context: Text<'a>,
    #[serde(borrow)]
    associated_data: Text<'a>,
    #[serde(deserialize_with = "given")]
    bits: Option<Count>,
    key_version: Count,
    #[serde(borrow)]
    padding_scheme: Text<'a>,
}

#[derive(Serialize)]
struct DataKeyResponse {
    ciphertext: String,
    key_version: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    plaintext: Option<SecretString>,
}

/// Makes a data key.
pub(crate) async fn handle(engine: Arc<Transit>, call: Call) -> Result<Response, Fault> {
    let request: DataKeyRequest<'_> = call.parse()?;
    let shown = match call.captures.text("form") {
        "plaintext" => true,
        "wrapped" => false,
        _ => return Err(Fault::caller("Invalid path, must be 'plaintext' or 'wrapped'")),
    };
    let bytes = match request.bits.map_or(256, |Count(bits)| bits) {
        128 => 16,
        256 => 32,
        512 => 64,
        _ => return Err(Fault::caller("invalid bit length")),
    };
    encoding::decode(request.context.as_str()).map_err(|_| TransitError::ContextNotBase64)?;
    let key = engine.usable_key(call.captures.text("name"), TransitError::EncryptionKeyNotFound).await?;
    let item = CipherItem {
        context: Cow::Borrowed(request.context.as_str()),
        associated_data: Cow::Borrowed(request.associated_data.as_str()),
        key_version: request.key_version.0,
        rare: RareOptions::given("", request.padding_scheme.as_str(), ""),
        ..CipherItem::default()
    };
    key.allows_associated_data(&item, "'")?;
    let mut data_key = Zeroizing::new(vec![0; bytes]);
    aws_lc_rs::rand::fill(&mut data_key).map_err(|_| TransitError::Random)?;
    let (key_version, ciphertext) =
        engine.supplied(&key, || async { wrap(&engine, &key, &item, &data_key).await }).await?;
    let plaintext = shown.then(|| SecretString::new(encoding::encode(&data_key)));
    Ok(key.caution(Response::data(&DataKeyResponse { ciphertext, key_version, plaintext })?))
}

async fn wrap(
    engine: &Transit,
    key: &Key,
    item: &CipherItem<'_>,
    data_key: &[u8],
) -> Result<(u32, String), TransitError> {
    if key.lives_in_hsm() {
        return encrypt_in_hsm(engine, key, item, data_key).await;
    }
    let mut out = Vec::new();
    let version = Workbench::default().encrypt_bytes(key, item, data_key, &mut out)?;
    Ok((version, String::from_utf8(out).map_err(|_| TransitError::Bug("base64 is not ASCII"))?))
}
