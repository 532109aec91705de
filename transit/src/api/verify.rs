//! `verify/:name`: checks signatures, HMACs or CMACs, one or a batch.

use crate::{
    api::{cmac, signature_request::signature_request},
    batch::{self, SignatureItem},
    error::TransitError,
    hash::HashName,
    input::{Text, given},
    key::Key,
    mac,
    signing::{self, OptionTexts, SignOptions},
    transit::Transit,
};
use chancery_engine::{
    Call, Fault, Response,
    wire::{Count, Flag},
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::sync::Arc;

signature_request!(VerifyRequest {
    #[serde(borrow, deserialize_with = "given")]
    signature: Option<Text<'a>>,
    #[serde(borrow, deserialize_with = "given")]
    hmac: Option<Text<'a>>,
    #[serde(borrow, deserialize_with = "given")]
    cmac: Option<Text<'a>>,
    mac_length: Count,
});

#[derive(Serialize)]
struct VerifyResponse {
    valid: bool,
}

/// What is to be checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Proof {
    Signature,
    Hmac,
    Cmac,
}

/// Verifies. A batch is always a 200; what went wrong stands in the items.
pub(crate) async fn handle(engine: Arc<Transit>, call: Call) -> Result<Response, Fault> {
    let request: VerifyRequest<'_> = call.parse()?;
    let items = request.batch_input.map(batch::parse::<SignatureItem<'_>>).transpose()?;
    let proof = match &items {
        Some(items) => proof_of_batch(items)?,
        None if request.signature.is_some() => Proof::Signature,
        None if request.hmac.is_some() => Proof::Hmac,
        None if request.cmac.is_some() => Proof::Cmac,
        None => return Err(Fault::caller("neither a 'signature' nor an 'hmac' were given to verify")),
    };
    if proof == Proof::Cmac {
        let items = items.unwrap_or_else(|| vec![request.single()]);
        return cmac::verify(&engine, &call, &items, request.batch_input.is_some()).await;
    }
    let options = &request.options(call.captures.text("urlalgorithm"))?;
    let absent = TransitError::caller(match proof {
        Proof::Signature => "signature verification key not found",
        Proof::Hmac | Proof::Cmac => "encryption key not found",
    });
    let key = engine.usable_key(call.captures.text("name"), absent).await?;
    check(&key, options, proof)?;
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

/// All items carry signatures, or all HMACs, or all CMACs; an item with several counts as the first of these.
fn proof_of_batch(items: &[SignatureItem<'_>]) -> Result<Proof, Fault> {
    let proofs = items.iter().map(|item| match (&item.signature, &item.hmac, &item.cmac) {
        (Some(_), ..) => Some(Proof::Signature),
        (None, Some(_), _) => Some(Proof::Hmac),
        (None, None, Some(_)) => Some(Proof::Cmac),
        (None, None, None) => None,
    });
    let count = |wanted: Proof| proofs.clone().filter(|proof| *proof == Some(wanted)).count();
    let text = match (count(Proof::Signature), count(Proof::Hmac), count(Proof::Cmac)) {
        (0, 0, 0) => "no batch_input elements have 'signature' or 'hmac'",
        (all, 0, 0) if all == items.len() => return Ok(Proof::Signature),
        (0, all, 0) if all == items.len() => return Ok(Proof::Hmac),
        (0, 0, all) if all == items.len() => return Ok(Proof::Cmac),
        (_, 0, 0) => "some elements of batch_input are missing 'signature'",
        (0, _, 0) => "some elements of batch_input are missing 'hmac'",
        (0, 0, _) => "some elements of batch_input are missing 'cmac'",
        (_, _, 0) => "elements of batch_input must all provide 'signature' or all provide 'hmac'",
        _ => "elements of batch_input must all provide 'signature', all provide 'hmac' or all provide 'cmac'",
    };
    Err(Fault::caller(text))
}

fn check(key: &Key, options: &SignOptions, proof: Proof) -> Result<(), TransitError> {
    let key_type = key.record.key_type;
    match proof {
        Proof::Hmac if options.hash == HashName::None => {
            Err(TransitError::caller("hash_algorithm none is not valid for hmac"))
        }
        Proof::Hmac | Proof::Cmac => Ok(()),
        Proof::Signature if key_type.supports_signing() => options.check(key_type),
        Proof::Signature => Err(TransitError::TypeDoesNot { operation: "verification", key_type: key_type.name() }),
    }
}

async fn verify_one(
    engine: &Transit,
    key: &Key,
    options: &SignOptions,
    proof: Proof,
    item: &SignatureItem<'_>,
) -> Result<bool, TransitError> {
    let input = item.input.as_deref().ok_or_else(|| TransitError::caller("missing input"))?;
    match proof {
        Proof::Hmac => mac::verify(engine, key, options.hash, input, item.hmac.as_deref().unwrap_or_default()).await,
        Proof::Cmac => Err(TransitError::Bug("a CMAC came to the wrong place")),
        Proof::Signature => {
            let signature = item.signature.as_deref().unwrap_or_default();
            engine.supplied(key, || async { signing::verify(key, options, signature, (input, &item.context)) }).await
        }
    }
}

impl VerifyRequest<'_> {
    fn single(&self) -> SignatureItem<'_> {
        SignatureItem {
            input: Some(self.input.as_str().into()),
            context: self.context.as_str().into(),
            signature: self.signature.as_ref().map(|text| text.as_str().into()),
            hmac: self.hmac.as_ref().map(|text| text.as_str().into()),
            cmac: self.cmac.as_ref().map(|text| text.as_str().into()),
            mac_length: self.mac_length.0,
            ..SignatureItem::default()
        }
    }
}
