//! `sign/:name`: signatures of a text or a batch.

use crate::{
    api::signature_request::signature_request,
    batch::{self, SignatureItem},
    error::TransitError,
    input::Text,
    key::Key,
    signing::{self, OptionTexts, SignOptions, Signed},
    transit::Transit,
};
use chancery_engine::{
    Call, Fault, Response,
    wire::{Count, Flag},
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::sync::Arc;

signature_request!(SignRequest { key_version: Count });

#[derive(Serialize)]
struct SignResponse {
    key_version: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    public_key: Option<String>,
    signature: String,
}

/// Signs. A batch is always a 200; what went wrong stands in the items.
pub(crate) async fn handle(engine: Arc<Transit>, call: Call) -> Result<Response, Fault> {
    let request: SignRequest<'_> = call.parse()?;
    let options = &request.options(call.captures.text("urlalgorithm"))?;
    let key = engine.usable_key(call.captures.text("name"), TransitError::caller("signing key not found")).await?;
    let key_type = key.record.key_type;
    if !key_type.supports_signing() {
        return Err(TransitError::TypeDoesNot { operation: "signing", key_type: key_type.name() }.into());
    }
    options.check(key_type)?;
    let version = request.key_version.0;
    let Some(raw) = request.batch_input else {
        let input = (request.input.as_str(), request.context.as_str());
        let Signed { signature, key_version, public_key } =
            signing::sign(&engine, &key, options, version, input).await?;
        return Response::data(&SignResponse { key_version, public_key, signature });
    };
    let items = batch::parse::<SignatureItem<'_>>(raw)?;
    let mut out = Vec::new();
    batch::open_results(&mut out);
    for chunk in items.chunks(SIGNATURES_AT_ONCE) {
        let work = chunk.iter().map(|item| sign_item(&engine, &key, options, version, item));
        let outcomes = futures_util::future::join_all(work).await;
        for (outcome, item) in outcomes.into_iter().zip(chunk) {
            write_item(outcome, item, &mut out);
        }
    }
    batch::close_results(&mut out);
    Ok(Response::json(out))
}

/// Signatures of one batch that are under way together.
const SIGNATURES_AT_ONCE: usize = 16;

async fn sign_item(
    engine: &Transit,
    key: &Arc<Key>,
    options: &SignOptions,
    version: i64,
    item: &SignatureItem<'_>,
) -> Result<Signed, TransitError> {
    let input = item.input.as_deref().ok_or_else(|| TransitError::caller("missing input"))?;
    signing::sign(engine, key, options, version, (input, &item.context)).await
}

fn write_item(outcome: Result<Signed, TransitError>, item: &SignatureItem<'_>, out: &mut Vec<u8>) {
    match outcome {
        Ok(signed) => {
            out.extend_from_slice(br#"{"signature":"#);
            batch::write_text(&signed.signature, out);
            batch::write_key_version(signed.key_version, out);
            if let Some(public_key) = signed.public_key {
                out.extend_from_slice(br#","publickey":"#);
                batch::write_text(&public_key, out);
            }
            out.push(b',');
        }
        Err(error) => {
            out.extend_from_slice(br#"{"key_version":0,"#);
            batch::write_error(&error, out);
        }
    }
    batch::write_reference(&item.reference, out);
}
