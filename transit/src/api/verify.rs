//! `verify/:name`: checks signatures or HMACs, one or a batch.

use crate::{
    batch::{self, SignatureItem},
    error::TransitError,
    hash::HashName,
    input::{Text, given},
    key::Key,
    mac,
    signing::{self, SignOptions},
    transit::Transit,
};
use chancery_engine::{Call, Fault, Response, wire::Flag};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::sync::Arc;

#[derive(Deserialize, Default)]
#[serde(default)]
struct VerifyRequest<'a> {
    #[serde(borrow)]
    input: Text<'a>,
    #[serde(borrow, deserialize_with = "given")]
    signature: Option<Text<'a>>,
    #[serde(borrow, deserialize_with = "given")]
    hmac: Option<Text<'a>>,
    #[serde(borrow)]
    context: Text<'a>,
    #[serde(borrow)]
    hash_algorithm: Text<'a>,
    /// The older name of `hash_algorithm`.
    #[serde(borrow)]
    algorithm: Text<'a>,
    #[serde(borrow)]
    signature_algorithm: Text<'a>,
    #[serde(borrow)]
    salt_length: Option<Text<'a>>,
    #[serde(borrow)]
    marshaling_algorithm: Text<'a>,
    prehashed: Flag,
    #[serde(borrow)]
    batch_input: Option<&'a RawValue>,
}

#[derive(Serialize)]
struct VerifyResponse {
    valid: bool,
}

/// What is to be checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Proof {
    Signature,
    Hmac,
}

/// Verifies. A batch is always a 200; what went wrong stands in the items.
pub(crate) async fn handle(engine: Arc<Transit>, call: Call) -> Result<Response, Fault> {
    let request: VerifyRequest<'_> = call.parse()?;
    let items = request.batch_input.map(batch::parse::<SignatureItem<'_>>).transpose()?;
    let proof = match &items {
        Some(items) => proof_of_batch(items)?,
        None if request.signature.is_some() => Proof::Signature,
        None if request.hmac.is_some() => Proof::Hmac,
        None => return Err(Fault::caller("neither a 'signature' nor an 'hmac' were given to verify")),
    };
    let options = request.options(call.captures.text("urlalgorithm"))?;
    let absent = TransitError::caller(match proof {
        Proof::Signature => "signature verification key not found",
        Proof::Hmac => "encryption key not found",
    });
    let key = engine.usable_key(call.captures.text("name"), absent).await?;
    check(&key, options, proof, request.signature_algorithm.as_str())?;
    let Some(items) = items else {
        let valid = verify_one(&engine, &key, options, proof, &request.single()).await?;
        return Response::data(&VerifyResponse { valid });
    };
    let mut out = Vec::new();
    batch::open_results(&mut out);
    for item in &items {
        match verify_one(&engine, &key, options, proof, item).await {
            Ok(true) => out.extend_from_slice(br#"{"valid":true,"#),
            Ok(false) => out.extend_from_slice(br#"{"valid":false,"#),
            Err(error) => {
                out.extend_from_slice(br#"{"valid":false,"#);
                batch::write_error(&error, &mut out);
            }
        }
        batch::write_reference(&item.reference, &mut out);
    }
    batch::close_results(&mut out);
    Ok(Response::json(out))
}

/// All items carry signatures, or all carry HMACs; an item with both counts as a signature.
fn proof_of_batch(items: &[SignatureItem<'_>]) -> Result<Proof, Fault> {
    let signatures = items.iter().filter(|item| item.signature.is_some()).count();
    let hmacs = items.iter().filter(|item| item.signature.is_none() && item.hmac.is_some()).count();
    let text = match (signatures, hmacs) {
        (0, 0) => "no batch_input elements have 'signature' or 'hmac'",
        (all, 0) if all == items.len() => return Ok(Proof::Signature),
        (0, all) if all == items.len() => return Ok(Proof::Hmac),
        (_, 0) => "some elements of batch_input are missing 'signature'",
        (0, _) => "some elements of batch_input are missing 'hmac'",
        _ => "elements of batch_input must all provide 'signature' or all provide 'hmac'",
    };
    Err(Fault::caller(text))
}

fn check(key: &Key, options: SignOptions, proof: Proof, algorithm: &str) -> Result<(), TransitError> {
    let key_type = key.record.key_type;
    match proof {
        Proof::Hmac if options.hash == HashName::None => {
            Err(TransitError::caller("hash_algorithm none is not valid for hmac"))
        }
        Proof::Hmac => Ok(()),
        Proof::Signature if key_type.supports_signing() => options.check(key_type, algorithm),
        Proof::Signature => Err(TransitError::TypeDoesNot { operation: "verification", key_type: key_type.name() }),
    }
}

async fn verify_one(
    engine: &Transit,
    key: &Key,
    options: SignOptions,
    proof: Proof,
    item: &SignatureItem<'_>,
) -> Result<bool, TransitError> {
    let input = item.input.as_deref().ok_or_else(|| TransitError::caller("missing input"))?;
    match proof {
        Proof::Hmac => mac::verify(engine, key, options.hash, input, item.hmac.as_deref().unwrap_or_default()).await,
        Proof::Signature => {
            let signature = item.signature.as_deref().unwrap_or_default();
            signing::verify(key, options, signature, (input, &item.context))
        }
    }
}

impl VerifyRequest<'_> {
    fn options(&self, url_algorithm: &str) -> Result<SignOptions, TransitError> {
        let named = [url_algorithm, self.hash_algorithm.as_str(), self.algorithm.as_str(), "sha2-256"];
        SignOptions::parse(
            named.into_iter().find(|name| !name.is_empty()).unwrap_or_default(),
            self.signature_algorithm.as_str(),
            self.salt_length.as_ref().map(Text::as_str),
            self.marshaling_algorithm.as_str(),
            self.prehashed.0,
        )
    }

    fn single(&self) -> SignatureItem<'_> {
        SignatureItem {
            input: Some(self.input.as_str().into()),
            context: self.context.as_str().into(),
            signature: self.signature.as_ref().map(|text| text.as_str().into()),
            hmac: self.hmac.as_ref().map(|text| text.as_str().into()),
            ..SignatureItem::default()
        }
    }
}
