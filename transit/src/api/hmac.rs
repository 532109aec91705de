//! `hmac/:name`: HMACs of a text or a batch.

use crate::{
    batch::{self, SignatureItem},
    error::TransitError,
    hash::HashName,
    input::{Text, given},
    mac,
    transit::Transit,
};
use chancery_engine::{Call, Fault, Response, wire::Count};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::sync::Arc;

#[derive(Deserialize, Default)]
#[serde(default)]
struct HmacRequest<'a> {
    #[serde(borrow, deserialize_with = "given")]
    input: Option<Text<'a>>,
    #[serde(borrow)]
    algorithm: Text<'a>,
    key_version: Count,
    #[serde(borrow)]
    batch_input: Option<&'a RawValue>,
}

#[derive(Serialize)]
struct HmacResponse {
    hmac: String,
}

/// Makes HMACs. A batch is always a 200; what went wrong stands in the items.
pub(crate) async fn handle(engine: Arc<Transit>, call: Call) -> Result<Response, Fault> {
    let request: HmacRequest<'_> = call.parse()?;
    let key = engine.usable_key(call.captures.text("name"), TransitError::EncryptionKeyNotFound).await?;
    let named = [call.captures.text("urlalgorithm"), request.algorithm.as_str(), "sha2-256"];
    let name = named.into_iter().find(|name| !name.is_empty()).unwrap_or_default();
    let hash = HashName::named(name).ok_or_else(|| TransitError::Caller(format!("unsupported algorithm {name:?}")))?;
    let version = request.key_version.0;
    let Some(raw) = request.batch_input else {
        if hash == HashName::None {
            return Err(Fault::caller("algorithm cannot be none"));
        }
        let input = request.input.as_ref().ok_or_else(|| Fault::caller("missing input for HMAC"))?;
        let hmac = mac::make(&engine, &key, hash, version, input.as_str()).await?;
        return Response::data(&HmacResponse { hmac });
    };
    let mut out = Vec::new();
    batch::open_results(&mut out);
    for item in &batch::parse::<SignatureItem<'_>>(raw)? {
        let outcome = match &item.input {
            Some(input) => mac::make(&engine, &key, hash, version, input).await,
            None => Err(TransitError::caller("missing input for HMAC")),
        };
        out.push(b'{');
        match outcome {
            Ok(hmac) => {
                out.extend_from_slice(br#""hmac":"#);
                batch::write_text(&hmac, &mut out);
                out.push(b',');
            }
            Err(error) => batch::write_error(&error, &mut out),
        }
        batch::write_reference(&item.reference, &mut out);
    }
    batch::close_results(&mut out);
    Ok(Response::json(out))
}
