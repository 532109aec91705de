//! `hash`: the hash of a text; no key is involved.

use crate::{
    api::random::hex,
    encoding,
    error::TransitError,
    hash::HashName,
    input::{Text, given},
    transit::Transit,
};
use chancery_engine::{Call, Fault, Response};
use chancery_hsm::HashAlgorithm;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

#[derive(Deserialize, Default)]
#[serde(default)]
struct HashRequest<'a> {
    #[serde(borrow, deserialize_with = "given")]
    input: Option<Text<'a>>,
    #[serde(borrow)]
    algorithm: Text<'a>,
    #[serde(borrow)]
    format: Text<'a>,
}

#[derive(Serialize)]
struct HashResponse {
    sum: String,
}

/// Hashes.
pub(crate) async fn handle(_engine: Arc<Transit>, call: Call) -> Result<Response, Fault> {
    let request: HashRequest<'_> = call.parse()?;
    let input = request.input.as_ref().ok_or_else(|| Fault::caller("input missing"))?;
    let input = encoding::decode(input.as_str()).map_err(TransitError::in_input)?;
    let named = [call.captures.text("urlalgorithm"), request.algorithm.as_str(), "sha2-256"];
    let name = named.into_iter().find(|name| !name.is_empty()).unwrap_or_default();
    // SHA-1 is left for signatures that need it; this endpoint never had it.
    let hash = match HashName::named(name) {
        Some(HashName::Known(hash)) if hash != HashAlgorithm::Sha1 => hash,
        _ => return Err(Fault::Caller(format!("unsupported algorithm {name}"))),
    };
    let sum = match request.format.as_str() {
        "" | "hex" => hex(&hash.digest(&input)),
        "base64" => encoding::encode(&hash.digest(&input)),
        other => {
            let text = format!("unsupported encoding format {other}; must be \"hex\" or \"base64\"");
            return Err(Fault::Caller(text));
        }
    };
    Response::data(&HashResponse { sum })
}
